//! Deletes messages that have been kept long enough (`RETENTION`, `chatctl conversation retention`), in bounded
//! transactions: the oldest of a conversation first, so that what is left of it is what follows a number. Devices learn of
//! it by `sync`. One worker at a time walks the conversations.

use std::sync::Arc;
use std::time::Duration;

use shared::lifecycle::Lifecycle;

use crate::app::App;
use crate::store::expiry::Candidate;
use crate::store::{Spelled, expiry, purge};

const INTERVAL: Duration = Duration::from_secs(3_600);
/// The pause after a round that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
const CONVERSATIONS_TOGETHER: i64 = 500;
/// The number of messages deleted in one transaction, which holds up whoever writes to the conversation.
const BATCH: i64 = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// The worker that holds this advisory lock deletes.
const LOCK: i64 = 0x6368_6174_4558_5031;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        if let Err(error) = walk(&app, &lifecycle).await {
            tracing::warn!(%error, "old messages could not be deleted");
            ticks.reset_after(RETRY_PAUSE);
        }
    }
    Ok(())
}

async fn walk(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    let keep_seconds = app.settings.retention.map(|retention| retention.as_secs().min(i64::MAX as u64) as i64);
    let mut place = Spelled::default();
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let found = match keep_seconds {
            Some(keep) => expiry::list_candidates(&mut db, &place, keep, CONVERSATIONS_TOGETHER).await?,
            None => expiry::list_candidates_of_their_own(&mut db, &place, CONVERSATIONS_TOGETHER).await?,
        };
        drop(db);
        let Some(last) = found.last() else { return Ok(()) };
        place.clone_from(&last.conversation_id);
        for candidate in found.iter().filter(|candidate| candidate.is_due) {
            if !trim(app, lifecycle, candidate).await? {
                return Ok(());
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Deletes what is old in one conversation. False if another worker is at it.
async fn trim(app: &App, lifecycle: &Lifecycle, candidate: &Candidate) -> sqlx::Result<bool> {
    let (conversation, Some(keep_seconds)) = (&candidate.conversation_id, candidate.keep_seconds) else {
        return Ok(true);
    };
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let mut transaction = db.begin().await?;
        if !purge::try_lock(&mut transaction, LOCK).await? {
            return Ok(false);
        }
        let through = expiry::update_expired(&mut transaction, conversation, keep_seconds, BATCH).await?;
        let deleted = match through {
            Some(through) => purge::delete_messages(&mut transaction, conversation, through, BATCH).await?,
            None => 0,
        };
        transaction.commit().await?;
        drop(db);
        tokio::time::sleep(PAUSE).await;
        if deleted < BATCH as u64 {
            break;
        }
    }
    Ok(true)
}
