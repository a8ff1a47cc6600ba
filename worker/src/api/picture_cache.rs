//! The URLs of the pictures of users and communities: a bounded cache in this process.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::accounts::PictureKind;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub kind: PictureKind,
    pub id: String,
}

/// Picture URLs, kept for a while. The oldest entries make room for new ones.
pub struct PictureCache {
    most: usize,
    lifetime: Duration,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    urls: HashMap<Key, (Instant, Option<String>)>,
    /// Ordered by age; holds each key of `urls` once.
    order: VecDeque<Key>,
}

impl PictureCache {
    pub fn new(most: usize, lifetime: Duration) -> Self {
        PictureCache { most, lifetime, entries: Mutex::default() }
    }

    /// The cached URLs that are still fresh; `None` for a user or community without a picture.
    pub fn find(&self, keys: &[Key], now: Instant) -> HashMap<Key, Option<String>> {
        let entries = self.entries.lock();
        let fresh = |key: &Key| {
            let (since, url) = entries.urls.get(key)?;
            (now.duration_since(*since) < self.lifetime).then(|| (key.clone(), url.clone()))
        };
        keys.iter().filter_map(fresh).collect()
    }

    pub fn insert(&self, key: Key, url: Option<String>, now: Instant) {
        if self.most == 0 {
            return;
        }
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.urls.get_mut(&key) {
            *entry = (now, url);
            return;
        }
        while entries.urls.len() >= self.most {
            let Some(oldest) = entries.order.pop_front() else { break };
            entries.urls.remove(&oldest);
        }
        entries.order.push_back(key.clone());
        entries.urls.insert(key, (now, url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> Key {
        Key { kind: PictureKind::User, id: id.to_string() }
    }

    #[test]
    fn the_cache_keeps_to_its_size_and_time() {
        let cache = PictureCache::new(2, Duration::from_secs(5));
        let start = Instant::now();
        for id in 1..=3 {
            cache.insert(key(id), Some(id.to_string()), start);
        }
        let keys = [key(1), key(2), key(3)];
        let found = cache.find(&keys, start + Duration::from_secs(4));
        assert_eq!((found.len(), found.get(&key(3))), (2, Some(&Some("3".to_owned()))));
        assert!(cache.find(&keys, start + Duration::from_secs(5)).is_empty());
        cache.insert(key(3), None, start + Duration::from_secs(5));
        assert_eq!(cache.find(&keys, start + Duration::from_secs(6)).len(), 1);
        assert_eq!(cache.entries.lock().order.len(), 2);
    }
}
