//! Who left a group and joined it again in the last minute. On a cluster with sharded channels, the group's channel may say
//! that the earlier membership has ended ([`shared::publication::Header::Gone`]) after the user's channel has said that a
//! new one began.

use std::collections::HashMap;

use parking_lot::Mutex;
use shared::ids::{GroupId, UserId};

/// Redis ends a subscription whose publications wait for as long (`client-output-buffer-limit`).
const KEPT_MS: u64 = 60_000;
/// Beyond this, every user counts as having come back.
const MAX_CHANGES: usize = 100_000;

#[derive(Default)]
pub struct RecentJoins {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    changes: HashMap<(UserId, GroupId), Change>,
    swept_ms: u64,
    /// When there was no room.
    full_ms: Option<u64>,
}

#[derive(Clone, Copy)]
struct Change {
    at_ms: u64,
    came_back: bool,
}

impl RecentJoins {
    pub fn left(&self, user: UserId, group: GroupId, now_ms: u64) {
        self.inner.lock().insert((user, group), Change { at_ms: now_ms, came_back: false });
    }

    /// `is_member` if nothing has said yet that an earlier membership has ended.
    pub fn joined(&self, user: UserId, group: GroupId, is_member: bool, now_ms: u64) {
        let mut inner = self.inner.lock();
        let has_left = inner.changes.get(&(user, group)).is_some_and(|change| change.is_recent(now_ms));
        if is_member || has_left {
            inner.insert((user, group), Change { at_ms: now_ms, came_back: true });
        }
    }

    /// True if the user may have come back.
    pub fn came_back(&self, user: UserId, group: GroupId, now_ms: u64) -> bool {
        let is_full = self.inner.lock().full_ms.is_some_and(|full_ms| full_ms + KEPT_MS > now_ms);
        is_full || self.is_back(user, group, now_ms)
    }

    /// True if the user has come back for certain.
    pub fn is_back(&self, user: UserId, group: GroupId, now_ms: u64) -> bool {
        let inner = self.inner.lock();
        inner.changes.get(&(user, group)).is_some_and(|change| change.came_back && change.is_recent(now_ms))
    }
}

impl Inner {
    fn insert(&mut self, key: (UserId, GroupId), change: Change) {
        if change.at_ms > self.swept_ms + KEPT_MS {
            self.changes.retain(|_, known| known.is_recent(change.at_ms));
            self.changes.shrink_to_fit();
            self.swept_ms = change.at_ms;
        }
        match self.changes.len() < MAX_CHANGES {
            true => drop(self.changes.insert(key, change)),
            false => self.full_ms = Some(change.at_ms),
        }
    }
}

impl Change {
    fn is_recent(self, now_ms: u64) -> bool {
        self.at_ms + KEPT_MS > now_ms
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_a_join_after_a_membership_is_a_return() {
        let (joins, group) = (RecentJoins::default(), GroupId(Uuid::nil()));
        let [new, back, twice] = [1, 2, 3].map(UserId);
        joins.joined(new, group, false, 5);
        joins.left(back, group, 5);
        assert!(!joins.came_back(back, group, 5));
        joins.joined(back, group, false, 6);
        joins.joined(twice, group, true, 6);
        assert_eq!([new, back, twice].map(|user| joins.came_back(user, group, 7)), [false, true, true]);
        assert!(!joins.came_back(back, group, KEPT_MS + 6), "that was long ago");
    }
}
