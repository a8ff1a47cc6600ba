//! Users who have started to write to as many strangers as they may in a day (`NEW_CONVERSATION_LIMIT`);
//! `sends::strangers` counts.

use std::collections::HashMap;

use parking_lot::Mutex;
use shared::ids::UserId;
use tokio::time::Instant;

/// How many users are remembered; beyond that the oldest are forgotten, until their next stranger.
const MAX_REMEMBERED: usize = 100_000;

/// Users who have reached the limit, and until when that counts.
#[derive(Default)]
pub struct Strangers {
    exhausted: Mutex<HashMap<UserId, Instant>>,
}

impl Strangers {
    pub fn until(&self, user: UserId) -> Option<Instant> {
        let exhausted = self.exhausted.lock();
        if exhausted.is_empty() {
            return None;
        }
        exhausted.get(&user).copied().filter(|until| *until > Instant::now())
    }

    pub fn remember(&self, user: UserId, until: Instant) {
        let mut exhausted = self.exhausted.lock();
        if exhausted.len() >= MAX_REMEMBERED {
            let now = Instant::now();
            exhausted.retain(|_, until| *until > now);
            if exhausted.len() >= MAX_REMEMBERED {
                exhausted.clear();
            }
        }
        exhausted.insert(user, until);
    }
}
