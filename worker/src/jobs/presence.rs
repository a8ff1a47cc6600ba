//! Ends what ended elsewhere: grace periods that are over, and the sessions of gateways that died. Also restores the
//! online users if Redis lost them. Any worker can do it, and what one takes the others do not get.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::prelude::*;
use shared::clock::{self, Timestamp};
use shared::ids::{GatewayId, UserId};
use shared::lifecycle::Lifecycle;
use shared::redis::redirect::keyed;
use shared::telemetry::with_causes;
use uuid::Uuid;

use crate::app::App;
use crate::presence::{self, Transition};
use crate::store::session::PgSession;
use crate::store::users::NOBODY;
use crate::store::{presence as presence_store, purge};

const INTERVAL: Duration = Duration::from_millis(500);
/// A gateway without a heartbeat for this long while it is watched is dead.
const DEAD_AFTER: Duration = Duration::from_secs(3);
/// How many silent gateways are checked together.
const MAX_DEAD: i64 = 1_000;
/// Gateways compare their sessions with the registry every 5 s; until then no user is given up.
const REGISTERED_WITHIN: Duration = Duration::from_secs(15);
/// The worker that holds this advisory lock restores.
const RESTORE_LOCK: i64 = 0x6368_6174_5052_4553;
/// How many users are announced, and sessions ended, at once.
const CHUNK: usize = 500;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    let mut silent = Silent::default();
    // Users removed from the registry but not announced yet, while a store is away.
    let mut gone: Vec<UserId> = Vec::new();
    while ticks.next().await {
        if let Err(error) = restore(&app).await {
            tracing::warn!(error = %with_causes(&error), "the online users could not be restored");
        }
        if let Err(error) = register_late(&app).await {
            tracing::warn!(error = %with_causes(&error), "sessions could not be registered yet");
        }
        if let Err(error) = bury_dead_gateways(&app, &mut silent).await {
            tracing::warn!(%error, "dead gateways could not be looked for");
        }
        if let Err(error) = end_graces(&app, &mut gone).await {
            tracing::warn!(error = %with_causes(&error), "grace periods could not be ended");
        }
    }
    // What was removed must still be announced.
    if !gone.is_empty() {
        end_graces(&app, &mut gone).await?;
    }
    Ok(())
}

async fn end_graces(app: &App, gone: &mut Vec<UserId>) -> anyhow::Result<()> {
    let grace = app.settings.common.offline_grace_period;
    loop {
        // After the clock was set it does not say how long a grace period has lasted: each may last once more.
        if gone.is_empty() && !clock::jumped_within(grace) {
            gone.extend(app.presence.end_graces(&app.redis, grace.max(REGISTERED_WITHIN), CHUNK).await?);
        }
        if gone.is_empty() {
            return Ok(());
        }
        let mut db = app.db.acquire().await?;
        presence::announce(app, &mut db, gone, Transition::WentOffline).await?;
        app.presence.end_announced(&app.redis, gone).await?;
        gone.clear();
    }
}

/// Registers and announces the sessions that could not be registered when they opened. A session that has closed since
/// is registered, too: its gateway finds it, and ends it like any other.
async fn register_late(app: &App) -> anyhow::Result<()> {
    let late = app.late_sessions.take();
    let mut result = Ok(());
    for (gateway, sessions) in late {
        let registered = async {
            app.presence.register(&app.redis, gateway, &sessions).await?;
            let users: Vec<UserId> = sessions.iter().map(|session| session.user).collect();
            presence::announce(app, &mut app.db.acquire().await?, &users, Transition::CameOnline).await
        };
        if let Err(error) = registered.await {
            app.late_sessions.push(gateway, &sessions);
            result = Err(error);
        }
    }
    result
}

/// Written by a release before 0.2, which kept no epoch.
const MARK_OF_BEFORE: &str = "1";

/// Restores after Redis or the database has lost data: users stored as online in one become online in the other.
async fn restore(app: &App) -> anyhow::Result<()> {
    let epoch = app.epoch.current().0;
    let mark = epoch.simple().to_string();
    let found = app.presence.complete(&app.redis).await?;
    if found.as_deref() == Some(mark.as_str()) || (epoch.is_nil() && found.is_some()) {
        return Ok(());
    }
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    // Another worker does it, or has just done it.
    if !purge::try_lock(&mut transaction, RESTORE_LOCK).await? || app.presence.complete(&app.redis).await? != found {
        return Ok(());
    }
    let online = match found.as_deref() {
        None => {
            restore_registry(app, &mut transaction).await?;
            None
        }
        Some(MARK_OF_BEFORE) => None,
        Some(_) => Some(restore_status(app, &mut transaction).await?),
    };
    transaction.commit().await?;
    if let Some(before) = online {
        // Users who came or went meanwhile may have been announced in the other history.
        let now = app.presence.all_online(&app.redis).await?;
        let (was, is): (HashSet<UserId>, HashSet<UserId>) = (before.into_iter().collect(), now.into_iter().collect());
        let difference = |these: &HashSet<UserId>, those| these.difference(those).copied().collect::<Vec<UserId>>();
        presence::announce(app, &mut db, &difference(&is, &was), Transition::CameOnline).await?;
        presence::announce(app, &mut db, &difference(&was, &is), Transition::WentOffline).await?;
    }
    let mark = if epoch.is_nil() { MARK_OF_BEFORE } else { &mark };
    app.presence.set_complete(&app.redis, mark).await?;
    Ok(())
}

