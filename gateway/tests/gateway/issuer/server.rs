//! An HTTP server that publishes keys, or fails to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer to every request.
#[derive(Clone)]
pub struct Answer {
    head: String,
    body: String,
    is_endless: bool,
}

impl Answer {
    pub fn json(body: &Value) -> Self {
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        Answer { head, body, is_endless: false }
    }

    pub fn status(status: u16) -> Self {
        Answer {
            head: format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
            body: String::new(),
            is_endless: false,
        }
    }

    pub fn redirect(to: &str) -> Self {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        Answer { head, body: String::new(), is_endless: false }
    }

    /// A body that does not end.
    pub fn endless() -> Self {
        Answer { head: "HTTP/1.1 200 OK\r\n\r\n".to_owned(), body: " ".repeat(64 * 1024), is_endless: true }
    }

    /// Sends nothing, on a connection that stays open.
    pub fn silent() -> Self {
        Answer { head: String::new(), body: String::new(), is_endless: true }
    }
}

pub struct Server {
    port: u16,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, requests) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let served = (answer.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, served.0.clone(), served.1.clone()));
            }
        });
        Server { port, answer, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/keys.json", self.port)
    }

    pub fn answer(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(mut socket: TcpStream, answer: Arc<Mutex<Answer>>, requests: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        request.push(byte);
    }
    assert!(request.starts_with(b"GET /keys.json HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
    requests.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().clone();
    let mut written = socket.write_all(answer.head.as_bytes()).await;
    loop {
        if written.is_err() {
            return;
        }
        written = socket.write_all(answer.body.as_bytes()).await;
        match (answer.is_endless, answer.body.is_empty()) {
            (false, _) => return,
            (true, true) => std::future::pending().await,
            (true, false) => {}
        }
    }
}
