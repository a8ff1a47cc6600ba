//! What every part of the worker shares: stores, keys and settings. It holds no rules, and no state of a single
//! command.

use std::sync::Arc;

use fred::prelude::Client;
use shared::config::WorkerSettings;
use shared::crypto::Keyring;
use shared::ids::WorkerId;
use shared::redis::client::RedisOptions;
use shared::redis::keys::Keys;
use shared::redis::presence::PresenceScripts;
use shared::redis::publisher::Publisher;
use shared::redis::time::FleetClock;
use shared::telemetry::traces::Tracer;
use shared::wire::{DecodeError, Wire};

use crate::answers::AnswerChannels;
use crate::api::password_work::PasswordWork;
use crate::api::picture_cache::PictureCache;
use crate::audiences::Audiences;
use crate::before_send::hook::BeforeSend;
use crate::consume::load::Load;
use crate::consume::withdrawal::Withdrawal;
use crate::crowded::CrowdedUsers;
use crate::late_sessions::LateSessions;
use crate::metrics::{Counts, WorkerMetrics};
use crate::recent::Recent;
use crate::store::epoch::CurrentEpoch;
use crate::store::replica::Replica;
use crate::store::session::Database;
use crate::strangers::Strangers;
use crate::webhooks::subscriptions::Subscriptions;

pub struct App {
    /// This process; new at each start. The names of its consumer groups begin with it.
    pub worker_id: WorkerId,
    pub settings: WorkerSettings,
    pub db: Database,
    /// For leases, heartbeats and the primary's position only, so that nothing else can take its connections.
    pub control_db: Database,
    /// For storing messages only, see [`crate::store::sends::PLANNING`].
    pub sends_db: Database,
    /// Absent without `DATABASE_REPLICA_URL`.
    pub replica: Option<Replica>,
    /// The history of the database that the worker is in.
    pub epoch: Arc<CurrentEpoch>,
    pub redis: Client,
    pub redis_options: RedisOptions,
    pub clock: FleetClock,
    pub keys: Keys,
    pub publisher: Publisher,
    pub presence: PresenceScripts,
    pub keyring: Arc<Keyring>,
    /// Encodes and decodes what goes to gateways and comes from them.
    pub wire: Wire,
    pub metrics: WorkerMetrics,
    pub tracer: Tracer,
    pub counts: Counts,
    pub pictures: PictureCache,
    pub password_work: PasswordWork,
    pub recent: Recent,
    pub withdrawal: Withdrawal,
    pub strangers: Strangers,
    pub load: Load,
    pub webhooks: Subscriptions,
    /// Absent without `BEFORE_SEND_URL`.
    pub before_send: Option<BeforeSend>,
    pub audiences: Audiences,
    pub answer_channels: AnswerChannels,
    pub late_sessions: LateSessions,
    pub crowded: CrowdedUsers,
}

impl App {
    /// How many events may wait for a user: more than a replay holds, so that the user learns that it is not complete.
    pub fn max_waiting_events(&self) -> i64 {
        i64::from(self.settings.waiting_events_per_user).max(i64::from(self.settings.replay_limit) + 1)
    }

    pub fn count_unreadable(&self, error: &DecodeError) {
        self.metrics.unreadable_entries.increment(1);
        if matches!(error, DecodeError::Forged(_) | DecodeError::Unverified | DecodeError::Sealed) {
            self.metrics.rejected_entries.increment(1);
        }
    }
}
