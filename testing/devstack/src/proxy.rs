//! A TCP proxy that plays a bad network: cut (both ways or one), slow, narrow, or resetting connections in the middle of what
//! they carry. It never loses or changes a byte of a connection that lives on, as TCP does not.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::SockRef;

use crate::ports;

/// The interval in which an idle connection notices a change.
const IDLE_LOOK: Duration = Duration::from_millis(50);
/// The same interval while bytes wait to be forwarded.
const BUSY_LOOK: Duration = Duration::from_millis(5);
const CHUNK_BYTES: usize = 16 * 1024;
/// What a direction holds back before it stops reading, so that the sender has to wait.
const HELD_BYTES: usize = 256 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What the network is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Nothing gets through, including new connections, and nobody is notified. What was sent meanwhile arrives
    /// afterwards.
    Cut,
    /// Nothing gets through in this direction.
    OneWayCut(Direction),
    /// Everything arrives later by this time.
    Delay(Duration),
    /// This number of bytes per second gets through in each direction of each connection.
    Narrow {
        bytes_per_second: usize,
    },
}

/// Listens on a port of its own for as long as it lives.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where new connections go.
    upstream: Mutex<SocketAddr>,
    weather: Mutex<Weather>,
    /// Connections of an earlier generation reset themselves.
    generation: AtomicUsize,
    /// The next chunk in that direction is cut in half, and the connection is reset.
    tear_up: AtomicBool,
    tear_down: AtomicBool,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts a proxy in front of a port of this machine.
    pub fn start(upstream_port: u16) -> Result<Self> {
        let port = ports::free_one()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("proxy on {port}"))?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port))),
            weather: Mutex::new(Weather::Fair),
            generation: AtomicUsize::new(0),
            tear_up: AtomicBool::new(false),
            tear_down: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        spawn(move || accept(&listener, &accepting))?;
        Ok(Self { port, shared })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Sends new connections to another port of this machine, as when a name moves to another server; present
    /// connections stay.
    pub fn lead_to(&self, upstream_port: u16) {
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, upstream_port));
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Resets all present connections, like a router that lost its state.
    pub fn reset(&self) {
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Cuts the next chunk in this direction in half, and then resets its connection.
    pub fn tear_next(&self, direction: Direction) {
        self.shared.tear(direction).store(true, Ordering::Release);
    }

    /// Returns true if a connection was torn since [`Self::tear_next`].
    pub fn has_torn(&self, direction: Direction) -> bool {
        !self.shared.tear(direction).load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the accepting thread.
        let _ = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), CONNECT_WITHIN);
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tear(&self, direction: Direction) -> &AtomicBool {
        match direction {
            Direction::Up => &self.tear_up,
            Direction::Down => &self.tear_down,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name("proxy".to_owned()).spawn(work).map(drop).context("thread of a proxy")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for accepted in listener.incoming() {
        if shared.is_stopped() {
            return;
        }
        let Ok(near) = accepted else { continue };
        let shared = shared.clone();
        // If no thread can be started, the connection is dropped, which also happens in a bad network.
        let _ = spawn(move || connect(near, shared));
    }
}

/// One connection: waits for the network, connects onwards, and runs both directions.
fn connect(near: TcpStream, shared: Arc<Shared>) {
    let generation = shared.generation.load(Ordering::Acquire);
    while shared.weather() == Weather::Cut {
        if shared.is_stopped() || generation != shared.generation.load(Ordering::Acquire) {
            return;
        }
        std::thread::sleep(BUSY_LOOK);
    }
    let upstream = *shared.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(far) = TcpStream::connect_timeout(&upstream, CONNECT_WITHIN) else { return };
    let connection = Arc::new(Connection { near, far, generation, shared, is_over: AtomicBool::new(false) });
    for stream in [&connection.near, &connection.far] {
        let prepared = stream.set_nodelay(true).and_then(|()| stream.set_write_timeout(Some(IDLE_LOOK)));
        // Dropped unread, it is reset and not ended: that is how it looks to both sides when it breaks.
        if prepared.and_then(|()| SockRef::from(stream).set_linger(Some(Duration::ZERO))).is_err() {
            return;
        }
    }
    let other = connection.clone();
    if spawn(move || Pump::new(&other, Direction::Down).run()).is_ok() {
        Pump::new(&connection, Direction::Up).run();
    }
}

struct Connection {
    near: TcpStream,
    far: TcpStream,
    generation: usize,
    shared: Arc<Shared>,
    is_over: AtomicBool,
}

impl Connection {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
            || self.shared.is_stopped()
            || self.generation != self.shared.generation.load(Ordering::Acquire)
    }
}

