//! Deletes what has been kept long enough: rows of the event queue, events without recipients, changes of conversations
//! and their events, the records of applied commands and of backends' requests, mutes and bans that have ended, closed
//! reports, and old entries of the audit log. Also measures the tables. One worker at a time, in bounded transactions.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::EventId;
use shared::lifecycle::Lifecycle;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::app::App;
use crate::jobs::crowded;
use crate::store::purge::{self, LogPlace};
use crate::store::replay::first_id;
use crate::store::{Spelled, api_keys, audit, changes, reports, sanctions, shared_events, sign_ins, table_sizes};

const INTERVAL: Duration = Duration::from_secs(600);
/// The pause after a round that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// After this time, no gateway or stream can deliver a command again; its deadline ends within seconds.
const APPLIED_COMMANDS_KEPT: Duration = Duration::from_secs(24 * 3600);
const COMMANDS_PER_TRANSACTION: i64 = 5_000;
/// Shorter than that, so that a repeated request either finds its command applied or is a new one.
const REQUESTS_KEPT: Duration = Duration::from_secs(12 * 3600);
/// Of tokens that live for longer: who signs in so rarely need not see it.
const SIGN_INS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const TABLE_SIZES_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// An event can have a row for each of a group's members.
const EVENTS_PER_TRANSACTION: i64 = 200;
/// How many changes of a conversation are kept, however old they are.
const CHANGES_KEPT: i64 = 10_000;
const CONVERSATIONS_TOGETHER: i64 = 500;
const PAUSE: Duration = Duration::from_millis(20);
/// The worker that holds this advisory lock cleans up.
const LOCK: i64 = 0x6368_6174_5245_5431;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        let cleaned = async {
            clean_commands(&app, &lifecycle).await?;
            clean_requests(&app, &lifecycle).await?;
            clean_audit(&app, &lifecycle).await?;
            clean_sign_ins(&app, &lifecycle).await?;
            clean_moderation(&app, &lifecycle).await?;
            measure_tables(&app).await?;
            clean_events(&app, &lifecycle).await?;
            clean_shared_events(&app, &lifecycle).await?;
            crowded::clean(&app, &lifecycle).await?;
            clean_changes(&app, &lifecycle).await
        };
        if let Err(error) = cleaned.await {
            tracing::warn!(%error, "old rows could not be deleted");
            ticks.reset_after(RETRY_PAUSE);
        }
    }
    Ok(())
}

async fn clean_commands(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let mut transaction = db.begin().await?;
        if !purge::try_lock(&mut transaction, LOCK).await? {
            return Ok(());
        }
        let deleted =
            purge::delete_applied_commands(&mut transaction, APPLIED_COMMANDS_KEPT, COMMANDS_PER_TRANSACTION).await?;
        transaction.commit().await?;
        if deleted < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn clean_requests(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let deleted = api_keys::delete_old_requests(&mut db, REQUESTS_KEPT, COMMANDS_PER_TRANSACTION).await?;
        if deleted < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn clean_audit(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let deleted = audit::delete_old(&mut db, app.settings.audit_retention, COMMANDS_PER_TRANSACTION).await?;
        if deleted < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn clean_sign_ins(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let deleted = sign_ins::delete_old(&mut db, SIGN_INS_KEPT, COMMANDS_PER_TRANSACTION).await?;
        if deleted < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Deletes mutes and bans that have ended, and reports that were closed as long ago as the audit log goes back.
async fn clean_moderation(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let ended = sanctions::delete_ended(&mut db, COMMANDS_PER_TRANSACTION).await?;
        let closed = reports::delete_closed(&mut db, app.settings.audit_retention, COMMANDS_PER_TRANSACTION).await?;
        if ended.max(closed) < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Measures the tables, for as long as the growth of a year is of interest.
async fn measure_tables(app: &App) -> sqlx::Result<()> {
    let mut db = app.db.acquire().await?;
    table_sizes::replace(&mut db).await?;
    table_sizes::delete_old(&mut db, TABLE_SIZES_KEPT).await
}

/// Walks the events from the oldest: those whose rows may all stay yet are passed over.
async fn clean_events(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    let delivered = app.settings.event_retention_delivered;
    let undelivered = app.settings.event_retention_undelivered;
    let mut place = LogPlace { created_at: OffsetDateTime::UNIX_EPOCH, event_id: EventId(Uuid::nil()) };
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let mut transaction = db.begin().await?;
        if !purge::try_lock(&mut transaction, LOCK).await? {
            return Ok(());
        }
        // A row is kept for at least both times, and is never older than its event.
        let old =
            purge::list_old_events(&mut transaction, place, delivered.min(undelivered), EVENTS_PER_TRANSACTION).await?;
        let Some(last) = old.last() else {
            // If it were only dropped, it might still hold the lock when the next attempt needs it.
            return transaction.commit().await;
        };
        place = *last;
        let events: Vec<EventId> = old.iter().map(|place| place.event_id).collect();
        purge::delete_old_events(&mut transaction, &events, delivered, undelivered).await?;
        transaction.commit().await?;
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Shared events are kept as long as events without recipients: their rows do not say who received them.
async fn clean_shared_events(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    let oldest = OffsetDateTime::now_utc() - app.settings.event_retention_undelivered;
    let before = first_id(oldest);
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let mut transaction = db.begin().await?;
        if !purge::try_lock(&mut transaction, LOCK).await? {
            return Ok(());
        }
        let deleted = shared_events::delete_old(&mut transaction, EventId(before), COMMANDS_PER_TRANSACTION).await?;
        transaction.commit().await?;
        if deleted < COMMANDS_PER_TRANSACTION as u64 {
            return Ok(());
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Walks the conversations with changes, and trims those that have more than are kept.
async fn clean_changes(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    let mut place = Spelled::default();
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let found = changes::list_surplus(&mut db, &place, CONVERSATIONS_TOGETHER, CHANGES_KEPT).await?;
        drop(db);
        let Some(last) = found.last() else { return Ok(()) };
        place.clone_from(&last.conversation_id);
        for surplus in &found {
            let (up_to, age) = match (surplus.is_gone, surplus.up_to) {
                (true, _) => (i64::MAX, Duration::ZERO),
                (false, Some(up_to)) => (up_to, app.settings.changes_retention),
                (false, None) => continue,
            };
            while !lifecycle.is_draining() {
                let mut db = app.db.acquire().await?;
                let mut transaction = db.begin().await?;
                if !purge::try_lock(&mut transaction, LOCK).await? {
                    return Ok(());
                }
                let id = &surplus.conversation_id;
                let deleted =
                    changes::delete_old(&mut transaction, id, up_to, age, surplus.is_gone, COMMANDS_PER_TRANSACTION)
                        .await?;
                transaction.commit().await?;
                drop(db);
                tokio::time::sleep(PAUSE).await;
                if deleted < COMMANDS_PER_TRANSACTION {
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
