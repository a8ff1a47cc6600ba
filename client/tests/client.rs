//! The client against a server in the test that speaks just enough of the protocol, step by step.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use client::frame::{Data, Frame, OpCode};
use client::{Client, Connect, Error, raw};
use devstack::wait::SOON;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// The server's side of one connection.
struct Peer {
    socket: WebSocketStream<TcpStream>,
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

impl Peer {
    async fn send(&mut self, event: Value) {
        self.socket.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.socket.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    async fn command(&mut self) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Greets and lets the client in.
    async fn admit(&mut self) {
        self.send(json!({"type": "connected", "clientId": "c1", "requiresAuth": true})).await;
        let command = self.command().await;
        assert_eq!((&command["type"], &command["token"]), (&json!("authenticate"), &json!("t")));
        self.send(json!({"type": "auth_success", "userId": "7", "requestId": command["requestId"]})).await;
    }
}

/// Accepts one connection and runs the script on it.
async fn serve<F, R>(script: impl FnOnce(Peer) -> F + Send + 'static) -> (String, JoinHandle<R>)
where
    F: Future<Output = R> + Send,
    R: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, address) = listener.accept().await.unwrap();
        let mut headers = Vec::new();
        #[allow(clippy::result_large_err)]
        let see = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let header = |(name, value): (&_, &_)| {
                let (name, value): (&http::HeaderName, &http::HeaderValue) = (name, value);
                (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
            };
            headers = request.headers().iter().map(header).collect();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, see).await.unwrap();
        script(Peer { socket, address, headers }).await
    });
    (url, server)
}

use tokio_tungstenite::tungstenite::http;

#[tokio::test]
async fn an_answer_is_found_among_events_and_these_keep_their_order() {
    let (url, server) = serve(|mut peer| async move {
        peer.admit().await;
        peer.send(json!({"type": "new_message", "seq": 1})).await;
        let command = peer.command().await;
        peer.send(json!({"type": "new_message", "seq": 2})).await;
        peer.send(json!({"type": "pong", "requestId": "somebody else's"})).await;
        peer.send(json!({"type": "pong", "requestId": command["requestId"], "timestamp": 5})).await;
        let refused = peer.command().await;
        peer.send(
            json!({"type": "error", "code": "RATE_LIMIT_EXCEEDED", "retryAfter": 3, "requestId": refused["requestId"]}),
        )
        .await;
        peer.close(1012, "restart").await;
    })
    .await;
    let mut client = Client::login(&url, "t").await.unwrap();
    assert_eq!((client.user_id(), &client.greeting()["clientId"]), ("7", &json!("c1")));

    assert_eq!(client.request(json!({"type": "ping"})).await.unwrap()["timestamp"], 5);
    let error = client.request_ok(json!({"type": "ping"})).await.unwrap_err();
    assert_eq!(error.code(), Some("RATE_LIMIT_EXCEEDED"));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));

    // Takes the second message, and leaves the first one and the unrelated answer.
    client.expect("new_message", |e| e["seq"] == 2, SOON).await.unwrap();
    assert_eq!(client.next_event(SOON).await.unwrap()["seq"], 1);
    let close = client.wait_closed(SOON).await.unwrap();
    assert_eq!((close.code, close.reason.as_str()), (Some(1012), "restart"));
    assert_eq!(client.drain().len(), 1);
    assert!(matches!(client.next_event(SOON).await, Err(Error::Closed { .. })));
    server.await.unwrap();
}

