//! Messages that were lost on the way here, found by a jump in a conversation's numbers or by a worker's report. They
//! are requested once for all connections concerned, which hold newer ones back until they have them. If that does not
//! work (too many, no answer, no starting number), the sessions catch up as usual.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use shared::clock::Timestamp;
use shared::ids::{ConversationId, UserId};
use shared::publication::{Report, ReportedMessages};
use shared::redis::keys::Channel;
use shared::stream::{Internal, InternalReply, MissingMessages};
use tokio::sync::mpsc;

use crate::connection::Connection;
use crate::connection::fills::Filling;
use crate::connection::registry::Registry;
use crate::core::Core;
use crate::egress::catch_up;
use crate::egress::positions::{Completeness, Positions};
use crate::lanes::ask::Requests;

/// Gaps waiting to be filled; beyond this, connections catch up one by one, at a pace.
const QUEUE: usize = 1_024;
/// A report may overtake publications that are younger, because they come from another node of the cluster.
const OVERTAKES_MS: u32 = 1_000;
/// The pause between two requests to the workers.
const PAUSE: Duration = Duration::from_millis(5);

/// The messages `from..=to` of one conversation, which are stored and did not arrive on a channel.
pub struct Gap {
    id: u64,
    conversation: ConversationId,
    from: i64,
    to: i64,
    connections: Vec<Arc<Connection>>,
}

/// Finds gaps, and queues them to be filled.
pub struct Gaps {
    core: Arc<Core>,
    registry: Arc<Registry>,
    positions: Arc<Positions>,
    queue: mpsc::Sender<Gap>,
    next: AtomicU64,
}

impl Gaps {
    pub fn new(core: Arc<Core>, registry: Arc<Registry>, positions: Arc<Positions>) -> (Self, mpsc::Receiver<Gap>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Gaps { core, registry, positions, queue, next: AtomicU64::new(1) }, receiver)
    }

    /// Fills in the messages `from..=to`, which did not arrive on `channel`: its connections hold newer ones back from
    /// now on.
    pub fn fill(&self, channel: Channel, conversation: ConversationId, (from, to): (i64, i64)) {
        self.fill_of(channel, conversation, (from, to), |_| true);
    }

    fn fill_of(
        &self,
        channel: Channel,
        conversation: ConversationId,
        (from, to): (i64, i64),
        concerned: impl Fn(&Connection) -> bool,
    ) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut connections = Vec::new();
        self.registry.for_channel(channel, |connection| {
            if concerned(connection) && connection.begin_fill(id, conversation) {
                connections.push(connection.clone());
            }
        });
        if connections.is_empty() {
            return;
        }
        self.core.metrics.gaps.increment(1);
        tracing::warn!(%conversation, from, to, connections = connections.len(), "messages were lost on the way here");
        if let Err(refused) = self.queue.try_send(Gap { id, conversation, from, to, connections }) {
            refused.into_inner().connections.iter().for_each(|connection| connection.abandon_fill(id));
        }
    }

    /// Compares what a worker published or found with what arrived here.
    pub fn compare(&self, report: &Report) {
        let mut behind = Vec::new();
        for reported in &report.messages {
            match reported.conversation {
                ConversationId::Direct(one, other) => {
                    self.compare_messages(Channel::User(one), reported, &mut behind);
                    self.compare_messages(Channel::User(other), reported, &mut behind);
                }
                ConversationId::Group(group) => self.compare_messages(Channel::Group(group), reported, &mut behind),
            }
        }
        for (user, event) in &report.events {
            self.registry.for_user(*user, |connection| {
                let channels = connection.groups().into_iter().map(Channel::Group).chain([Channel::User(*user)]);
                if !connection.is_catching_up() && !self.positions.has_event(channels, *event) {
                    connection.interrupt();
                    behind.push(Arc::downgrade(connection));
                }
            });
        }
        if !behind.is_empty() {
            self.core.metrics.gaps.increment(1);
            tracing::warn!(connections = behind.len(), "events were lost on the way here: sessions catch up");
            self.core.lifecycle.spawn_until_stopped("catch-up", catch_up::catch_up(behind));
        }
    }

    fn compare_messages(&self, channel: Channel, reported: &ReportedMessages, behind: &mut Vec<Weak<Connection>>) {
        if !self.registry.has_audience(channel) {
            return;
        }
        let ReportedMessages { conversation, first, last, last_age_ms, .. } = *reported;
        // It is reported again.
        if self.core.publisher.is_sharded() && last_age_ms < OVERTAKES_MS {
            return;
        }
        let now = Timestamp::now();
        let at = |age_ms: u32| Timestamp(now.0 - i64::from(age_ms));
        match self.positions.completeness(channel, conversation, first, last) {
            Completeness::Complete => {}
            Completeness::Behind { from } => {
                let published_at = at(reported.last_age_ms);
                self.positions.made_up(channel, conversation, from, last);
                self.fill_of(channel, conversation, (from, last), |connection| connection.resumed_before(published_at));
            }
            // Connections that were added between the first message and the first that arrived here have theirs from
            // the replay.
            Completeness::Before { to } => {
                let published_at = at(reported.first_age_ms);
                self.positions.made_up(channel, conversation, first, to);
                self.fill_of(channel, conversation, (first, to), |connection| connection.resumed_before(published_at));
            }
            Completeness::Nothing => {
                let published_at = at(reported.last_age_ms);
                self.registry.for_channel(channel, |connection| {
                    if connection.resumed_before(published_at) && !connection.is_catching_up() {
                        connection.interrupt();
                        behind.push(Arc::downgrade(connection));
                    }
                });
            }
        }
    }
}

/// Fills gaps until the process stops.
pub async fn run(core: Arc<Core>, requests: Arc<Requests>, mut queue: mpsc::Receiver<Gap>) -> Result<(), Infallible> {
    let stopped = core.lifecycle.stopped();
    loop {
        let gap = tokio::select! {
            gap = queue.recv() => gap,
            () = stopped.cancelled() => None,
        };
        let Some(gap) = gap else { return Ok(()) };
        fill(&requests, gap).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn fill(requests: &Requests, gap: Gap) {
    let Some(user) = gap.connections.iter().find_map(|connection| connection.user()) else { return };
    let request = Internal::Missing { conversation: gap.conversation, from: gap.from };
    match requests.ask(user, &request, None).await {
        InternalReply::Missing(missing) => deliver(&gap, &missing),
        _ => gap.connections.iter().for_each(|connection| connection.abandon_fill(gap.id)),
    }
}

fn deliver(gap: &Gap, missing: &MissingMessages) {
    // Newer messages arrive by themselves.
    let filling = Filling::new(&missing.events, gap.to);
    if missing.has_more && filling.last().is_none_or(|last| last < gap.to) {
        return gap.connections.iter().for_each(|connection| connection.abandon_fill(gap.id));
    }
    let only_after = |user: Option<UserId>| {
        let hidden = missing.only_after.iter().find(|(hidden_from, _)| Some(*hidden_from) == user);
        hidden.map_or(0, |(_, after)| *after)
    };
    for connection in &gap.connections {
        connection.fill(gap.id, &filling, only_after(connection.user()));
    }
}
