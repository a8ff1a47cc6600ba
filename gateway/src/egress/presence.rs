//! Comings and goings, which concern every connection. They are gathered for a quarter of a second, or up to a second where
//! connections are many, and go out in rounds: each connection gets all changes of a round in one write, and connections
//! that see the same share the bytes. A client that asked for it gets them as one event, which is compressed once. Order is
//! kept, so the last state of a user wins.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::events::presence::presence_changed;
use shared::ids::UserId;
use tokio::time::Instant;
use websocket::PreparedText;

use crate::connection::Connection;
use crate::connection::outbox::{Frame, Mark, Outgoing};
use crate::gateway::Gateway;

/// Rounds begin at least this far apart, and further where connections are many.
const PERIOD: Duration = Duration::from_millis(250);
const MAX_PERIOD: Duration = Duration::from_secs(1);
/// The period is as long as writing to all connections takes at this pace, within the two bounds above.
const CONNECTIONS_PER_SECOND: u64 = 16_000;
/// A round reaches its connections in this many steps spread over the period, so that messages do not wait until all
/// connections are written to.
const STEPS: usize = 16;
/// Steps reach at least this many connections.
const MIN_STEP: usize = 1_000;
/// If this many changes wait, the next round begins at once.
const MAX_CHANGES: usize = 512;

/// What has not reached every connection yet.
#[derive(Default)]
pub struct Presence {
    changes: Vec<Change>,
    round: Option<Round>,
    /// When the next round may begin.
    next_round: Option<Instant>,
}

/// A user came or went.
struct Change {
    /// The finished event.
    json: Bytes,
    hidden_from: Vec<UserId>,
}

/// Changes on their way to the connections that there were when it began.
struct Round {
    changes: Vec<Change>,
    /// By user, the positions of the changes that the user must not see.
    hidden: HashMap<UserId, Vec<usize>>,
    /// `None` where all changes are hidden.
    frames: HashMap<Form, Option<Outgoing>>,
    connections: std::vec::IntoIter<Arc<Connection>>,
    period: Duration,
    per_step: usize,
    next_step: Instant,
}

/// Connections of the same form get the same bytes.
#[derive(PartialEq, Eq, Hash)]
struct Form {
    hidden: Vec<usize>,
    dialect: Dialect,
    is_batch: bool,
    deflate: bool,
}

impl Presence {
    pub fn add(&mut self, json: Bytes, hidden_from: Vec<UserId>) {
        self.changes.push(Change { json, hidden_from });
    }

    /// When [`Self::step`] should be called next.
    pub fn due(&self) -> Option<Instant> {
        match &self.round {
            _ if self.changes.len() >= MAX_CHANGES => Some(Instant::now()),
            Some(round) => Some(round.next_step),
            None if self.changes.is_empty() => None,
            None => Some(self.next_round.unwrap_or_else(Instant::now)),
        }
    }

    /// Calls `deliver` for the next connections, each with its frames.
    pub fn step(&mut self, gateway: &Gateway, mut deliver: impl FnMut(&Arc<Connection>, &Outgoing)) {
        if self.changes.len() >= MAX_CHANGES
            && let Some(mut round) = self.round.take()
        {
            round.deliver(usize::MAX, &mut deliver);
        }
        if self.round.is_none() && !self.changes.is_empty() {
            let round = Round::begin(gateway, std::mem::take(&mut self.changes));
            self.next_round = Some(Instant::now() + round.period);
            self.round = Some(round);
        }
        if let Some(round) = &mut self.round {
            round.deliver(round.per_step, &mut deliver);
            round.next_step += round.period / STEPS as u32;
        }
        self.round.take_if(|round| round.connections.len() == 0);
    }
}

impl Round {
    fn begin(gateway: &Gateway, changes: Vec<Change>) -> Self {
        let mut hidden: HashMap<UserId, Vec<usize>> = HashMap::new();
        for (position, change) in changes.iter().enumerate() {
            for user in &change.hidden_from {
                hidden.entry(*user).or_default().push(position);
            }
        }
        let mut connections = Vec::new();
        gateway.registry.for_everybody(|connection| connections.push(connection.clone()));
        Round {
            changes,
            hidden,
            frames: HashMap::new(),
            period: period(connections.len()),
            per_step: connections.len().div_ceil(STEPS).max(MIN_STEP),
            connections: connections.into_iter(),
            next_step: Instant::now(),
        }
    }

    fn deliver(&mut self, most: usize, deliver: &mut impl FnMut(&Arc<Connection>, &Outgoing)) {
        for connection in self.connections.by_ref().take(most) {
            // Its session may have ended meanwhile.
            let Some(user) = connection.user() else { continue };
            let form = Form {
                hidden: self.hidden.get(&user).cloned().unwrap_or_default(),
                dialect: connection.dialect,
                is_batch: connection.wants_presence_batches(),
                deflate: connection.deflate,
            };
            let changes = &self.changes;
            let made = self.frames.entry(form).or_insert_with_key(|form| form.frames(changes, &connection));
            if let Some(frames) = made {
                deliver(&connection, frames);
            }
        }
    }
}

