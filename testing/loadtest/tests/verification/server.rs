//! As much of a gateway as `loadtest direct` needs, with a selectable fault.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use websocket::{Decoder, Message, text_frame};

/// The fault of each sender's third message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Acknowledged, and not delivered to the recipient.
    Lose,
    /// Delivered twice.
    Double,
    /// Delivered after the fourth.
    Swap,
    /// Delivered, and not acknowledged.
    Mute,
}

const FAULTY: u64 = 3;

#[derive(Default)]
struct State {
    users: HashMap<String, mpsc::UnboundedSender<String>>,
    sequences: HashMap<(String, String), u64>,
    /// By sender: the message held back to be swapped.
    held: HashMap<String, String>,
}

type Shared = Arc<Mutex<State>>;

/// Starts the server; returns its URL.
pub async fn start(fault: Option<Fault>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let state = Shared::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, state.clone(), fault));
        }
    });
    url
}

async fn serve(mut stream: TcpStream, state: Shared, fault: Option<Fault>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let (events, mut to_write) = mpsc::unbounded_channel::<String>();
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
    events.send(r#"{"type":"connected","requiresAuth":true}"#.to_owned()).unwrap();
    let mut session = Session { events, state, fault, user: String::new(), sent: 0 };
    let mut decoder = Decoder::new(1 << 20, false);
    let mut buffer = vec![0; 65_536];
    loop {
        tokio::select! {
            event = to_write.recv() => stream.write_all(&text_frame(event.unwrap().as_bytes())).await.unwrap(),
            read = stream.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                let mut feed = decoder.feed(&mut buffer[..length]);
                while let Some(message) = feed.next_message().unwrap() {
                    if let Message::Text(text) = message {
                        session.command(&serde_json::from_str(text).unwrap());
                    }
                }
            }
        }
    }
}

struct Session {
    events: mpsc::UnboundedSender<String>,
    state: Shared,
    fault: Option<Fault>,
    user: String,
    sent: u64,
}

impl Session {
    fn command(&mut self, command: &Value) {
        match command["type"].as_str().unwrap() {
            "authenticate" => {
                let payload = command["token"].as_str().unwrap().split('.').nth(1).unwrap();
                let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
                self.user = claims["sub"].as_str().unwrap().to_owned();
                self.state.lock().unwrap().users.insert(self.user.clone(), self.events.clone());
                self.answer(r#"{"type":"auth_success","queuedEvents":0}"#.to_owned());
            }
            "send_private_message" => self.deliver(command),
            other => panic!("{other}"),
        }
    }

    fn deliver(&mut self, command: &Value) {
        self.sent += 1;
        let fault = self.fault.filter(|_| self.sent == FAULTY);
        let other = command["recipientId"].as_str().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        let pair =
            if self.user < other { (self.user.clone(), other.clone()) } else { (other.clone(), self.user.clone()) };
        let seq = state.sequences.entry(pair).or_default();
        *seq += 1;
        let (id, content, user) = (&command["requestId"], &command["content"], &self.user);
        let event = format!(
            r#"{{"type":"new_message","messageId":"msg_1","seq":{seq},"senderId":"{user}","content":{content}}}"#
        );
        let answer = format!(r#"{{"type":"message_sent","requestId":{id},"seq":{seq}}}"#);
        if fault != Some(Fault::Mute) {
            self.answer(answer);
        }
        self.answer(event.clone());
        let copies = match fault {
            Some(Fault::Lose) => vec![],
            Some(Fault::Double) => vec![event.clone(), event],
            Some(Fault::Swap) => {
                state.held.insert(self.user.clone(), event);
                vec![]
            }
            _ => [event].into_iter().chain(state.held.remove(&self.user)).collect(),
        };
        if let Some(recipient) = state.users.get(&other) {
            copies.into_iter().for_each(|copy| recipient.send(copy).unwrap());
        }
    }

    fn answer(&self, event: String) {
        // A client that is gone needs no answer.
        let _ = self.events.send(event);
    }
}
