//! The top floor: all parts, assembled once at the start. A part takes what it needs and never the whole; only the path
//! of a connection (`session`, `deliver`, `http`, `api`) touches all of them.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::prelude::Client;
use shared::clock::Timestamp;
use shared::config::GatewaySettings;
use shared::ids::{ConnectionId, Epoch, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::Header;
use shared::redis::presence::UserSession;
use shared::stream::Receipts;
use shared::telemetry::Metrics;
use tokio::sync::{Semaphore, mpsc};

use crate::connection::Connection;
use crate::connection::deliveries::{Deliveries, Delivery};
use crate::connection::registry::Registry;
use crate::core::Core;
use crate::egress::elsewhere::Elsewhere;
use crate::egress::gaps::{Gap, Gaps};
use crate::egress::positions::Positions;
use crate::egress::recent_joins::RecentJoins;
use crate::egress::subscriptions::{Change, Subscriptions};
use crate::http::tls::Tls;
use crate::http::web::Web;
use crate::lanes::admit::{Admitted, command_rate_limit};
use crate::lanes::ask::Requests;
use crate::lanes::enqueue::Enqueue;
use crate::lanes::load::LaneLoads;
use crate::lanes::receipts::{ReceiptQueue, Stamped};
use crate::limits::addresses::Addresses;
use crate::limits::known_keys::KnownKeys;
use crate::limits::pace::Pace;
use crate::limits::places::Places;
use crate::limits::unnamed_proxy::UnnamedProxies;
use crate::session::closed::ClosedSessions;

/// The number of sessions that a user may open at once, however few may be open: a device on a bad network comes back often.
const MIN_OPENINGS_AT_ONCE: usize = 20;
/// How many reactions, read marks and other changes a user may make at once, however few messages may be sent.
const MIN_CHANGES_AT_ONCE: usize = 100;
/// How long a session, a new group or another change may wait because of others of its user.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How many strangers' passwords workers are asked to hash at a time. A worker takes four, and turning the others away here
/// spares them the way there and back.
const STRANGERS_AT_A_TIME: usize = 8;
/// How many members one user may put into new groups at once and in each second: a group of 50 costs a few milliseconds
/// of everything.
const FOUNDED_AT_ONCE: usize = 250;
const FOUNDED_PER_SECOND: usize = 50;
/// How many memberships, groups and conversations one user may end at once and in each second: what waits for a member is
/// looked through each time, which takes the database up to some tens of milliseconds.
const REMOVALS_AT_ONCE: usize = 4;
const REMOVALS_PER_SECOND: usize = 20;

/// Dereferences to its [`Core`], which saves a detour in the names that all parts use.
pub struct Gateway {
    pub core: Arc<Core>,
    /// Where the gateway itself terminates TLS.
    pub tls: Option<Tls>,
    /// Where the gateway serves the web client.
    pub web: Option<Web>,

    // Before a user is known.
    pub places: Arc<Places>,
    pub addresses: Arc<Addresses>,
    pub unnamed_proxies: UnnamedProxies,

    pub known_keys: KnownKeys,
    /// Registrations, and logins from addresses that the account was never used from, that workers are asked for.
    pub strangers: Semaphore,
    /// When a user may open another session: twice `MAX_CONNECTIONS_PER_USER` at once (at least 20), and a fifth of it in
    /// each second.
    pub openings: Pace<UserId>,
    /// When a user may change something else: as often at once as messages may be sent in a minute, and in each second a
    /// sixtieth of what is allowed in a minute.
    pub changes: Pace<UserId>,
    /// When a user may edit another message: as often as one may send a message, and less often if it is long, because the
    /// event has the text three times, and is stored with the outcome for everybody who is told.
    pub edits: Pace<UserId>,
    /// When a user may put further members into new groups.
    pub founding: Pace<UserId>,
    /// When a user may end another membership, or delete another group.
    pub removals: Pace<UserId>,

    // To the workers.
    pub lanes: Arc<LaneLoads>,
    pub enqueue: Enqueue,
    pub requests: Arc<Requests>,
    pub receipts: ReceiptQueue,

    // To the sockets.
    pub registry: Arc<Registry>,
    pub subscriptions: Subscriptions,
    pub deliveries: Deliveries,
    pub positions: Arc<Positions>,
    pub recent_joins: RecentJoins,
    pub gaps: Gaps,
    pub elsewhere: Elsewhere,
    pub closed_sessions: ClosedSessions,

    next_connection: AtomicU64,
}

impl Deref for Gateway {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

/// The receiving ends of the queues in [`Gateway`], each for one task.
pub struct Queues {
    pub admitted: mpsc::Receiver<Admitted>,
    pub changes: mpsc::UnboundedReceiver<Change>,
    pub receipts: mpsc::Receiver<Stamped>,
    pub deliveries: mpsc::Receiver<Delivery>,
    pub gaps: mpsc::Receiver<Gap>,
    pub closed_sessions: mpsc::UnboundedReceiver<UserSession>,
}

impl Gateway {
    /// Assembles everything and starts nothing. Blocks for the key derivation.
    ///
    /// # Errors
    /// When a setting that was checked before turns out to be unusable.
    pub fn new(
        settings: GatewaySettings,
        lifecycle: Lifecycle,
        recorder: Option<Metrics>,
        redis: Client,
    ) -> anyhow::Result<(Arc<Self>, Queues)> {
        Self::assemble(Core::new(settings, lifecycle, recorder, redis)?)
    }

    /// Assembles the parts on top of `core`.
    ///
    /// # Errors
    /// When the certificate or the web client is not usable.
    pub fn assemble(core: Core) -> anyhow::Result<(Arc<Self>, Queues)> {
        let core = Arc::new(core);
        let common = &core.settings.common;
        let tls = match (&core.settings.tls_cert, &core.settings.tls_key) {
            (Some(cert_file), Some(key_file)) => Some(Tls::load(cert_file, key_file)?),
            _ => None,
        };
        let web = match &core.settings.web_root {
            Some(root) => {
                Some(Web::load(root.as_ref(), &core.settings.frame_ancestors, core.settings.common.builtin_auth)?)
            }
            None => None,
        };
        let places = Arc::new(Places::new(&core.settings, &core.metrics));
        let sessions = core.settings.max_connections_per_user;
        let changes_at_once = (core.settings.message_rate_limit as usize).max(MIN_CHANGES_AT_ONCE);
        let positions = Arc::new(Positions::default());
        let registry = Arc::new(Registry::new(positions.clone()));
        let (enqueue, admitted) = Enqueue::new();
        let (subscriptions, changes) = Subscriptions::new();
        let (receipts, receipt_queue) = ReceiptQueue::new();
        let (deliveries, delivery_queue) = Deliveries::new();
        let (gaps, gap_queue) = Gaps::new(core.clone(), registry.clone(), positions.clone());
        let (closed_sessions, closed) = ClosedSessions::new();
        let gateway = Gateway {
            tls,
            web,
            addresses: Addresses::new(core.clone(), places.clone()),
            unnamed_proxies: UnnamedProxies::default(),
            places,
            known_keys: KnownKeys::default(),
            strangers: Semaphore::new(STRANGERS_AT_A_TIME),
            changes: Pace::new(changes_at_once, command_rate_limit(&core.settings) as usize / 60, LONGEST_WAIT),
            edits: Pace::new(changes_at_once, core.settings.message_rate_limit as usize / 60, LONGEST_WAIT),
            founding: Pace::new(FOUNDED_AT_ONCE, FOUNDED_PER_SECOND, LONGEST_WAIT),
            removals: Pace::new(REMOVALS_AT_ONCE, REMOVALS_PER_SECOND, LONGEST_WAIT),
            openings: Pace::new((2 * sessions).max(MIN_OPENINGS_AT_ONCE), sessions / 5, LONGEST_WAIT),
            lanes: LaneLoads::new(common.partitions, common.backlog_max_age),
            requests: Arc::new(Requests::new(core.clone(), enqueue.clone())),
            elsewhere: Elsewhere::new(core.clone()),
            enqueue,
            receipts,
            registry,
            subscriptions,
            deliveries,
            positions,
            recent_joins: RecentJoins::default(),
            gaps,
            closed_sessions,
            next_connection: AtomicU64::new(1),
            core,
        };
        let queues = Queues {
            admitted,
            changes,
            receipts: receipt_queue,
            deliveries: delivery_queue,
            gaps: gap_queue,
            closed_sessions: closed,
        };
        Ok((Arc::new(gateway), queues))
    }

    pub fn next_connection_id(&self) -> ConnectionId {
        ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Tells the fleet that `connection` replaces its user's older ones, if those (or those in its dialect) are limited
    /// to one.
    pub fn replace_older(&self, user: UserId, connection: &Connection, opened_at: Timestamp) {
        let (by, dialect) = (self.reference(connection.id), connection.dialect);
        let header = if self.settings.single_connection_per_user {
            Header::Replaced { by, opened_at }
        } else if dialect.translator().is_some_and(|translator| translator.has_single_connection()) {
            Header::ReplacedIn { by, opened_at, dialect }
        } else {
            return;
        };
        let (core, channel) = (self.core.clone(), self.keys.user_channel(user));
        tokio::spawn(async move {
            if let Err(error) = core.tell(channel, &header, &[]).await {
                tracing::warn!(%error, "the user's older connections were not notified");
            }
        });
    }

    /// What reached a user by connections of this gateway and may not be recorded yet, and in which epoch of the database.
    pub fn unrecorded(&self, user: UserId) -> (Option<Epoch>, Vec<Receipts>) {
        // Before the receipts, as in `ReceiptQueue::take_from`.
        let epoch = self.liveness.epoch();
        let mut unrecorded = Vec::new();
        self.registry.for_user(user, |connection| unrecorded.extend(connection.unrecorded()));
        (epoch, unrecorded)
    }

    /// Sends what the connection received on its way, or drops it when too much is waiting.
    pub fn pass_on(&self, connection: &Connection) {
        if !self.receipts.take_from(&self.core, connection) {
            self.metrics.receipts_dropped.increment(1);
        }
    }
}
