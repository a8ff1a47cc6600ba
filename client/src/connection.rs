//! The two tasks behind a client: one reads (and so answers pings), one writes. It also defines how a connection ended.
//!
//! Nothing here knows commands or waits for answers; `client.rs` does.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::{Error, observe};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Marks the client's own pings; their answers are not shown.
const KEEPALIVE_REQUEST_ID: &str = "client-keepalive";
const OUTGOING_MESSAGES: usize = 64;
/// How long the server may take to close TCP after its close frame.
const LINGER: Duration = Duration::from_secs(1);
/// Practically never.
const NEVER: Duration = Duration::from_secs(365 * 86_400);
/// RFC 6455: a close frame arrived without a code.
const NO_CODE: u16 = 1005;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseInfo {
    /// The code of the server's close frame (1005 if it had none); `None` if no close frame arrived.
    pub code: Option<u16>,
    pub reason: String,
    /// What broke the connection if no close frame arrived.
    pub detail: Option<String>,
}

impl CloseInfo {
    pub(crate) fn lost(detail: impl Into<String>) -> Self {
        Self { code: None, reason: String::new(), detail: Some(detail.into()) }
    }
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, &self.detail) {
            (Some(code), _) => write!(f, "close code {code} `{}`", self.reason),
            (None, Some(detail)) => write!(f, "no close frame ({detail})"),
            (None, None) => write!(f, "no close frame"),
        }
    }
}

/// Sends on a connection; may be cloned and used from several tasks.
#[derive(Debug, Clone)]
pub struct Sender {
    outgoing: mpsc::Sender<Message>,
    end: Arc<OnceLock<CloseInfo>>,
}

impl Sender {
    /// Hands a command to the socket; waits while 64 earlier ones have not been written.
    pub async fn send(&self, command: &Value) -> Result<(), Error> {
        self.send_message(Message::text(command.to_string())).await
    }

    /// Sends any WebSocket message or, as `Message::Frame`, any single frame.
    pub async fn send_message(&self, message: Message) -> Result<(), Error> {
        self.outgoing.send(message).await.map_err(|_| self.closed())
    }

    fn closed(&self) -> Error {
        let close = self.end.get().cloned().unwrap_or_else(|| CloseInfo::lost("writing to the socket failed"));
        Error::Closed { close, arrived: Vec::new() }
    }
}

/// Bounds and times of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub queue_events: usize,
    pub keepalive: Option<Duration>,
    pub dead_after: Option<Duration>,
    /// True if the program's observer looks at frames.
    pub observed: bool,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub sender: Sender,
    pub events: mpsc::Receiver<Value>,
    pub end: Arc<OnceLock<CloseInfo>>,
    /// The reader and the writer; dropping the set ends them.
    tasks: JoinSet<()>,
}

impl Connection {
    pub fn start(socket: Socket, limits: &Limits) -> Self {
        let (sink, stream) = socket.split();
        let (outgoing, to_write) = mpsc::channel(OUTGOING_MESSAGES);
        let (arrived, events) = mpsc::channel(limits.queue_events);
        let end = Arc::new(OnceLock::new());
        let mut tasks = JoinSet::new();
        let writer = tasks.spawn(write(sink, to_write, limits.keepalive));
        let reader =
            Reader { stream, arrived, end: end.clone(), dead_after: limits.dead_after, observed: limits.observed };
        tasks.spawn(reader.run(writer));
        Self { sender: Sender { outgoing, end: end.clone() }, events, end, tasks }
    }

    /// Drops the socket without a close frame; it is gone when this returns. May be called again.
    pub async fn abort(&mut self) {
        self.tasks.shutdown().await;
    }
}

struct Reader {
    stream: SplitStream<Socket>,
    arrived: mpsc::Sender<Value>,
    end: Arc<OnceLock<CloseInfo>>,
    dead_after: Option<Duration>,
    observed: bool,
}

impl Reader {
    async fn run(mut self, writer: AbortHandle) {
        let close = self.read_to_end().await;
        let clean = close.code.is_some();
        // The end is set before the queue of events ends, so that a reader of the queue's end can read how the
        // connection ended.
        let _ = self.end.set(close);
        drop(self.arrived);
        if clean {
            // Reading further also writes the answer to the server's close frame.
            let _ = timeout(LINGER, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
        }
        writer.abort();
    }

    async fn read_to_end(&mut self) -> CloseInfo {
        loop {
            let next = match self.dead_after {
                Some(limit) => match timeout(limit, self.stream.next()).await {
                    Ok(next) => next,
                    Err(_) => return CloseInfo::lost(format!("nothing came for {limit:?}")),
                },
                None => self.stream.next().await,
            };
            match next {
                None => return CloseInfo::lost("the server closed TCP"),
                Some(Err(error)) => return CloseInfo::lost(error.to_string()),
                Some(Ok(Message::Text(text))) => match parse(text.as_str(), self.observed) {
                    Ok(event) if event["requestId"] == KEEPALIVE_REQUEST_ID => {}
                    // A full queue stops the reading, which looks like a slow client to the server.
                    Ok(event) => {
                        if self.arrived.send(event).await.is_err() {
                            return CloseInfo::lost("the client was dropped");
                        }
                    }
                    Err(broken) => return CloseInfo::lost(broken),
                },
                Some(Ok(Message::Binary(_))) => {
                    return CloseInfo::lost("the server sent a binary message");
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return CloseInfo { code: Some(frame.code.into()), reason: frame.reason.to_string(), detail: None };
                }
                Some(Ok(Message::Close(None))) => {
                    return CloseInfo { code: Some(NO_CODE), reason: String::new(), detail: None };
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            }
        }
    }
}

/// Every message from the server is a JSON object with a string `type`; anything else is a server error.
fn parse(text: &str, observed: bool) -> Result<Value, String> {
    let event: Value = serde_json::from_str(text)
        .map_err(|e| format!("the server sent something that is not JSON ({e}): {text:.200}"))?;
    if !event["type"].is_string() {
        return Err(format!("the server sent something that is not an object with a type: {text:.200}"));
    }
    if observed {
        observe::event(&event)?;
    }
    Ok(event)
}

async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut to_write: mpsc::Receiver<Message>,
    keepalive: Option<Duration>,
) {
    // Without a keep-alive, the ticks are so rare that they do not matter.
    let period = keepalive.map_or(NEVER, |period| period.clamp(Duration::from_millis(1), NEVER));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = to_write.recv() => match message {
                Some(message) => message,
                None => return,
            },
            _ = ticks.tick() => {
                Message::text(json!({"type": "ping", "requestId": KEEPALIVE_REQUEST_ID}).to_string())
            }
        };
        if sink.feed(message).await.is_err() {
            return;
        }
        // Everything else that is waiting goes out in the same write.
        while let Ok(message) = to_write.try_recv() {
            if sink.feed(message).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}
