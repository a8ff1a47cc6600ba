//! Who is connected here: connections by id, by user, by group. Looking up the audience of an event allocates nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use shared::ids::{ConnectionId, GroupId, UserId};
use shared::redis::keys::Channel;
use shared::redis::presence::UserSession;

use crate::connection::Connection;
use crate::egress::positions::Positions;

/// Lets the sweep over all connections lock only a part of them at a time.
const SHARDS: usize = 16;

#[derive(Default)]
pub struct Registry {
    positions: Arc<Positions>,
    connections: [RwLock<HashMap<u64, Arc<Connection>>>; SHARDS],
    audience: RwLock<Audience>,
}

#[derive(Default)]
struct Audience {
    users: HashMap<UserId, Vec<Arc<Connection>>>,
    groups: HashMap<GroupId, Vec<Arc<Connection>>>,
}

impl Registry {
    pub fn new(positions: Arc<Positions>) -> Self {
        Registry { positions, ..Registry::default() }
    }

    pub fn insert(&self, connection: &Arc<Connection>) {
        self.shard(connection.id).write().insert(connection.id.0, connection.clone());
    }

    pub fn remove(&self, connection: &Connection) {
        self.shard(connection.id).write().remove(&connection.id.0);
    }

    pub fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.shard(id).read().get(&id.0).cloned()
    }

    fn shard(&self, id: ConnectionId) -> &RwLock<HashMap<u64, Arc<Connection>>> {
        &self.connections[id.0 as usize % SHARDS]
    }

    /// Calls `f` for each connection, authenticated or not.
    pub fn for_each(&self, mut f: impl FnMut(&Arc<Connection>)) {
        for shard in &self.connections {
            shard.read().values().for_each(&mut f);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.connections.iter().all(|shard| shard.read().is_empty())
    }

    /// All open sessions.
    pub fn sessions(&self) -> Vec<UserSession> {
        let mut sessions = Vec::new();
        let open = |connection: &Arc<Connection>| {
            if let (Some(user), true) = (connection.user(), connection.is_open()) {
                sessions.push(UserSession { user, connection: connection.id });
            }
        };
        self.for_everybody(open);
        sessions
    }

    /// True if this connection exists, and its session is open or opens.
    pub fn holds(&self, session: &UserSession) -> bool {
        self.get(session.connection).is_some_and(|connection| connection.user() == Some(session.user))
    }

    pub fn users(&self) -> usize {
        self.audience.read().users.len()
    }

    /// Gives the connection to `user` and holds events back. False if the user has `max` connections.
    pub fn add_user(&self, connection: &Arc<Connection>, user: UserId, max: usize) -> bool {
        let mut audience = self.audience.write();
        let connections = audience.users.entry(user).or_insert_with(|| Vec::with_capacity(1));
        if connections.len() >= max {
            return false;
        }
        connection.hold();
        connection.set_user(Some(user));
        if connections.is_empty() {
            self.positions.begin(Channel::User(user));
        }
        connections.push(connection.clone());
        true
    }

    /// Adds groups to one connection; returns those that it did not have.
    pub fn add_groups(&self, connection: &Arc<Connection>, groups: &[GroupId]) -> Vec<GroupId> {
        let mut audience = self.audience.write();
        let new = |group: &&GroupId| connection.add_group(**group);
        let added: Vec<GroupId> = groups.iter().filter(new).copied().collect();
        for group in &added {
            self.members(&mut audience, *group).push(connection.clone());
        }
        added
    }

    /// Makes `groups` the only ones of the connection; returns the added and the removed ones.
    pub fn set_groups(&self, connection: &Arc<Connection>, groups: &[GroupId]) -> (Vec<GroupId>, Vec<GroupId>) {
        let stay: HashSet<&GroupId> = groups.iter().collect();
        let removed: Vec<GroupId> = connection.groups().into_iter().filter(|group| !stay.contains(group)).collect();
        let mut audience = self.audience.write();
        let removed = removed
            .into_iter()
            .filter(|group| {
                audience.remove_from_group(*group, connection);
                connection.remove_group(*group)
            })
            .collect();
        drop(audience);
        (self.add_groups(connection, groups), removed)
    }

    /// Records that `user` joined `group`; returns the connections that did not have it.
    pub fn join(&self, user: UserId, group: GroupId) -> Vec<Arc<Connection>> {
        let mut audience = self.audience.write();
        let Some(connections) = audience.users.get(&user) else {
            return Vec::new();
        };
        let new = |connection: &&Arc<Connection>| {
            connection.note_joined(group);
            connection.add_group(group)
        };
        let joined: Vec<Arc<Connection>> = connections.iter().filter(new).cloned().collect();
        if !joined.is_empty() {
            self.members(&mut audience, group).extend(joined.iter().cloned());
        }
        joined
    }

    /// The connections in a group; the caller is about to add at least one.
    fn members<'a>(&self, audience: &'a mut Audience, group: GroupId) -> &'a mut Vec<Arc<Connection>> {
        audience.groups.entry(group).or_insert_with(|| {
            self.positions.begin(Channel::Group(group));
            Vec::new()
        })
    }

    /// Records that `user` left `group`; returns the connections affected.
    pub fn leave(&self, user: UserId, group: GroupId) -> Vec<Arc<Connection>> {
        let mut audience = self.audience.write();
        let Some(connections) = audience.users.get(&user) else {
            return Vec::new();
        };
        let left: Vec<Arc<Connection>> =
            connections.iter().filter(|connection| connection.remove_group(group)).cloned().collect();
        for connection in &left {
            audience.remove_from_group(group, connection);
        }
        left
    }

    /// Detaches the connection from its user; returns the groups it was in.
    pub fn remove_user(&self, connection: &Arc<Connection>, user: UserId) -> Vec<GroupId> {
        let mut audience = self.audience.write();
        let groups = connection.groups();
        for group in &groups {
            connection.remove_group(*group);
            audience.remove_from_group(*group, connection);
        }
        if let Some(connections) = audience.users.get_mut(&user) {
            connections.retain(|known| !Arc::ptr_eq(known, connection));
            if connections.is_empty() {
                audience.users.remove(&user);
            }
        }
        groups
    }

    pub fn for_user(&self, user: UserId, f: impl FnMut(&Arc<Connection>)) {
        if let Some(connections) = self.audience.read().users.get(&user) {
            connections.iter().for_each(f);
        }
    }

    pub fn for_group(&self, group: GroupId, f: impl FnMut(&Arc<Connection>)) {
        if let Some(connections) = self.audience.read().groups.get(&group) {
            connections.iter().for_each(f);
        }
    }

    /// Calls `f` for each connection that gets publications on a channel of a user or a group.
    pub fn for_channel(&self, channel: Channel, f: impl FnMut(&Arc<Connection>)) {
        match channel {
            Channel::User(user) => self.for_user(user, f),
            Channel::Group(group) => self.for_group(group, f),
            Channel::Gateway | Channel::Presence | Channel::Report => {}
        }
    }

    pub fn has_audience(&self, channel: Channel) -> bool {
        let audience = self.audience.read();
        match channel {
            Channel::User(user) => audience.users.contains_key(&user),
            Channel::Group(group) => audience.groups.contains_key(&group),
            Channel::Gateway | Channel::Presence | Channel::Report => false,
        }
    }

    pub fn for_everybody(&self, f: impl FnMut(&Arc<Connection>)) {
        self.audience.read().users.values().flatten().for_each(f);
    }
}

