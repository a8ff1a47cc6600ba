//! An HTTP server that accepts POSTs, and behaves as badly as a test wants.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

const MAX_BODY_BYTES: usize = 16 << 20;
/// Longer than any test waits.
const HANG: Duration = Duration::from_secs(600);

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Post {
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Post {
    /// Returns the header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    /// 200 with this body.
    Json(String),
    /// 307 to this URL.
    Redirect(String),
    After(Duration, Box<Reply>),
    /// No answer, and the connection stays.
    Hang,
    /// No answer, and the connection ends, as when the receiver dies.
    Close,
    /// 200 with a body that does not end.
    Flood,
}

type Behaviour = Arc<dyn Fn(&Post) -> Reply + Send + Sync>;

struct Shared {
    behaviour: Mutex<Behaviour>,
    /// The requests that were answered with 2xx, in the order of the answers.
    taken: Mutex<Vec<Post>>,
    posts: AtomicUsize,
    connections: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts requests until the process ends.
pub struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

impl Receiver {
    /// Starts a receiver that answers everything with 200.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for a receiver")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Arc::new(|_| Reply::Status(200))),
            taken: Mutex::default(),
            posts: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let shared = serving.clone();
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Ok(Receiver { port, shared })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks?from=chat", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes how it answers, from the next request on.
    pub fn behave(&self, behaviour: impl Fn(&Post) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.behaviour) = Arc::new(behaviour);
    }

    pub fn taken(&self) -> Vec<Post> {
        lock(&self.shared.taken).clone()
    }

    /// Returns the number of requests, however they were answered.
    pub fn posts(&self) -> usize {
        self.shared.posts.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(post) = read(&mut reader)? {
        shared.posts.fetch_add(1, Ordering::Relaxed);
        let behaviour = lock(&shared.behaviour).clone();
        if !reply(stream, shared, post.clone(), behaviour(&post))? {
            break;
        }
    }
    Ok(())
}

/// Returns true if the connection stays open.
fn reply(mut stream: &TcpStream, shared: &Shared, post: Post, reply: Reply) -> Result<bool> {
    match reply {
        Reply::Status(status) => {
            // Recorded first, because the test may look as soon as it has the answer.
            if (200..300).contains(&status) {
                lock(&shared.taken).push(post);
            }
            let body = if status == 204 { "" } else { "ok" };
            write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            Ok(true)
        }
        Reply::Json(body) => {
            lock(&shared.taken).push(post);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            Ok(true)
        }
        Reply::Redirect(url) => {
            write!(stream, "HTTP/1.1 307 Elsewhere\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n")?;
            Ok(true)
        }
        Reply::After(pause, then) => {
            thread::sleep(pause);
            self::reply(stream, shared, post, *then)
        }
        Reply::Hang => {
            thread::sleep(HANG);
            Ok(false)
        }
        Reply::Close => Ok(false),
        Reply::Flood => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = format!("2000\r\n{}\r\n", "x".repeat(0x2000));
            loop {
                stream.write_all(chunk.as_bytes())?;
            }
        }
    }
}

/// Reads the next request; `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> Result<Option<Post>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length.min(MAX_BODY_BYTES)];
    reader.read_exact(&mut body)?;
    Ok(Some(Post { headers, body: String::from_utf8(body)? }))
}
