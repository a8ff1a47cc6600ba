//! `chatctl dlq …`: inspects the commands that failed for good, requeues them or deletes them. Content is shown only on
//! request.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::lifecycle::Lifecycle;
use shared::redis::dead_letters::{DeadLetters, Stored};
use shared::redis::keys::Keys;
use shared::stream::Body;
use shared::wire::Wire;

use crate::settings::Settings;
use crate::terminal::{print_line, printable};

const REDIS_TIMEOUT: Duration = Duration::from_secs(5);
const PAGE: u64 = 100;
/// How long a requeued command may wait for its turn.
const REQUEUE_WITHIN: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Prints id, age, command, user, what it concerns, attempts and reason, separated by tabs, oldest first.
    List {
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Prints a dead letter as JSON, without its content.
    Show {
        id: String,
        /// Also decrypts the body with CHAT_ENCRYPTION_KEY, which shows what people wrote.
        #[arg(long)]
        reveal: bool,
    },
    /// Puts commands back on their lanes for the workers to apply; needs CHAT_ENCRYPTION_KEY. A command that fails
    /// again becomes a dead letter with a new id.
    #[command(name = "replay")]
    Requeue(Which),
    /// Deletes commands for good.
    Drop(Which),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    id: Option<String>,
    /// All present dead letters.
    #[arg(long)]
    all: bool,
}

impl DlqCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let options = settings.redis_options(REDIS_TIMEOUT)?;
        // The URL contains a password, so error messages must not quote it.
        let client = options.client(&Lifecycle::new(Duration::ZERO)).context("REDIS_URL cannot be used")?;
        let letters = DeadLetters::new(client, &Keys::new(settings.redis_prefix()));
        match self {
            DlqCommand::List { limit } => list(&letters, limit).await,
            DlqCommand::Show { id, reveal } => show(settings, &letters, &id, reveal).await,
            DlqCommand::Requeue(which) => for_each(&letters, which, &Action::Requeue(settings.wire()?)).await,
            DlqCommand::Drop(which) => for_each(&letters, which, &Action::Drop).await,
        }
    }
}

async fn list(letters: &DeadLetters, limit: u64) -> Result<()> {
    let (mut after, mut left) = (None, limit);
    while left > 0 {
        let page = letters.list(after.as_deref(), "+", left.min(PAGE)).await.context("Redis")?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        left -= page.len() as u64;
        for stored in &page {
            print_line(&printable(&line(stored)))?;
        }
    }
    let count = letters.count().await.context("Redis")?;
    eprintln!("{} of {count}", limit.saturating_sub(left));
    Ok(())
}

fn line(stored: &Stored) -> String {
    let letter = &stored.letter;
    let (command, user) = match letter.envelope() {
        Ok(envelope) => (envelope.name, envelope.user.to_string()),
        Err(_) => ("unreadable".to_owned(), "-".to_owned()),
    };
    let subject = letter.subject.as_deref().unwrap_or("-");
    let reason = letter.reason.replace(['\t', '\n', '\r'], " ");
    let (id, age, attempts) = (&stored.id, age(stored), letter.attempts);
    format!("{id}\t{age}\t{command}\t{user}\t{subject}\t{attempts}\t{reason}")
}

/// The time since it failed, from the time in its id: `90s`, `12m`, `5h`, `3d`.
fn age(stored: &Stored) -> String {
    let came_at = stored.id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or_default();
    let seconds = Timestamp::now().since(Timestamp(came_at)).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

async fn find(letters: &DeadLetters, id: &str) -> Result<Stored> {
    let found = letters.find(id).await.context("Redis")?;
    found.with_context(|| format!("there is no dead letter {id}; `chatctl dlq list` shows them"))
}

async fn show(settings: &Settings, letters: &DeadLetters, id: &str, reveal: bool) -> Result<()> {
    let stored = find(letters, id).await?;
    let letter = &stored.letter;
    let mut shown = json!({
        "id": stored.id, "lane": letter.lane, "subject": letter.subject, "reason": letter.reason,
        "attempts": letter.attempts, "bytes": letter.entry.len(),
    });
    match letter.envelope() {
        Ok(envelope) => shown["envelope"] = serde_json::to_value(&envelope)?,
        Err(error) => shown["unreadable"] = error.to_string().into(),
    }
    if reveal {
        shown["body"] = body(settings, &stored)?;
    }
    print_line(&printable(&serde_json::to_string_pretty(&shown)?))
}

fn body(settings: &Settings, stored: &Stored) -> Result<Value> {
    match settings.wire()?.open_entry(&stored.letter.lane, &stored.letter.entry)?.1 {
        Body::Client(command) | Body::System(command) => Ok(serde_json::to_value(&command)?),
        Body::WithMetadata(with) => Ok(serde_json::to_value(&with)?),
        Body::Internal(request) => Ok(serde_json::to_value(&request)?),
        Body::Sync(round) => Ok(serde_json::to_value(&round)?),
    }
}

/// What to do with each dead letter.
enum Action {
    Requeue(Wire),
    Drop,
}

impl Action {
    async fn run(&self, letters: &DeadLetters, stored: &Stored) -> Result<()> {
        match self {
            Action::Drop => letters.delete(&stored.id).await.map(drop).context("Redis"),
            Action::Requeue(wire) => {
                if !letters.requeue(wire, stored, Timestamp::now().plus(REQUEUE_WITHIN)).await? {
                    let (id, lane) = (&stored.id, &stored.letter.lane);
                    bail!("{id} came from {lane}, which no worker reads: was PARTITIONS or REDIS_PREFIX changed?");
                }
                Ok(())
            }
        }
    }

    fn done(&self) -> &'static str {
        match self {
            Action::Requeue(_) => "replayed",
            Action::Drop => "dropped",
        }
    }
}

/// In the order in which they failed, so that commands of one conversation keep their order. Letters that arrive
/// meanwhile are left alone.
async fn for_each(letters: &DeadLetters, which: Which, action: &Action) -> Result<()> {
    if let Some(id) = &which.id {
        let stored = find(letters, id).await?;
        action.run(letters, &stored).await?;
        return print_line(&format!("1 {}", action.done()));
    }
    let mut done: u64 = 0;
    if let Some(last) = letters.last_id().await.context("Redis")? {
        let total = letters.count().await.context("Redis")?;
        let mut after = None;
        loop {
            let page = letters.list(after.as_deref(), &last, PAGE).await.context("Redis")?;
            let Some(newest) = page.last() else { break };
            after = Some(newest.id.clone());
            for stored in &page {
                action.run(letters, stored).await.with_context(|| format!("{done} {} before", action.done()))?;
                done += 1;
            }
            eprintln!("{done} of {total} {}", action.done());
        }
    }
    print_line(&format!("{done} {}", action.done()))
}
