//! What outlives a connection of the chat: pending lines, the screen, and the input.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::outbox::Outbox;
use super::screen::Screen;

/// How long lines may stay unacknowledged after the input ended.
pub const FINISH_WITHIN: Duration = Duration::from_secs(30);

/// Everything that outlives a connection.
pub struct Chat {
    pub outbox: Outbox,
    pub screen: Screen,
    pub input: Input,
    pub other: i64,
    pub history: u32,
}

/// The typed lines, and when the input ended.
pub struct Input {
    pub typed: mpsc::Receiver<String>,
    pub ended_at: Option<Instant>,
}

pub enum Typed {
    Line(String),
    /// `/quit`, or the input ended and everything is acknowledged.
    Quit,
    /// The input ended; some lines are still to be acknowledged.
    Ended,
}

impl Input {
    /// The next line; pending forever once the input ended. Cancel safe.
    pub async fn next(&mut self, outbox: &Outbox) -> Typed {
        if self.ended_at.is_some() {
            return std::future::pending().await;
        }
        match self.typed.recv().await {
            Some(line) if line.trim() == "/quit" => Typed::Quit,
            Some(line) => Typed::Line(line),
            None => {
                self.ended_at = Some(Instant::now());
                if outbox.is_empty() { Typed::Quit } else { Typed::Ended }
            }
        }
    }

    pub fn is_over(&self) -> bool {
        self.ended_at.is_some()
    }
}

impl Chat {
    /// Puts a typed line into the outbox, where it stays until it is acknowledged or rejected.
    pub fn take_line(&mut self, line: &str) -> Result<()> {
        let content = match line.strip_prefix('/') {
            // Two slashes start a message that begins with one.
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) => {
                return self.screen.status("commands: /typing, /quit; //text sends /text");
            }
            None => line,
        };
        if content.trim().is_empty() {
            return Ok(());
        }
        if !self.outbox.push(content) {
            return self.screen.status("not sent: too many lines are waiting for the server");
        }
        self.screen.typed()
    }
}
