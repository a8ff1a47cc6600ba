//! The API keys that a worker accepted recently. They grant nothing: this only decides what a request is counted
//! against.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use shared::ids::ApiKeyId;
use shared::server_api::key::{ApiKey, KeyHash};
use tokio::time::Instant;

const KNOWN_FOR: Duration = Duration::from_secs(60);
/// Far more than a deployment has; beyond this, all are forgotten.
const MAX_KEYS: usize = 10_000;

/// By the id of the key.
#[derive(Default)]
pub struct KnownKeys {
    keys: Mutex<HashMap<ApiKeyId, (KeyHash, Instant)>>,
}

impl KnownKeys {
    pub fn contains(&self, key: &ApiKey) -> bool {
        let keys = self.keys.lock();
        keys.get(&key.id).is_some_and(|(hash, since)| since.elapsed() < KNOWN_FOR && key.hash.matches(&hash.0))
    }

    pub fn insert(&self, key: &ApiKey) {
        let mut keys = self.keys.lock();
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(key.id.clone(), (key.hash.clone(), Instant::now()));
    }
}
