//! Opens an authenticated connection for an account, and measures the steps.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::accounts::Account;
use crate::frames::{self, Frame, Frames};
use crate::scan;
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
}

pub async fn log_in(opener: &Opener, target: &Target, account: &Account, index: usize) -> Result<LoggedIn> {
    tokio::time::timeout(MAX_LOGIN_TIME, steps(opener, target, account, index))
        .await
        .context("the login took too long")?
}

async fn steps(opener: &Opener, target: &Target, account: &Account, index: usize) -> Result<LoggedIn> {
    let begin = Instant::now();
    let (wire, rest) = opener.open(target, index).await?;
    let mut frames = Frames::default();
    frames.push(&rest);
    let mut reading = Reading { wire, frames };
    reading.until(b"connected", |_| ()).await?;
    let connected = Instant::now();
    let mut command = Vec::with_capacity(512);
    // Writing to a vector cannot fail.
    let _ = write!(command, "{{\"type\":\"authenticate\",\"token\":\"{}\"}}", account.token);
    let mut frame = Vec::with_capacity(command.len() + 16);
    frames::write_text(&mut frame, &command);
    reading.wire.write_all(&frame).await?;
    reading.wire.flush().await?;
    let queued = |text: &[u8]| scan::number(text, b"\"queuedEvents\":").unwrap_or(0);
    let queued_events = reading.until(b"auth_success", queued).await?;
    Ok(LoggedIn {
        wire: reading.wire,
        frames: reading.frames,
        connect: connected - begin,
        authenticate: connected.elapsed(),
        queued_events,
    })
}

struct Reading {
    wire: Wire,
    frames: Frames,
}

impl Reading {
    /// Waits for the event of this type; fails on an error, and ignores everything else.
    async fn until<R>(&mut self, wanted: &[u8], f: impl Fn(&[u8]) -> R) -> Result<R> {
        let mut buffer = [0; 4096];
        loop {
            let seen = self.frames.next(|frame| match frame {
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
