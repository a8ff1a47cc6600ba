//! Opens an authenticated connection for an account, and measures the steps.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::accounts::Account;
use crate::frames::{self, Frame, Frames};
use crate::scan;
use crate::socket_io::{self, Packet};
use crate::target::Target;
use crate::wire::{Opener, Wire};

const MAX_LOGIN_TIME: Duration = Duration::from_secs(60);

/// An authenticated connection that is not driven yet.
pub struct LoggedIn {
    pub wire: Wire,
    /// Contains what arrived after `auth_success`.
    pub frames: Frames,
    /// TCP, TLS, upgrade and greeting.
    pub connect: Duration,
    /// From sending the token to `auth_success`.
    pub authenticate: Duration,
    /// The number of missed events that follow.
    pub queued_events: u64,
    pub is_socket_io: bool,
}

/// Logs in; with `batches`, comings and goings arrive in batches.
pub async fn log_in(
    opener: &Opener,
    target: &Target,
    account: &Account,
    index: usize,
    batches: bool,
) -> Result<LoggedIn> {
    tokio::time::timeout(MAX_LOGIN_TIME, steps(opener, target, account, index, batches))
        .await
        .context("the login took too long")?
}

async fn steps(opener: &Opener, target: &Target, account: &Account, index: usize, batches: bool) -> Result<LoggedIn> {
    let begin = Instant::now();
    let (wire, rest) = opener.open(target, index).await?;
    let mut frames = Frames::default();
    frames.push(&rest);
    let mut reading = Reading { wire, frames, is_socket_io: target.is_socket_io() };
    if reading.is_socket_io {
        reading.write(socket_io::CONNECT).await?;
    }
    reading.until(b"connected", |_| ()).await?;
    let connected = Instant::now();
    let mut command = Vec::with_capacity(512);
    // Writing to a vector cannot fail.
    let wants = if batches { ",\"presenceBatches\":true" } else { "" };
    let _ = write!(command, "{{\"type\":\"authenticate\",\"token\":\"{}\"{wants}}}", account.token);
    if reading.is_socket_io {
        command = socket_io::event(&command);
    }
    reading.write(&command).await?;
    let queued = |text: &[u8]| scan::number(text, b"\"queuedEvents\":").unwrap_or(0);
    let queued_events = reading.until(b"auth_success", queued).await?;
    Ok(LoggedIn {
        wire: reading.wire,
        frames: reading.frames,
        connect: connected - begin,
        authenticate: connected.elapsed(),
        queued_events,
        is_socket_io: reading.is_socket_io,
    })
}

struct Reading {
    wire: Wire,
    frames: Frames,
    is_socket_io: bool,
}

impl Reading {
    async fn write(&mut self, text: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 16);
        frames::write_text(&mut frame, text);
        self.wire.write_all(&frame).await?;
        Ok(self.wire.flush().await?)
    }

    /// Waits for the event of this type; fails on an error, and ignores everything else.
    async fn until<R>(&mut self, wanted: &[u8], f: impl Fn(&[u8]) -> R) -> Result<R> {
        let mut buffer = [0; 4096];
        let is_socket_io = self.is_socket_io;
        loop {
            let seen = self.frames.next(|frame| match unwrapped(frame, is_socket_io) {
                Frame::Text(text) if scan::kind(text) == wanted => Ok(Some(f(text))),
                Frame::Text(text) if matches!(scan::kind(text), b"error" | b"auth_error") => {
                    bail!("{}", scan::text(text, b"\"code\":").unwrap_or("an error without a code"))
                }
                Frame::Close(code) => bail!("closed with {code:?}"),
                _ => Ok(None),
            })?;
            match seen {
                Some(Ok(Some(found))) => return Ok(found),
                Some(Ok(None)) => {}
                Some(Err(error)) => return Err(error),
                None => match self.wire.read(&mut buffer).await? {
                    0 => bail!("closed while logging in"),
                    length => self.frames.push(&buffer[..length]),
                },
            }
        }
    }
}

/// The frame without what Socket.IO puts around an event.
fn unwrapped(frame: Frame<'_>, is_socket_io: bool) -> Frame<'_> {
    match frame {
        Frame::Text(text) if is_socket_io => match Packet::parse(text) {
            Packet::Event(json) => Frame::Text(json),
            _ => Frame::Other,
        },
        frame => frame,
    }
}