/// After Redis has lost everything: users stored as online become online again, and go offline unless a gateway
/// registers a session in time.
async fn restore_registry(app: &App, db: &mut PgSession) -> anyhow::Result<()> {
    let grace = app.settings.common.offline_grace_period.max(REGISTERED_WITHIN);
    let (mut after, mut restored) = (NOBODY, 0);
    loop {
        let users = presence_store::list_online(db, after, CHUNK as i64).await?;
        let Some(last) = users.last() else { break };
        after = *last;
        restored += users.len();
        app.presence.restore(&app.redis, &users, grace).await?;
    }
    tracing::info!(users = restored, "restored the users last known to be online");
    Ok(())
}

/// After the database has another history, for example after a restore: Redis holds what others were told last, so
/// nobody is notified again. Returns the online users.
async fn restore_status(app: &App, db: &mut PgSession) -> anyhow::Result<Vec<UserId>> {
    let online = app.presence.all_online(&app.redis).await?;
    presence_store::replace_online(db, &online).await?;
    tracing::info!(users = online.len(), "the online users were written to the database again");
    Ok(online)
}

/// Gateways that seem dead: their last heartbeat, and since when this worker has seen no other. A gateway is dead only
/// if its heartbeat is old by Redis' clock and has not changed for as long by ours. Neither a clock that was set nor a
/// gateway that uses its own clock, as in release 0.1, can then end sessions.
#[derive(Default)]
struct Silent(HashMap<String, (f64, Instant)>);

impl Silent {
    /// Records all old heartbeats; returns those that have been old for long enough, with their gateways.
    fn note(&mut self, old: Vec<(String, f64)>, now: Instant) -> Vec<(String, f64)> {
        let noted = old.into_iter().map(|(gateway, beat)| {
            let since = match self.0.get(&gateway) {
                Some((known, since)) if *known == beat => *since,
                _ => now,
            };
            (gateway, (beat, since))
        });
        self.0 = noted.collect();
        let dead = self.0.iter().filter(|(_, (_, since))| now.duration_since(*since) >= DEAD_AFTER);
        dead.map(|(gateway, (beat, _))| (gateway.clone(), *beat)).collect()
    }
}

async fn bury_dead_gateways(app: &App, silent: &mut Silent) -> Result<(), Error> {
    let oldest = (Timestamp::now().0 - presence::LATE_AFTER.as_millis() as i64) as f64;
    let heartbeats = app.keys.heartbeats("gateway");
    let old: Vec<(String, f64)> = keyed!(&app.redis, &heartbeats, |sender, key| async move {
        sender.zrangebyscore(key, f64::NEG_INFINITY, oldest, true, Some((0, MAX_DEAD))).await
    })
    .await?;
    for (member, beat) in silent.note(old, Instant::now()) {
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
        // Last, so that another worker continues if this one fails.
        app.presence.forget(&app.redis, &member, beat).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_dead_once_its_heartbeat_stood_still() {
        let (mut silent, start) = (Silent::default(), Instant::now());
        let mut at = |beats: &[(&str, f64)], seconds: u64| {
            let old = beats.iter().map(|(gateway, beat)| ((*gateway).to_owned(), *beat)).collect();
            let dead = silent.note(old, start + Duration::from_secs(seconds));
            let mut dead: Vec<String> = dead.into_iter().map(|(gateway, _)| gateway).collect();
            dead.sort();
            dead
        };
        assert!(at(&[("slow", 1.0), ("dead", 5.0)], 0).is_empty());
        assert!(at(&[("slow", 2.0), ("dead", 5.0)], 2).is_empty());
        assert_eq!(at(&[("slow", 3.0), ("dead", 5.0)], 3), ["dead"]);
        assert!(at(&[("slow", 4.0)], 5).is_empty(), "gateways that are no longer listed are forgotten");
        assert!(at(&[("slow", 5.0), ("dead", 5.0)], 6).is_empty());
    }
}