impl Audience {
    fn remove_from_group(&mut self, group: GroupId, connection: &Arc<Connection>) {
        if let Some(connections) = self.groups.get_mut(&group) {
            connections.retain(|known| !Arc::ptr_eq(known, connection));
            if connections.is_empty() {
                self.groups.remove(&group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::ConversationId;
    use uuid::Uuid;

    use super::*;
    use crate::egress::positions::SeqCheck;
    use crate::testing::connection;

    const ALICE: UserId = UserId(1);

    fn group(n: u128) -> GroupId {
        GroupId(Uuid::from_u128(n))
    }

    fn members(registry: &Registry, group: GroupId) -> usize {
        let mut count = 0;
        registry.for_group(group, |_| count += 1);
        count
    }

    #[test]
    fn connections_per_user_are_limited() {
        let registry = Registry::default();
        let (one, two) = (connection(1), connection(2));
        assert!(registry.add_user(&one, ALICE, 1));
        assert!(!registry.add_user(&two, ALICE, 1));
        registry.remove_user(&one, ALICE);
        assert!(registry.add_user(&two, ALICE, 1));
        assert_eq!(registry.users(), 1);
    }

    #[test]
    fn positions_end_with_the_last_listener() {
        let positions = Arc::new(Positions::default());
        let registry = Registry::new(positions.clone());
        let (one, two) = (connection(1), connection(2));
        let (direct, inside) = (ConversationId::direct(ALICE, UserId(2)), ConversationId::Group(group(1)));
        let arrive = |seq| {
            let own = positions.message(Channel::User(ALICE), direct, seq, 0);
            (own, positions.message(Channel::Group(group(1)), inside, seq, 0))
        };
        registry.add_user(&one, ALICE, 2);
        registry.add_groups(&one, &[group(1)]);
        assert_eq!(arrive(46), (SeqCheck::Next, SeqCheck::Next));
        registry.add_user(&two, ALICE, 2);
        registry.add_groups(&two, &[group(1)]);
        registry.remove_user(&one, ALICE);
        // The second one still listens, so this is a gap.
        assert_eq!(arrive(48), (SeqCheck::Gap { from: 47 }, SeqCheck::Gap { from: 47 }));
        registry.remove_user(&two, ALICE);
        let three = connection(3);
        registry.add_user(&three, ALICE, 2);
        registry.add_groups(&three, &[group(1)]);
        // The newcomer's replay holds what was published meanwhile.
        assert_eq!(arrive(72), (SeqCheck::Next, SeqCheck::Next));
    }

    #[test]
    fn a_group_left_while_the_session_opens_does_not_come_back() {
        let registry = Registry::default();
        let connection = connection(1);
        registry.add_user(&connection, ALICE, 9);
        assert!(registry.leave(ALICE, group(1)).is_empty());
        assert_eq!(registry.add_groups(&connection, &[group(1), group(2)]), [group(2)]);
        assert_eq!((members(&registry, group(1)), members(&registry, group(2))), (0, 1));
        assert_eq!(registry.join(ALICE, group(1)).len(), 1);
        assert_eq!(members(&registry, group(1)), 1);
    }

    #[test]
    fn a_membership_missed_during_an_interruption_is_put_right() {
        let registry = Registry::default();
        let connection = connection(1);
        registry.add_user(&connection, ALICE, 9);
        registry.add_groups(&connection, &[group(1), group(2)]);
        connection.release();
        let (added, removed) = registry.set_groups(&connection, &[group(2), group(3)]);
        assert_eq!((added, removed), (vec![group(3)], vec![group(1)]));
        assert_eq!(members(&registry, group(1)), 0);
        assert_eq!(registry.remove_user(&connection, ALICE).len(), 2);
        assert_eq!((members(&registry, group(2)), registry.users()), (0, 0));
    }
}
