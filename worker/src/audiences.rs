//! How many deliveries each user has caused recently (`DELIVERIES_PER_MINUTE`). The gateways' limits count commands,
//! but one command in a large group reaches thousands of members. Each worker counts for itself; all commands of a
//! group go through the same worker. What is stored and published for each member by itself, as a mention of everyone is,
//! counts for more.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use shared::ids::{GroupId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::publication::Header;
use tokio::time::Instant;

use crate::outcome::{Audience, Outcome};
use crate::store::groups;
use crate::store::session::PgSession;

const WINDOW: Duration = Duration::from_secs(60);
/// Smaller audiences are not counted: the limits on commands bound them.
const MIN_COUNTED: u64 = 100;
/// What an event counts for that is stored for each of its users, and published to each.
const OF_ITS_OWN: u64 = 5;
/// How long a group's size is cached.
const SIZE_KEPT: Duration = Duration::from_secs(60);
/// How many groups, and users, are remembered; beyond that, everything older is forgotten.
const MAX_REMEMBERED: usize = 50_000;

pub struct Audiences {
    per_minute: u32,
    sizes: Mutex<HashMap<GroupId, (u64, Instant)>>,
    /// The start of the period, and the number of deliveries since then.
    spent: Mutex<HashMap<UserId, (Instant, u64)>>,
}

impl Audiences {
    /// Allows this many deliveries per minute.
    pub fn new(per_minute: u32) -> Self {
        Audiences { per_minute, sizes: Mutex::default(), spent: Mutex::default() }
    }

    /// Why the user, who causes this many deliveries that are not counted yet, may not address large groups at the
    /// moment; `None` if the user may.
    pub fn rejection(&self, user: UserId, uncounted: u64) -> Option<Rejection> {
        let known = self.spent.lock().get(&user).copied();
        let (left, deliveries) = known
            .and_then(|(since, deliveries)| Some((WINDOW.checked_sub(since.elapsed())?, deliveries)))
            .unwrap_or((WINDOW, 0));
        if deliveries + uncounted < u64::from(self.per_minute) {
            return None;
        }
        let details = format!("What you do may reach {} members of large groups in a minute", self.per_minute);
        let retry_after = Some(left.as_secs().max(1) as u32);
        Some(Rejection { retry_after, ..Rejection::new(ErrorCode::RateLimitExceeded, details) })
    }

    /// Like [`Self::rejection`], for what reaches this group's members; `None` if there are few.
    pub async fn rejection_in(
        &self,
        db: &mut PgSession,
        group: GroupId,
        user: UserId,
    ) -> sqlx::Result<Option<Rejection>> {
        match self.rejection(user, 0) {
            Some(rejection) => Ok((self.size(db, group).await? >= MIN_COUNTED).then_some(rejection)),
            None => Ok(None),
        }
    }

    /// How many users the outcome's events are for, if there are many; 0 otherwise.
    pub async fn reach(&self, db: &mut PgSession, outcome: &Outcome) -> sqlx::Result<u64> {
        let mut reach = 0;
        for publication in &outcome.publications {
            if !matches!(publication.header, Header::Event(_) | Header::ReducedFor { .. }) {
                continue;
            }
            reach += match &publication.audience {
                Audience::Group(group) => self.size(db, *group).await?,
                Audience::Users(users) => OF_ITS_OWN * users.len() as u64,
                Audience::Gateway(_) | Audience::Answers(_) | Audience::User(_) | Audience::Everybody => 0,
            };
        }
        Ok(if reach < MIN_COUNTED { 0 } else { reach })
    }

    /// The same for a message to this group that mentions this number of users.
    pub async fn reach_of_message(&self, db: &mut PgSession, group: GroupId, mentioned: usize) -> sqlx::Result<u64> {
        let reach = self.size(db, group).await? + OF_ITS_OWN * mentioned as u64;
        Ok(if reach < MIN_COUNTED { 0 } else { reach })
    }

    /// Counts deliveries that the user caused.
    pub fn charge(&self, user: UserId, deliveries: u64) {
        if deliveries == 0 {
            return;
        }
        let now = Instant::now();
        let mut spent = self.spent.lock();
        if spent.len() >= MAX_REMEMBERED {
            spent.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        let (since, total) = spent.entry(user).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *total) = (now, 0);
        }
        *total += deliveries;
    }

    /// The number of a group's members, at most a minute old.
    async fn size(&self, db: &mut PgSession, group: GroupId) -> sqlx::Result<u64> {
        let now = Instant::now();
        let known = self.sizes.lock().get(&group).copied();
        if let Some((size, at)) = known
            && now.duration_since(at) < SIZE_KEPT
        {
            return Ok(size);
        }
        let size = groups::count_members(db, group).await?.unsigned_abs();
        let mut sizes = self.sizes.lock();
        if sizes.len() >= MAX_REMEMBERED {
            sizes.retain(|_, (_, at)| now.duration_since(*at) < SIZE_KEPT);
        }
        sizes.insert(group, (size, now));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deliveries_are_limited_by_the_minute() {
        let audiences = Audiences::new(10_000);
        let user = UserId(1);
        audiences.charge(user, 9_999);
        assert!(audiences.rejection(user, 0).is_none());
        assert!(audiences.rejection(user, 1).is_some());
        assert!(audiences.rejection(UserId(2), 10_000).is_some());
        audiences.charge(user, 5_000);
        tokio::time::advance(Duration::from_secs(20)).await;
        let refusal = audiences.rejection(user, 0).unwrap();
        assert_eq!((refusal.code, refusal.retry_after), (ErrorCode::RateLimitExceeded, Some(40)));
        assert!(audiences.rejection(UserId(2), 0).is_none(), "other users are not affected");
        tokio::time::advance(Duration::from_secs(41)).await;
        assert!(audiences.rejection(user, 0).is_none());
    }
}
