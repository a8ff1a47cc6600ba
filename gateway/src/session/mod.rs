//! The loop of one connection: job, write, read, and the end. It decides nothing about commands and events. The path of
//! what a client sends: `handshake` → this loop with `io` → `decode` → `handler`, which opens sessions by
//! `authenticate` and `opening` and hands commands to `lanes`.

pub mod authenticate;
pub mod closed;
pub mod decode;
pub mod handler;
pub mod handshake;
mod inflow;
pub mod io;
mod lookup;
pub mod opening;
pub mod sign_in;
pub mod sweep;
mod waiting;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use shared::limits::MAX_UNAUTHENTICATED_BYTES;
use shared::protocol::CloseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use websocket::{Decoder, Message, close_frame, pong_frame};

use self::handler::Handler;
use self::handshake::Entry;
use self::inflow::{FRAME_BYTES, Inflow, READ_PAUSE_BYTES};
use self::io::{Io, Read, Socket, Written};
use crate::connection::{Close, Connection};
use crate::gateway::Gateway;
use crate::metrics::Totals;

/// The rounds of one wake-up, after which others get their turn.
const MAX_ROUNDS: u32 = 16;
/// The decompressed text of one wake-up, frames included, after which others get their turn: a read of 32 KiB may expand
/// thirtyfold.
const TURN_BYTES: usize = 256 * 1024;
/// The time for the last frames, the close frame and the client's answer to it.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

pub struct Session<S> {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    io: Io<S>,
    decoder: Decoder,
    inflow: Inflow,
    handler: Handler,
    #[expect(dead_code, reason = "given back when dropped")]
    entry: Entry,
}

fn payload_limit(gateway: &Gateway) -> u32 {
    u32::try_from(gateway.settings.max_payload_bytes).unwrap_or(u32::MAX)
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The socket is gone.
    Lost,
    /// The client sent a close frame.
    ByClient(Option<u16>),
    ByServer(Close),
}

impl<S: Socket> Session<S> {
    pub fn new(gateway: Arc<Gateway>, connection: Arc<Connection>, io: Io<S>, handler: Handler, entry: Entry) -> Self {
        let limit_bytes = payload_limit(&gateway).min(MAX_UNAUTHENTICATED_BYTES);
        let decoder = Decoder::new(limit_bytes, connection.deflate);
        let inflow = Inflow::new(&gateway.settings);
        Session { gateway, connection, io, decoder, inflow, handler, entry }
    }

