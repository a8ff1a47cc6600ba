//! `chatctl chat`: an interactive chat in the terminal, line by line.
//!
//! This file has the arguments, and keeps the chat connected. `screen.rs` displays, `session.rs` handles one
//! connection, and `outbox.rs` holds typed lines that are not yet acknowledged.

mod outbox;
mod screen;
mod session;
mod state;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use client::Backoff;
use tokio::time::{Instant, sleep_until};

use self::outbox::Outbox;
use self::screen::Screen;
use self::session::{End, Session};
use self::state::{Chat, FINISH_WITHIN, Input, Typed};
use crate::access::{Access, AccessArguments};
use crate::database;
use crate::settings::Settings;
use crate::terminal;

/// A connection that lasted this long shows that the server works.
const PROVED: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// Your username or id.
    name: String,
    /// Username or id of the other user.
    #[arg(long, value_name = "OTHER")]
    to: String,
    /// How many earlier messages to show.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    history: u32,
    #[command(flatten)]
    access: AccessArguments,
}

impl ChatArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let other = database::resolve(settings, &self.to).await?;
        let mut access = Access::new(settings, &self.access, &self.name).await?;
        let mut chat = Chat {
            outbox: Outbox::default(),
            screen: Screen::new(&self.name, other, &self.to),
            input: Input { typed: terminal::typed_lines(), ended_at: None },
            other,
            history: self.history,
        };
        chat.run(&mut access).await
    }
}

impl Chat {
    async fn run(&mut self, access: &mut Access) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let problem = match access.login(false).await {
                Ok(client) => {
                    let since = Instant::now();
                    let end = Session::new(client, self).run().await?;
                    if since.elapsed() >= PROVED {
                        backoff.reset();
                    }
                    match end {
                        End::Quit => return Ok(()),
                        End::Lost(problem) => problem,
                    }
                }
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error.into()),
            };
            if self.input.ended_at.is_some_and(|ended| ended.elapsed() > FINISH_WITHIN) {
                bail!("{} lines were not acknowledged: {problem}", self.outbox.len());
            }
            let delay = backoff.next_delay();
            self.screen.status(&format!("{problem}; connecting again in {} ms", delay.as_millis()))?;
            if self.wait(delay).await? {
                return Ok(());
            }
        }
    }

    /// Waits, and accepts typed lines meanwhile; `true` if the chat should end.
    async fn wait(&mut self, delay: Duration) -> Result<bool> {
        let end = Instant::now() + delay;
        loop {
            let typed = tokio::select! {
                typed = self.input.next(&self.outbox) => typed,
                () = sleep_until(end) => return Ok(false),
            };
            match typed {
                Typed::Quit => return Ok(true),
                Typed::Ended => {}
                Typed::Line(line) => self.take_line(&line)?,
            }
        }
    }
}
