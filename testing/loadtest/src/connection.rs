//! An authenticated connection on the agent's one thread: a task reads, and senders write directly.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::frames::{self, Frame, Frames};
use crate::login::LoggedIn;
use crate::socket_io::{self, Packet};
use crate::wire::Wire;

const READ_BYTES: usize = 64 * 1024;
/// The most reads per wake-up; then other tasks get their turn.
const ROUNDS: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What a scenario does with what arrives.
pub trait Handler {
    /// `at` is when the bytes were read.
    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant);
    /// False if what this account gets is only taken off the socket and thrown away, which costs the least.
    fn reads(&self, _index: usize) -> bool {
        true
    }
    /// The connection ended, but this side did not close it.
    fn closed(&self, connection: &Rc<Connection>, why: &str);
}

#[derive(Debug)]
pub struct Connection {
    /// The account's place in the agent's plan.
    pub index: usize,
    is_socket_io: bool,
    /// `None` after the end.
    wire: RefCell<Option<Wire>>,
    unwritten: RefCell<Vec<u8>>,
    /// Set while a batch of events is handled: everything sent meanwhile goes out in one write.
    corked: Cell<bool>,
    dropped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    /// Takes over a connection; a task of the local set reads it from now on.
    pub fn start(index: usize, login: LoggedIn, handler: Rc<dyn Handler>) -> Rc<Self> {
        let connection = Rc::new(Self {
            index,
            is_socket_io: login.is_socket_io,
            wire: RefCell::new(Some(login.wire)),
            unwritten: RefCell::default(),
            corked: Cell::new(false),
            dropped: Cell::new(false),
            waker: RefCell::default(),
        });
        let (reading, mut frames) = (Rc::clone(&connection), login.frames);
        frames.skips_texts = !handler.reads(index);
        tokio::task::spawn_local(async move {
            let why = poll_fn(|cx| reading.poll(cx, &mut frames, &*handler)).await;
            reading.wire.borrow_mut().take();
            if !reading.dropped.get() {
                handler.closed(&reading, &why);
            }
        });
        connection
    }

    /// Sends a command. Never waits: what the socket does not accept is kept.
    pub fn send(&self, json: &[u8]) {
        let mut unwritten = self.unwritten.borrow_mut();
        if self.is_socket_io {
            frames::write_text(&mut unwritten, &socket_io::event(json));
        } else {
            frames::write_text(&mut unwritten, json);
        }
        if !self.corked.get() {
            self.write_now(&mut unwritten);
        }
    }

    /// Ends it like a network failure: without a close frame.
    pub fn drop_it(&self) {
        self.dropped.set(true);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub fn is_open(&self) -> bool {
        !self.dropped.get() && self.wire.borrow().is_some()
    }

    fn write_now(&self, unwritten: &mut Vec<u8>) {
        let written = match &*self.wire.borrow() {
            Some(wire) => wire.try_write(unwritten),
            None => return unwritten.clear(),
        };
        match written {
            Ok(count) if count == unwritten.len() => return unwritten.clear(),
            Ok(count) => drop(unwritten.drain(..count)),
            // The task finds out what is wrong, or waits until the socket accepts more.
            Err(_) => {}
        }
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn poll(self: &Rc<Self>, cx: &mut Context<'_>, frames: &mut Frames, handler: &dyn Handler) -> Poll<String> {
        if self.waker.borrow().as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            self.waker.replace(Some(cx.waker().clone()));
        }
        for _ in 0..ROUNDS {
            if self.dropped.get() {
                return Poll::Ready(String::new());
            }
            self.corked.set(true);
            let handled = self.handle(frames, handler);
            self.corked.set(false);
            if let Err(why) = handled {
                return Poll::Ready(why);
            }
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(error.to_string());
            }
            match ready!(self.poll_read(cx, frames)) {
                Ok(0) => return Poll::Ready("the server closed TCP".to_owned()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error.to_string()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn handle(self: &Rc<Self>, frames: &mut Frames, handler: &dyn Handler) -> Result<(), String> {
        let at = Instant::now();
        let mut close = None;
        let mut each = |frame: Frame<'_>| match frame {
            Frame::Text(text) if self.is_socket_io => match Packet::parse(text) {
                Packet::Event(json) => handler.text(self, json, at),
                Packet::Ping => frames::write_text(&mut self.unwritten.borrow_mut(), socket_io::PONG),
                Packet::Other => {}
            },
            Frame::Text(text) => handler.text(self, text, at),
            Frame::Ping(payload) => frames::write_pong(&mut self.unwritten.borrow_mut(), payload),
            Frame::Close(code) => close = Some(code),
            Frame::Other => {}
        };
        while frames.next(&mut each).map_err(|error| error.to_string())?.is_some() {}
        match close {
            Some(code) => Err(format!("close code {}", code.unwrap_or(1005))),
            None => Ok(()),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.borrow_mut();
        let Some(wire) = wire.as_mut() else { return Poll::Ready(Ok(())) };
        let mut unwritten = self.unwritten.borrow_mut();
        if unwritten.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !unwritten.is_empty() {
            let count = ready!(Pin::new(&mut *wire).poll_write(cx, &unwritten))?;
            unwritten.drain(..count);
        }
        Pin::new(wire).poll_flush(cx)
    }

    fn poll_read(&self, cx: &mut Context<'_>, frames: &mut Frames) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.borrow_mut();
        let Some(wire) = wire.as_mut() else { return Poll::Ready(Ok(0)) };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(wire).poll_read(cx, &mut buffer))?;
            frames.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }
}