    /// Runs the connection to its end; a panic in it ends it, too.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold `self` twice")]
    pub fn run(mut self) -> impl Future<Output = ()> + Send {
        async move {
            let running = AssertUnwindSafe(poll_fn(|cx| self.poll(cx))).catch_unwind();
            let end = running.await.unwrap_or_else(|_| {
                self.gateway.metrics.session_panics.increment(1);
                End::ByServer(Close::new(CloseCode::Internal, "Internal error"))
            });
            // Rare and short, so its state should not weigh on every idle connection.
            Box::pin(self.finish(end)).await;
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.connection.register(cx.waker());
        let mut turn_bytes = 0;
        for _ in 0..MAX_ROUNDS {
            let mut again = self.handler.poll_job(cx);
            if again && self.handler.is_authenticated() {
                self.decoder.set_limit(payload_limit(&self.gateway));
            }
            let written = match self.io.poll_write(cx, &self.connection, &self.gateway.totals) {
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending => Written::default(),
            };
            if written.receipts_due {
                self.gateway.pass_on(&self.connection);
            }
            if self.handler.is_waiting() {
                self.handler.pass_waiting_on(cx);
            }
            let signals = self.connection.signals();
            if signals.has_rest && signals.unwritten_bytes == 0 {
                self.handler.ask_for_rest();
            }
            if let Some(close) = signals.close {
                // At a restart, commands in flight are still answered, and nothing new is read.
                if close.code != CloseCode::Restart as u16 || (signals.in_flight == 0 && !self.handler.is_waiting()) {
                    return Poll::Ready(End::ByServer(close));
                }
            } else if !self.handler.is_waiting()
                && signals.in_flight < self.gateway.settings.max_in_flight
                && signals.unwritten_bytes < READ_PAUSE_BYTES
                && self.inflow.poll_ready(cx).is_ready()
            {
                match self.poll_read(cx, &mut turn_bytes) {
                    Poll::Ready(Some(end)) => return Poll::Ready(end),
                    Poll::Ready(None) => again = true,
                    Poll::Pending => {}
                }
            }
            if turn_bytes > TURN_BYTES {
                break;
            }
            // The job may be waiting until everything is written.
            again |= written.any && self.handler.has_job();
            if !again {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once; `Ready(None)` if there may be more. Adds the cost of what was read, in bytes.
    fn poll_read(&mut self, cx: &mut Context<'_>, turn_bytes: &mut usize) -> Poll<Option<End>> {
        let Session { gateway, connection, io, decoder, inflow, handler, .. } = self;
        let read = io.poll_read(cx, &gateway.totals, |bytes| {
            let now_ms = gateway.clock.now_ms();
            connection.timers.last_frame_ms.store(now_ms, Ordering::Relaxed);
            let mut feed = decoder.feed(bytes);
            let (mut frames, mut text_bytes) = (0, 0);
            let end = loop {
                let message = match feed.next_message() {
                    Ok(Some(message)) => message,
                    Ok(None) => break None,
                    Err(error) => {
                        break Some(End::ByServer(Close { code: error.close_code(), reason: error.reason() }));
                    }
                };
                frames += 1;
                match message {
                    Message::Text(text) => {
                        connection.timers.last_text_ms.store(now_ms, Ordering::Relaxed);
                        text_bytes += text.len();
                        handler.on_text(text);
                        if handler.has_given_up() {
                            break None;
                        }
                    }
                    Message::Binary(binary) => {
                        text_bytes += binary.len();
                        handler.on_binary();
                        if handler.has_given_up() {
                            break None;
                        }
                    }
                    Message::Ping(payload) => connection.push(pong_frame(payload)),
                    Message::Pong(_) => {}
                    Message::Close(close) => {
                        break Some(End::ByClient(close.map(|(code, _)| code)));
                    }
                }
            };
            Totals::add(&gateway.totals.frames_received, frames);
            let cost = text_bytes + frames as usize * FRAME_BYTES;
            *turn_bytes += cost;
            inflow.spend(cost, now_ms);
            end
        });
        match read {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Read::Data(end))) => Poll::Ready(end),
            Poll::Ready(Ok(Read::End) | Err(_)) => Poll::Ready(Some(End::Lost)),
        }
    }

    async fn finish(mut self, end: End) {
        self.gateway.registry.remove(&self.connection);
        self.handler.end();
        let (close, counted) = match end {
            End::Lost => (None, 1006),
            End::ByClient(code) => (Some(close_frame(code.map(|code| (code, "")))), code.unwrap_or(1005)),
            End::ByServer(close) => (Some(close_frame(Some((close.code, close.reason)))), close.code),
        };
        self.gateway.metrics.closed.with(code_label(counted)).increment(1);
        let Some(close) = close else { return };
        if counted == CloseCode::TryLater as u16 {
            self.io.abandon();
        }
        let (io, connection, totals) = (&mut self.io, &self.connection, &self.gateway.totals);
        let closing = async {
            poll_fn(|cx| io.poll_write(cx, connection, totals)).await?;
            io.socket.write_all(&close).await?;
            io.socket.shutdown().await?;
            // Closing with unread input would reset the socket, and the close frame might be lost.
            let mut rest = [0; 1024];
            while io.socket.read(&mut rest).await? > 0 {}
            Ok::<(), std::io::Error>(())
        };
        // The connection ends either way.
        let _ = tokio::time::timeout(CLOSE_WITHIN, closing).await;
    }
}

fn code_label(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1005 => "1005",
        1006 => "1006",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1011 => "1011",
        1012 => "1012",
        1013 => "1013",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;
