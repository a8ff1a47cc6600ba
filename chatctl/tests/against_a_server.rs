//! Runs the binary against a server in the test that plays one scripted connection after the other.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

struct Server {
    listener: TcpListener,
    url: String,
}

/// One admitted connection.
struct Peer(WebSocketStream<TcpStream>);

/// The result of the program after it has ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer(tokio_tungstenite::accept_async(stream).await.unwrap());
        peer.send(json!({"type": "connected", "clientId": "c"})).await;
        let success = json!({"type": "auth_success", "userId": "1"});
        assert_eq!(peer.answer("authenticate", success).await["token"], "t");
        peer
    }

    /// Runs chatctl as user 1 with an empty environment, alongside the script.
    async fn run<F: Future>(&self, arguments: &[&str], input: &str, script: F) -> (Ended, F::Output) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatctl"))
            .args(arguments)
            .args(["--url", &self.url, "--token", "t"])
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let both = async { tokio::join!(child.wait_with_output(), script) };
        let (output, result) = timeout(TEST_TIMEOUT, both).await.expect("chatctl and the script end");
        let output = output.unwrap();
        let ended = Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        (ended, result)
    }
}

impl Peer {
    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next command, which must be of this type.
    async fn command(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.0.next().await.unwrap().unwrap() {
                let command: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(command["type"], kind, "{command}");
                return command;
            }
        }
    }

    /// Answers the next command, which must be of this type.
    async fn answer(&mut self, kind: &str, mut answer: Value) -> Value {
        let command = self.command(kind).await;
        answer["requestId"] = command["requestId"].clone();
        self.send(answer).await;
        command
    }

    async fn until_closed(mut self) {
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

fn message(seq: i64, sender: &str, content: &str) -> Value {
    json!({"type": "new_message", "messageId": format!("msg_{seq}"), "conversationId": "conv_1_2",
           "seq": seq, "senderId": sender, "content": content, "createdAt": "2026-03-01T09:15:02.481Z"})
}

#[tokio::test]
async fn send_repeats_under_one_id_when_the_acknowledgement_is_lost() {
    let server = Server::start().await;
    let script = async {
        let mut first = server.accept().await;
        let lost = first.command("send_private_message").await;
        drop(first);
        let mut second = server.accept().await;
        let sent = json!({"type": "message_sent", "seq": 4, "duplicate": true});
        let repeated = second.answer("send_private_message", sent).await;
        second.until_closed().await;
        (lost, repeated)
    };
    let (ended, (lost, repeated)) = server.run(&["send", "1", "--to", "2", "hello"], "", script).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap()["seq"], 4);
    assert_eq!((&lost["recipientId"], &lost["content"]), (&json!("2"), &json!("hello")));
    assert!(lost["clientMessageId"].is_string());
    assert_eq!(lost["clientMessageId"], repeated["clientMessageId"]);
}

#[tokio::test]
async fn send_fails_with_the_servers_reason() {
    let server = Server::start().await;
    let script = async {
        let mut peer = server.accept().await;
        let error = json!({"type": "error", "code": "USER_BLOCKED", "message": "no messages to this user"});
        peer.answer("send_private_message", error).await;
        peer.until_closed().await;
    };
    let (ended, ()) = server.run(&["send", "1", "--to", "2", "hello"], "", script).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("USER_BLOCKED: no messages to this user"), "{}", ended.stderr);
}

#[tokio::test]
async fn success_does_not_depend_on_the_server_answering_the_close() {
    let server = Server::start().await;
    let script = async {
        let mut peer = server.accept().await;
        peer.answer("send_private_message", json!({"type": "message_sent", "seq": 4})).await;
        peer
    };
    let arguments = ["send", "1", "--to", "2", "hello", "--timeout", "900ms"];
    let (ended, _silent) = server.run(&arguments, "", script).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("message_sent"));

    let script = async {
        let mut peer = server.accept().await;
        peer.send(message(1, "2", "one")).await;
        peer
    };
    let arguments = ["listen", "1", "--count", "1", "--timeout", "900ms"];
    let (ended, _silent) = server.run(&arguments, "", script).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn listen_reconnects_and_confirms_what_it_printed() {
    let server = Server::start().await;
    let script = async {
        let mut first = server.accept().await;
        first.send(json!({"type": "user_online", "user": {"userId": "2"}})).await;
        first.send(message(1, "2", "one")).await;
        let ack = first.command("ack").await;
        drop(first);
        let mut second = server.accept().await;
        second.send(message(2, "2", "two")).await;
        second.until_closed().await;
        ack
    };
    let arguments = ["listen", "1", "--ack", "--type", "new_message", "--count", "2"];
    let (ended, ack) = server.run(&arguments, "", script).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let events = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let contents: Vec<Value> = events.map(|event| event["content"].clone()).collect();
    assert_eq!(contents, ["one", "two"]);
    assert_eq!(ack["conversations"], json!({"conv_1_2": 1}));
}

#[tokio::test]
async fn listen_fails_when_too_little_comes() {
    let server = Server::start().await;
    let script = async { server.accept().await.until_closed().await };
    let arguments = ["listen", "1", "--count", "1", "--timeout", "2s"];
    let (ended, ()) = server.run(&arguments, "", script).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("0 of 1"), "{}", ended.stderr);
}

#[tokio::test]
async fn chat_neither_shows_nor_sends_twice_over_a_reconnect() {
    let server = Server::start().await;
    let page = |messages: Value| json!({"type": "private_messages", "messages": messages, "hasMore": false});
    let online = || json!({"type": "online_users", "users": [{"userId": "2"}], "count": 1});
    let script = async {
        let mut first = server.accept().await;
        first.answer("get_private_messages", page(json!([message(1, "2", "old \u{1b}[2J")]))).await;
        first.command("mark_message_read").await;
        first.answer("get_online_users", online()).await;
        let lost = first.command("send_private_message").await;
        first.send(message(2, "2", "live")).await;
        first.command("mark_message_read").await;
        drop(first);

        let mut second = server.accept().await;
        second.send(message(2, "2", "live")).await;
        let catch_up = second.answer("get_private_messages", page(json!([]))).await;
        assert_eq!(catch_up["afterSeq"], 2);
        second.answer("get_online_users", online()).await;
        let repeated = second.command("send_private_message").await;
        assert_eq!(lost["clientMessageId"], repeated["clientMessageId"]);
        second
            .send(json!({"type": "user_typing", "conversationId": "conv_1_2", "userId": "2", "isTyping": true}))
            .await;
        second
            .send(json!({"type": "message_sent", "messageId": "msg_3", "seq": 3,
                         "createdAt": "2026-03-01T09:16:00.000Z",
                         "clientMessageId": repeated["clientMessageId"], "requestId": repeated["requestId"]}))
            .await;
        second.until_closed().await;
    };
    let (ended, ()) = server.run(&["chat", "1", "--to", "2"], "my line\n", script).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let about_waiting = |line: &str| line.contains("connecting again") || line.contains("not acknowledged yet");
    let shown: Vec<&str> = ended.stdout.lines().filter(|line| !about_waiting(line)).collect();
    assert_eq!(
        shown,
        [
            "09:15 2: old \u{fffd}[2J",
            "      * 2 is online (times are UTC)",
            "09:15 2: live",
            "      * 2 is online (times are UTC)",
            "      * 2 is typing…",
            "09:16 1: my line ✓",
        ]
    );
}
