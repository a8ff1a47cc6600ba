//! Reads and writes one socket without owning buffers: reads use a buffer of the thread, writes send everything that
//! waits in one vectored call. It does not know what the bytes mean.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;
use crate::connection::outbox::Outgoing;
use crate::metrics::Totals;

/// What a session runs on: a TCP stream, a TLS stream, or a pipe in tests.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

const SCRATCH_BYTES: usize = 32 * 1024;
/// Frames in one write call.
const MAX_SLICES: usize = 64;

thread_local! {
    /// One per thread is enough, since a thread reads one connection at a time; an idle connection owns no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

pub struct Io<S> {
    pub socket: S,
    /// Bytes that came with the upgrade request.
    early: Bytes,
    /// Taken from the outbox and not yet written.
    writing: VecDeque<Outgoing>,
    /// The number of bytes of the first of them that are written.
    begun: usize,
}

/// What [`Io::poll_write`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// True if anything was written.
    pub any: bool,
    /// Receipts are due.
    pub receipts_due: bool,
}

/// The result of one [`Io::poll_read`].
pub enum Read<R> {
    Data(R),
    End,
}

impl<S: Socket> Io<S> {
    pub fn new(socket: S, early: Bytes) -> Self {
        Io { socket, early, writing: VecDeque::new(), begun: 0 }
    }

    /// Reads once and hands the bytes to `f`.
    pub fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        totals: &Totals,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Poll<io::Result<Read<R>>> {
        if !self.early.is_empty() {
            let mut early = std::mem::take(&mut self.early).to_vec();
            return Poll::Ready(Ok(Read::Data(f(&mut early))));
        }
        SCRATCH.with(|scratch| {
            let mut scratch = scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            Totals::add(&totals.reads, 1);
            let bytes = buffer.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Ok(Read::End));
            }
            Totals::add(&totals.bytes_received, bytes.len() as u64);
            Poll::Ready(Ok(Read::Data(f(bytes))))
        })
    }

    /// Writes everything that waits; ready when all is written.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        connection: &Connection,
        totals: &Totals,
    ) -> Poll<io::Result<Written>> {
        let mut done = Written::default();
        loop {
            if self.writing.is_empty() {
                connection.take_outgoing(&mut self.writing);
            }
            if self.writing.is_empty() {
                // TLS keeps what the socket has not taken yet.
                return match Pin::new(&mut self.socket).poll_flush(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending if !done.any => Poll::Pending,
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(done)),
                };
            }
            let written = ready!(self.poll_write_once(cx))?;
            Totals::add(&totals.writes, 1);
            Totals::add(&totals.bytes_sent, written as u64);
            let frames = self.advance(written);
            Totals::add(&totals.frames_sent, frames as u64);
            done.any = true;
            done.receipts_due |= connection.written(written, frames, &mut self.writing);
        }
    }

    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let (mut count, mut begun) = (0, self.begun);
        for (slice, item) in slices.iter_mut().zip(&self.writing) {
            *slice = IoSlice::new(&item.bytes[std::mem::take(&mut begun)..]);
            count += 1;
        }
        match ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..count]))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => Poll::Ready(Ok(written)),
        }
    }

    /// Records that further bytes are written; returns how many frames that completes.
    fn advance(&mut self, written: usize) -> usize {
        self.begun += written;
        let mut complete = 0;
        for item in &self.writing {
            if self.begun < item.bytes.len() {
                break;
            }
            self.begun -= item.bytes.len();
            complete += 1;
        }
        complete
    }

    /// Drops what waits, except a frame that may be half written.
    pub fn abandon(&mut self) {
        self.writing.truncate(1);
    }
}