/// How far apart the rounds of this many connections begin.
fn period(connections: usize) -> Duration {
    Duration::from_millis(connections as u64 * 1_000 / CONNECTIONS_PER_SECOND).clamp(PERIOD, MAX_PERIOD)
}

impl Form {
    /// The finished frames for a connection of this form, one after the other.
    fn frames(&self, changes: &[Change], connection: &Connection) -> Option<Outgoing> {
        let is_shown = |(position, _): &(usize, &Change)| !self.hidden.contains(position);
        let shown: Vec<&[u8]> =
            changes.iter().enumerate().filter(is_shown).map(|(_, change)| &change.json[..]).collect();
        if shown.is_empty() {
            return None;
        }
        let frames = if self.is_batch {
            let json = presence_changed(shown.into_iter(), Timestamp::now());
            PreparedText::new(&json).frame(self.deflate)
        } else {
            let single: Vec<Bytes> = shown.into_iter().map(|json| connection.event_frame(json)).collect();
            single.concat().into()
        };
        Some(Frame::new(frames, Mark::Ephemeral))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use serde_json::{Value, json};
    use shared::publication::{EventHeader, Header, Receipt};

    use super::*;
    use crate::connection::Wants;
    use crate::egress::deliver::Deliverer;
    use crate::testing::{connection, gateway, speaking};

    struct Stage {
        gateway: Arc<Gateway>,
        deliverer: Deliverer,
    }

    impl Stage {
        fn new() -> Self {
            let (gateway, _queues) = gateway(&[]);
            Stage { deliverer: Deliverer::new(gateway.clone()), gateway }
        }

        fn connect(&self, connection: &Arc<Connection>, user: i64, presence_batches: bool) {
            self.gateway.registry.insert(connection);
            self.gateway.registry.add_user(connection, UserId(user), 9);
            connection.set_wants(Wants { acks: false, presence_batches });
            connection.release();
        }

        fn publish(&mut self, event: &str, user: i64, hidden_from: &[i64]) {
            let exclude_users = hidden_from.iter().copied().map(UserId).collect();
            let header = Header::Event(EventHeader { exclude_users, ..EventHeader::new(Receipt::None) });
            let channel = self.gateway.keys.presence_channel();
            let json = json!({"type": event, "user": {"userId": user.to_string()}}).to_string();
            let publication = self.gateway.wire.publication(&channel, &header, json.as_bytes());
            self.deliverer.publication(&channel, &Bytes::from(publication));
        }

        /// Sends what is due now.
        fn send(&mut self) {
            while self.deliverer.presence_due().is_some_and(|due| due <= Instant::now()) {
                self.deliverer.send_presence();
            }
        }
    }

    /// What was written to a connection, event by event; each write's frames may be several.
    fn received(connection: &Connection) -> Vec<Value> {
        let mut outgoing = VecDeque::new();
        connection.take_outgoing(&mut outgoing);
        let bytes: Vec<u8> = outgoing.iter().flat_map(|item| item.bytes.to_vec()).collect();
        let (mut events, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let (start, length) = match bytes[at + 1] {
                126 => (at + 4, usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]))),
                short => (at + 2, usize::from(short)),
            };
            events.push(serde_json::from_slice(&bytes[start..start + length]).unwrap());
            at = start + length;
        }
        events
    }

    /// Type and user of each change.
    fn changes(events: &[Value]) -> Vec<(String, String)> {
        let change = |change: &Value| (text(&change["type"]), text(&change["user"]["userId"]));
        events.iter().map(change).collect()
    }

    fn text(value: &Value) -> String {
        value.as_str().unwrap_or_default().to_owned()
    }

    fn expected(changes: &[(&str, i64)]) -> Vec<(String, String)> {
        changes.iter().map(|(event, user)| ((*event).to_owned(), user.to_string())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_carries_all_changes_and_others_get_each() {
        let mut stage = Stage::new();
        let [batched, single] = [connection(1), connection(2)];
        let original = speaking(3, Dialect::Original);
        stage.connect(&batched, 1, true);
        stage.connect(&single, 2, false);
        stage.connect(&original, 3, true);
        let told =
            [("user_online", 7), ("user_offline", 8), ("user_offline", 7), ("user_online", 9), ("user_online", 7)];
        // The first after a pause does not wait; what comes within the quarter of a second after it does.
        stage.publish("user_online", 6, &[]);
        stage.send();
        assert_eq!(received(&batched).len(), 1);
        for (event, user) in told {
            stage.publish(event, user, &[]);
            tokio::time::advance(Duration::from_millis(40)).await;
            stage.send();
        }
        assert!(received(&batched).is_empty());
        tokio::time::advance(Duration::from_millis(50)).await;
        stage.send();
        let batches = received(&batched);
        assert_eq!(batches.len(), 1, "{batches:?}");
        assert_eq!(batches[0]["type"], "presence_changed");
        // In order: the last state of 7 is that it is online.
        assert_eq!(changes(batches[0]["changes"].as_array().unwrap()), expected(&told));
        let alone = |connection: &Connection| changes(&received(connection))[1..].to_vec();
        assert_eq!(alone(&single), expected(&told));
        assert_eq!(alone(&original), expected(&told));
    }

    #[tokio::test(start_paused = true)]
    async fn blocks_hold_in_batches_and_in_what_is_shared() {
        let mut stage = Stage::new();
        let connections: Vec<Arc<Connection>> = (1..=6).map(connection).collect();
        for (index, connection) in connections.iter().enumerate() {
            stage.connect(connection, index as i64 / 2 + 1, index % 2 == 0);
        }
        // 1 must not see 7, 2 sees all, and 3 must see nothing.
        stage.publish("user_online", 7, &[1, 3, 7]);
        stage.publish("user_online", 8, &[3, 8]);
        stage.send();
        let seen: Vec<Vec<(String, String)>> = connections
            .iter()
            .map(|connection| match received(connection).as_slice() {
                [batch] if batch["type"] == "presence_changed" => changes(batch["changes"].as_array().unwrap()),
                events => changes(events),
            })
            .collect();
        let [some, all] = [expected(&[("user_online", 8)]), expected(&[("user_online", 7), ("user_online", 8)])];
        assert_eq!(seen, [some.clone(), some, all.clone(), all, Vec::new(), Vec::new()]);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_see_the_same_share_the_bytes() {
        let mut stage = Stage::new();
        let connections: Vec<Arc<Connection>> = (1..=4).map(connection).collect();
        for (user, connection) in (1..).zip(&connections) {
            stage.connect(connection, user, user <= 2);
        }
        stage.publish("user_online", 7, &[7]);
        stage.publish("user_online", 8, &[8]);
        stage.send();
        let frame = |connection: &Arc<Connection>| {
            let mut outgoing = VecDeque::new();
            connection.take_outgoing(&mut outgoing);
            assert_eq!(outgoing.len(), 1);
            outgoing[0].bytes.clone()
        };
        let frames: Vec<Bytes> = connections.iter().map(frame).collect();
        let is_shared = |a: usize, b: usize| frames[a].as_ptr() == frames[b].as_ptr();
        assert!(is_shared(0, 1) && is_shared(2, 3) && !is_shared(1, 2));
    }

    /// Everybody sees all rounds in order, however many changes come at once.
    #[tokio::test(start_paused = true)]
    async fn many_changes_and_connections_are_spread_and_bounded() {
        let mut stage = Stage::new();
        let connections: Vec<Arc<Connection>> = (1..=2_500).map(connection).collect();
        for (user, connection) in (1_000_000..).zip(&connections) {
            stage.connect(connection, user, true);
        }
        stage.publish("user_online", 1, &[]);
        stage.send();
        let reached = connections.iter().filter(|connection| connection.signals().unwritten_bytes > 0).count();
        assert_eq!(reached, MIN_STEP, "the others follow in steps");
        for user in 0..512 {
            stage.publish("user_offline", user, &[]);
        }
        stage.send();
        assert!(connections.iter().all(|connection| connection.signals().unwritten_bytes > 0), "without waiting");
        tokio::time::advance(PERIOD).await;
        stage.send();
        assert_eq!(stage.deliverer.presence_due(), None);
    }

    #[test]
    fn more_connections_are_written_to_less_often() {
        assert_eq!([0, 4_000].map(period), [PERIOD; 2]);
        assert_eq!(period(10_000), Duration::from_millis(625));
        assert_eq!(period(100_000), MAX_PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rounds_of_many_connections_are_further_apart() {
        let mut stage = Stage::new();
        let connections: Vec<Arc<Connection>> = (1..=10_000).map(connection).collect();
        for (user, connection) in (1_000_000..).zip(&connections) {
            stage.connect(connection, user, true);
        }
        stage.publish("user_online", 1, &[]);
        stage.send();
        stage.publish("user_online", 2, &[]);
        tokio::time::advance(Duration::from_millis(624)).await;
        stage.send();
        assert!(connections.iter().all(|connection| received(connection).len() == 1), "the first round alone");
        tokio::time::advance(Duration::from_millis(1)).await;
        stage.send();
        let reached = connections.iter().filter(|connection| !received(connection).is_empty()).count();
        assert_eq!(reached, MIN_STEP, "the second one begins");
    }
}
