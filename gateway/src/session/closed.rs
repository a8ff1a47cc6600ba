//! This gateway's sessions in the fleet's registry: workers register them when they open; here they are removed when
//! they close, and registered again if Redis lost them. Who is notified is not decided here.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::UserId;
use shared::redis::presence::{PresenceScripts, UserSession};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::connection::registry::Registry;
use crate::core::Core;

/// How often the registry is compared with the actual sessions.
const COMPARE_PERIOD: Duration = Duration::from_secs(5);
/// More sessions than these are compared by their number, and one by one only in some of the rounds: in a failover,
/// Redis may have lost as many openings as ends.
const MANY_SESSIONS: usize = 1_000;
const ROUNDS_BY_NUMBER: u32 = 12;
/// Sessions per script run.
const BATCH: usize = 256;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Where ended sessions are put. The queue needs no bound: it holds at most the sessions that were open. A lost entry
/// would keep its user online until this gateway ends.
#[derive(Clone)]
pub struct ClosedSessions {
    sender: mpsc::UnboundedSender<UserSession>,
}

impl ClosedSessions {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<UserSession>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (ClosedSessions { sender }, receiver)
    }

    pub fn push(&self, user: UserId, connection: &Connection) {
        // The receiver is gone when the process ends; then workers find the sessions of a dead gateway.
        let _ = self.sender.send(UserSession { user, connection: connection.id });
    }
}

/// Keeps the registry correct until the process stops.
pub async fn run(
    core: Arc<Core>,
    registry: Arc<Registry>,
    mut closed: mpsc::UnboundedReceiver<UserSession>,
) -> Result<(), Infallible> {
    let presence = PresenceScripts::new(core.keys.clone());
    let mut ticks = core.lifecycle.every_until_stopped(COMPARE_PERIOD);
    let mut batch = Vec::new();
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            biased;
            _ = closed.recv_many(&mut batch, BATCH) => close(&core, &presence, &mut batch).await,
            is_due = ticks.next() => {
                if !is_due {
                    break;
                }
                round = round.wrapping_add(1);
                compare(&core, &registry, &presence, round.is_multiple_of(ROUNDS_BY_NUMBER)).await;
            }
        }
    }
    while let Ok(session) = closed.try_recv() {
        batch.push(session);
    }
    for chunk in batch.chunks(BATCH) {
        if let Err(error) = close_now(&core, &presence, chunk).await {
            tracing::warn!(%error, "sessions are left for the workers to find");
            break;
        }
    }
    Ok(())
}

async fn close(core: &Core, presence: &PresenceScripts, batch: &mut Vec<UserSession>) {
    while let Err(error) = close_now(core, presence, batch).await {
        tracing::warn!(%error, sessions = batch.len(), "sessions could not be removed from the registry");
        if core.lifecycle.stopped().is_cancelled() {
            return;
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    batch.clear();
}

async fn close_now(core: &Core, presence: &PresenceScripts, batch: &[UserSession]) -> Result<(), fred::error::Error> {
    let grace = core.settings.common.offline_grace_period;
    presence.close(&core.redis, core.id, batch, grace).await
}

/// Registers again what Redis lost, and removes what it should not have.
async fn compare(core: &Core, registry: &Registry, presence: &PresenceScripts, one_by_one: bool) {
    if !core.liveness.redis_is_up() {
        return;
    }
    let open = registry.sessions();
    let compared = async {
        let many = open.len() > MANY_SESSIONS && !one_by_one;
        if many && presence.count_of(&core.redis, core.id).await? == open.len() as u64 {
            return Ok(());
        }
        let registered: HashSet<UserSession> = presence.sessions_of(&core.redis, core.id).await?.into_iter().collect();
        let missing: Vec<UserSession> = open.into_iter().filter(|session| !registered.contains(session)).collect();
        for chunk in missing.chunks(BATCH) {
            presence.register(&core.redis, core.id, chunk).await?;
        }
        // Checked once more, so that a session that opened meanwhile is not removed.
        let gone = registered.into_iter().filter(|session| !registry.holds(session));
        let gone: Vec<UserSession> = gone.collect();
        for chunk in gone.chunks(BATCH) {
            close_now(core, presence, chunk).await?;
        }
        Ok::<(), fred::error::Error>(())
    };
    if let Err(error) = compared.await {
        tracing::debug!(%error, "the registry of sessions could not be compared");
    }
}
