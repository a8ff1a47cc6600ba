//! Purges deleted groups whose retention has ended, what was deleted of direct conversations, and events of deleted groups
//! that wait for many members, in bounded transactions. Any worker can do it; a group or conversation that one works on
//! is locked, and the others take another one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::store::session::PgSession;
use shared::ids::{ConversationId, UserId};
use shared::lifecycle::Lifecycle;

use super::rest;
use crate::app::App;
use crate::store::{groups, purge};
use crate::waiting::{self, USERS_TOGETHER};

const INTERVAL: Duration = Duration::from_secs(5);
/// The number of messages deleted in one transaction.
const BATCH: i64 = 2_000;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        while !lifecycle.is_draining() {
            let begun = Instant::now();
            match purge_some(&app).await {
                Ok(true) => rest::after(begun).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "deleted messages could not be purged");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Runs one transaction. Returns true if there was anything to do.
async fn purge_some(app: &App) -> sqlx::Result<bool> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let after = app.settings.group_purge_after;
    let found = clear_group(app, &mut transaction).await?
        || purge_group(&mut transaction, after).await?
        || purge_conversation(&mut transaction).await?;
    transaction.commit().await?;
    Ok(found)
}

/// Deletes the waiting events of the next members of a deleted group. Returns false if there is no such group, or if so
/// much waits for the next member that `jobs::crowded` comes first.
async fn clear_group(app: &App, db: &mut PgSession) -> sqlx::Result<bool> {
    let Some(clearing) = purge::find_clearing(db).await? else { return Ok(false) };
    let group = clearing.group_id;
    let members = groups::list_member_ids_after(db, group, clearing.after, USERS_TOGETHER as i64).await?;
    let together: HashSet<UserId> = waiting::list_together(app, db, &members).await?.into_iter().collect();
    let cleared: Vec<UserId> = members.iter().copied().take_while(|member| together.contains(member)).collect();
    purge::delete_waiting_events(db, ConversationId::Group(group), &cleared).await?;
    if cleared.len() == members.len() && members.len() < USERS_TOGETHER {
        purge::update_clearing(db, group, None).await?;
    } else if let Some(last) = cleared.last() {
        purge::update_clearing(db, group, Some(*last)).await?;
    }
    Ok(members.is_empty() || !cleared.is_empty())
}

async fn purge_group(db: &mut PgSession, after: Duration) -> sqlx::Result<bool> {
    let Some(group) = purge::find_deleted_group(db, after).await? else { return Ok(false) };
    if purge::delete_messages(db, &group, i64::MAX, BATCH).await? < BATCH as u64 {
        purge::delete_group(db, &group).await?;
        tracing::info!(group_id = %group, "a deleted group was purged");
    }
    Ok(true)
}

async fn purge_conversation(db: &mut PgSession) -> sqlx::Result<bool> {
    let Some(found) = purge::find_purge(db).await? else { return Ok(false) };
    if purge::delete_messages(db, &found.conversation_id, found.up_to_seq, BATCH).await? < BATCH as u64 {
        purge::delete_purge(db, &found.conversation_id).await?;
    }
    Ok(true)
}