/// One direction of one connection.
struct Pump<'a> {
    connection: &'a Connection,
    direction: Direction,
    from: &'a TcpStream,
    to: &'a TcpStream,
    /// What was read, and when it is due.
    held: VecDeque<(Instant, Vec<u8>)>,
    held_bytes: usize,
    /// The sender has ended its side.
    is_ended: bool,
    /// Nothing more gets through a narrow connection before then.
    narrow_until: Instant,
}

impl<'a> Pump<'a> {
    fn new(connection: &'a Connection, direction: Direction) -> Self {
        let (from, to) = match direction {
            Direction::Up => (&connection.near, &connection.far),
            Direction::Down => (&connection.far, &connection.near),
        };
        let narrow_until = Instant::now();
        Self { connection, direction, from, to, held: VecDeque::new(), held_bytes: 0, is_ended: false, narrow_until }
    }

    fn run(mut self) {
        while !self.connection.is_over() {
            let weather = self.connection.shared.weather();
            let is_cut = weather == Weather::Cut || weather == Weather::OneWayCut(self.direction);
            let worked =
                if is_cut { Ok(false) } else { self.read(weather).and_then(|read| Ok(read | self.write(weather)?)) };
            match worked {
                Err(_) => break,
                Ok(_) if self.is_ended && self.held.is_empty() => {
                    let _ = self.to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(true) => {}
                // A read waits by itself; if there is none, wait here.
                Ok(false) if is_cut || self.is_ended || self.held_bytes >= HELD_BYTES => {
                    std::thread::sleep(if is_cut { IDLE_LOOK / 5 } else { BUSY_LOOK });
                }
                Ok(false) => {}
            }
        }
        self.connection.is_over.store(true, Ordering::Release);
    }

    /// Reads what has arrived; returns true if there was anything.
    fn read(&mut self, weather: Weather) -> std::io::Result<bool> {
        if self.is_ended || self.held_bytes >= HELD_BYTES {
            return Ok(false);
        }
        let look = if self.held.is_empty() { IDLE_LOOK } else { BUSY_LOOK };
        self.from.set_read_timeout(Some(look))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match (&mut &*self.from).read(&mut chunk) {
            Ok(0) => {
                self.is_ended = true;
                return Ok(true);
            }
            Ok(read) => read,
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        chunk.truncate(read);
        let delay = if let Weather::Delay(delay) = weather { delay } else { Duration::ZERO };
        self.held_bytes += read;
        self.held.push_back((Instant::now() + delay, chunk));
        Ok(true)
    }

    /// Forwards what is due; returns true if there was anything.
    fn write(&mut self, weather: Weather) -> std::io::Result<bool> {
        let mut any = false;
        while let Some((due, chunk)) = self.held.front_mut() {
            let now = Instant::now();
            if *due > now || self.connection.is_over() {
                break;
            }
            let mut count = chunk.len();
            if let Weather::Narrow { bytes_per_second } = weather {
                if self.narrow_until > now {
                    break;
                }
                count = count.min((bytes_per_second / 20).max(1));
                self.narrow_until = now + Duration::from_secs_f64(count as f64 / bytes_per_second.max(1) as f64);
            }
            if chunk.len() > 1 && self.connection.shared.tear(self.direction).swap(false, Ordering::AcqRel) {
                let _ = (&mut &*self.to).write(&chunk[..chunk.len() / 2]);
                return Err(ErrorKind::ConnectionReset.into());
            }
            match (&mut &*self.to).write(&chunk[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    chunk.drain(..written);
                    self.held_bytes -= written;
                    any = true;
                }
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            }
            if self.held.front().is_some_and(|(_, chunk)| chunk.is_empty()) {
                self.held.pop_front();
            }
        }
        Ok(any)
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
