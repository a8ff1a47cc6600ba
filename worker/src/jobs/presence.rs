//! Ends what ended elsewhere: grace periods that are over, and the sessions of gateways that died; restores who is believed online
//! when Redis lost it. Any worker does it, and
//! what one takes no other gets.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use shared::clock::Timestamp;
use shared::ids::{GatewayId, UserId};
use shared::lifecycle::Lifecycle;
use uuid::Uuid;

use crate::app::App;
use crate::presence::{self, Transition};
use crate::publish;
use crate::store::{presence as presence_store, purge};

const INTERVAL: Duration = Duration::from_millis(500);
/// A gateway that gave no sign for so long is dead. It gives one every second.
const DEAD_AFTER: Duration = Duration::from_secs(6);
/// Gateways compare their sessions with the registry every 5 s; until then nobody is given up.
const REGISTERED_WITHIN: Duration = Duration::from_secs(15);
/// Whoever holds this advisory lock restores.
const RESTORE_LOCK: i64 = 0x6368_6174_5052_4553;
/// Users announced, and sessions ended, in one go.
const CHUNK: usize = 500;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let draining = lifecycle.draining();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Users taken from the registry but not announced yet, while a store is away.
    let mut gone: Vec<UserId> = Vec::new();
    while !draining.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        if let Err(error) = restore(&app).await {
            tracing::warn!(error = format!("{error:#}"), "who was online could not be restored");
        }
        if let Err(error) = bury_dead_gateways(&app).await {
            tracing::warn!(%error, "dead gateways could not be looked for");
        }
        if let Err(error) = end_graces(&app, &mut gone).await {
            tracing::warn!(error = format!("{error:#}"), "grace periods could not be ended");
        }
    }
    // What was taken must still be told.
    if !gone.is_empty() {
        end_graces(&app, &mut gone).await?;
    }
    Ok(())
}

async fn end_graces(app: &App, gone: &mut Vec<UserId>) -> anyhow::Result<()> {
    loop {
        if gone.is_empty() {
            gone.extend(app.presence.end_graces(&app.redis, CHUNK).await?);
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut db = app.db.acquire().await?;
        let publications = presence::announce(app, &mut db, gone, Transition::WentOffline).await?;
        drop(db);
        publish::publish(app, &publications).await?;
        gone.clear();
    }
}

/// When Redis has lost everything: whoever is believed online is so again, and goes offline unless a gateway registers a session
/// in time.
async fn restore(app: &App) -> anyhow::Result<()> {
    if app.presence.is_complete(&app.redis).await? {
        return Ok(());
    }
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    // Another worker does it, or has just done it.
    if !purge::try_lock(&mut transaction, RESTORE_LOCK).await? || app.presence.is_complete(&app.redis).await? {
        return Ok(());
    }
    let grace = app.settings.common.offline_grace_period.max(REGISTERED_WITHIN);
    let (mut after, mut restored) = (0, 0);
    loop {
        let users = presence_store::list_online(&mut transaction, after, CHUNK as i64).await?;
        let Some(last) = users.last() else { break };
        after = *last;
        restored += users.len();
        let users: Vec<UserId> = users.into_iter().map(UserId).collect();
        app.presence.restore(&app.redis, &users, grace).await?;
    }
    app.presence.set_complete(&app.redis).await?;
    tracing::info!(users = restored, "restored who is believed online");
    Ok(())
}

async fn bury_dead_gateways(app: &App) -> Result<(), Error> {
    let oldest = (Timestamp::now().0 - DEAD_AFTER.as_millis() as i64) as f64;
    let heartbeats = app.keys.heartbeats("gateway");
    let dead: Vec<String> =
        app.redis.zrangebyscore(&heartbeats, f64::NEG_INFINITY, oldest, false, Some((0, 100))).await?;
    for member in dead {
        if let Ok(id) = Uuid::try_parse(&member) {
            let gateway = GatewayId(id);
            let sessions = app.presence.sessions_of(&app.redis, gateway).await?;
            if !sessions.is_empty() {
                tracing::warn!(gateway_id = %gateway, sessions = sessions.len(), "a gateway died; its sessions end");
            }
            for chunk in sessions.chunks(CHUNK) {
                app.presence.close(&app.redis, gateway, chunk, app.settings.common.offline_grace_period).await?;
            }
        }
        // Only if it did not come back meanwhile.
        let _: i64 = app.redis.zremrangebyscore(&heartbeats, f64::NEG_INFINITY, oldest).await?;
    }
    Ok(())
}