#[tokio::test]
async fn a_failed_expectation_tells_what_came_instead() {
    let (url, _server) = serve(|mut peer| async move {
        peer.admit().await;
        peer.send(json!({"type": "user_online", "user": {"userId": "9"}})).await;
        peer.socket.next().await
    })
    .await;
    let mut client = Client::login(&url, "t").await.unwrap();
    let error = client.expect("new_message", |_| true, Duration::from_millis(300)).await.unwrap_err().to_string();
    assert!(error.contains("`new_message`") && error.contains("user_online") && error.contains("\"9\""), "{error}");
    client.expect("user_online", |_| true, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_without_a_reader_and_stay_hidden() {
    let (url, server) = serve(|mut peer| async move {
        peer.admit().await;
        let command = peer.command().await;
        assert_eq!(command["type"], "ping");
        peer.send(json!({"type": "pong", "requestId": command["requestId"]})).await;
        peer.socket.send(Message::Ping("are you there".into())).await.unwrap();
        loop {
            if let Message::Pong(payload) = peer.socket.next().await.unwrap().unwrap() {
                assert_eq!(payload, "are you there");
                return;
            }
        }
    })
    .await;
    let mut client = Connect::new(&url).keepalive(Duration::from_millis(50)).open().await.unwrap();
    client.authenticate("t").await.unwrap();
    server.await.unwrap();
    assert_eq!(client.drain(), Vec::<Value>::new());
}

#[tokio::test]
async fn an_abort_sends_no_close_frame_and_a_close_does() {
    for politely in [true, false] {
        let (url, server) = serve(|mut peer| async move {
            peer.admit().await;
            peer.socket.next().await
        })
        .await;
        let mut client = Client::login(&url, "t").await.unwrap();
        let sender = client.sender();
        if politely {
            client.close().await;
        } else {
            client.abort().await;
        }
        assert_eq!(matches!(server.await.unwrap(), Some(Ok(Message::Close(Some(_))))), politely);
        assert!(sender.send(&json!({"type": "ping"})).await.is_err());
    }
}

#[tokio::test]
async fn a_closed_client_may_be_closed_again_and_aborted() {
    let (url, _server) = serve(|mut peer| async move {
        peer.admit().await;
        while let Some(Ok(_)) = peer.socket.next().await {}
    })
    .await;
    let mut client = Client::login(&url, "t").await.unwrap();
    let close = client.close().await;
    assert_eq!(close.code, Some(1000));
    assert_eq!(client.close().await, close);
    client.abort().await;
}

#[tokio::test]
async fn source_address_and_headers_reach_the_server() {
    let (url, server) = serve(|mut peer| async move {
        peer.send(json!({"type": "connected"})).await;
        (peer.address.ip(), peer.headers)
    })
    .await;
    let source: IpAddr = "127.4.5.6".parse().unwrap();
    Connect::new(&url).source(source).origin("https://chat.example").forwarded_for("203.0.113.9").open().await.unwrap();
    let (address, headers) = server.await.unwrap();
    assert_eq!(address, source);
    for (name, value) in [("origin", "https://chat.example"), ("x-forwarded-for", "203.0.113.9")] {
        assert!(headers.iter().any(|(n, v)| n == name && v == value), "{headers:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_gives_the_servers_reason() {
    let (url, _server) = serve(|mut peer| async move {
        peer.send(json!({"type": "error", "code": "MAX_CONNECTIONS_EXCEEDED", "message": "too many"})).await;
        peer.close(1008, "too many connections").await;
    })
    .await;
    let error = Client::connect(&url).await.unwrap_err();
    assert_eq!(error.code(), Some("MAX_CONNECTIONS_EXCEEDED"));
    assert!(matches!(error, Error::Refused { close, .. } if close.code == Some(1008)));
}

#[tokio::test]
async fn a_refused_upgrade_gives_the_http_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            // Reads the request, because closing would otherwise reset the connection before the client sees the
            // answer.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    });
    assert!(matches!(Client::connect(&url).await, Err(Error::Http { status: 403, .. })));
    assert!(matches!(Connect::new(&url).open_raw().await, Err(Error::Http { status: 403, .. })));
}

#[tokio::test]
async fn broken_frames_go_out_as_they_are() {
    let (url, server) = serve(|mut peer| async move {
        peer.admit().await;
        peer.socket.next().await.unwrap().unwrap_err().to_string()
    })
    .await;
    let client = Client::login(&url, "t").await.unwrap();
    client.send_frame(Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true)).await.unwrap();
    assert!(server.await.unwrap().to_lowercase().contains("utf-8"));

    let (url, server) = serve(|mut peer| async move {
        peer.send(json!({"type": "connected"})).await;
        let error = peer.socket.next().await.unwrap().unwrap_err().to_string();
        peer.close(1002, "").await;
        error
    })
    .await;
    let mut stream = Connect::new(&url).open_raw().await.unwrap();
    let greeting = raw::read_frame(&mut stream).await.unwrap().unwrap();
    assert_eq!(greeting.payload, json!({"type": "connected"}).to_string().as_bytes());
    stream.write_all(b"\x81\x02{}").await.unwrap();
    assert_eq!(raw::read_frame(&mut stream).await.unwrap().unwrap().close_code(), Some(1002));
    drop(stream);
    assert!(server.await.unwrap().contains("unmasked"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_slow_and_loses_nothing() {
    const EVENTS: u64 = 20_000;
    let (url, server) = serve(|mut peer| async move {
        peer.admit().await;
        for number in 0..EVENTS {
            peer.socket
                .feed(Message::text(json!({"type": "e", "n": number, "pad": "x".repeat(900)}).to_string()))
                .await?;
        }
        peer.socket.flush().await
    })
    .await;
    let mut client = Connect::new(&url).queue_events(1).recv_buffer_bytes(8_192).open().await.unwrap();
    client.authenticate("t").await.unwrap();
    for number in 0..EVENTS {
        assert_eq!(client.next_event(SOON).await.unwrap()["n"], number);
    }
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let (url, _server) = serve(|mut peer| async move {
        peer.admit().await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut client = Connect::new(&url).dead_after(Duration::from_millis(200)).open().await.unwrap();
    client.authenticate("t").await.unwrap();
    assert_eq!(client.wait_closed(SOON).await.unwrap().code, None);
}
