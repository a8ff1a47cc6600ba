//! Which gateways have a separate connection for large answers. Those of an earlier release do not, and get large
//! answers like all others.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fred::prelude::*;
use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::ids::GatewayId;
use shared::redis::keys::Keys;
use shared::redis::redirect::keyed;
use tokio::time::Instant;

use crate::outcome::{Audience, Outcome};

/// Smaller answers do not pile up, because each connection has only a few in flight.
const MIN_LARGE_BYTES: usize = 16 * 1024;
/// How long the set of following gateways is cached.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// A gateway without a heartbeat for this long does not follow.
const FOLLOWS_MS: i64 = 3_000;

#[derive(Default)]
pub struct AnswerChannels {
    following: Mutex<Option<(Instant, HashSet<String>)>>,
}

impl AnswerChannels {
    /// Routes large outcomes to the connections for them, each outcome as a whole, so that its parts keep their order.
    pub async fn lead(&self, redis: &Client, keys: &Keys, outcomes: &mut [Outcome]) {
        for outcome in outcomes {
            let bytes: usize = outcome.publications.iter().map(|publication| publication.payload.len()).sum();
            if bytes < MIN_LARGE_BYTES {
                continue;
            }
            // Asked once: with parts on both connections, the end could overtake the others.
            let mut follows = HashMap::new();
            for publication in &mut outcome.publications {
                let Audience::Gateway(gateway) = publication.audience else { continue };
                let follows = match follows.entry(gateway) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => *new.insert(self.follows(redis, keys, gateway).await),
                };
                if follows {
                    publication.audience = Audience::Answers(gateway);
                }
            }
        }
    }

    async fn follows(&self, redis: &Client, keys: &Keys, gateway: GatewayId) -> bool {
        let name = gateway.to_string();
        let now = Instant::now();
        if let Some((at, following)) = &*self.following.lock()
            && now.duration_since(*at) < KNOWN_FOR
        {
            return following.contains(&name);
        }
        let since = (Timestamp::now().0 - FOLLOWS_MS) as f64;
        let found: Result<HashSet<String>, Error> =
            keyed!(redis, keys.heartbeats("answers"), |sender, key| async move {
                sender.zrangebyscore(key, since, f64::INFINITY, false, None).await
            })
            .await;
        // If unknown, use the channel that all gateways know.
        let following = found.unwrap_or_default();
        let follows = following.contains(&name);
        *self.following.lock() = Some((now, following));
        follows
    }
}
