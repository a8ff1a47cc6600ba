//! Who joined which group in the last minute. On a cluster with sharded channels, the end of an earlier membership may
//! arrive after that.

use std::collections::HashMap;

use parking_lot::Mutex;
use shared::ids::{GroupId, UserId};

/// Redis ends a subscription whose publications wait for as long (`client-output-buffer-limit`).
const KEPT_MS: u64 = 60_000;
/// Beyond this, all users count as having joined.
const MAX_JOINS: usize = 100_000;

#[derive(Default)]
pub struct RecentJoins {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    joined_ms: HashMap<(UserId, GroupId), u64>,
    swept_ms: u64,
    full_ms: Option<u64>,
}

impl RecentJoins {
    pub fn insert(&self, user: UserId, group: GroupId, now_ms: u64) {
        let mut inner = self.inner.lock();
        if now_ms > inner.swept_ms + KEPT_MS {
            inner.joined_ms.retain(|_, joined_ms| *joined_ms + KEPT_MS > now_ms);
            inner.joined_ms.shrink_to_fit();
            inner.swept_ms = now_ms;
        }
        match inner.joined_ms.len() < MAX_JOINS {
            true => drop(inner.joined_ms.insert((user, group), now_ms)),
            false => inner.full_ms = Some(now_ms),
        }
    }

    pub fn contains(&self, user: UserId, group: GroupId, now_ms: u64) -> bool {
        let inner = self.inner.lock();
        let joined_ms = [inner.joined_ms.get(&(user, group)).copied(), inner.full_ms];
        joined_ms.into_iter().flatten().any(|joined_ms| joined_ms + KEPT_MS > now_ms)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_join_counts_for_a_minute() {
        let (joins, group) = (RecentJoins::default(), GroupId(Uuid::nil()));
        joins.insert(UserId(1), group, 5);
        assert!(joins.contains(UserId(1), group, KEPT_MS + 4));
        assert!(!joins.contains(UserId(1), group, KEPT_MS + 5));
        assert!(!joins.contains(UserId(2), group, 5));
    }
}
