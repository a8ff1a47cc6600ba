//! `POST /api/profile-pictures/batch`: where the pictures of users and communities are, from a bounded cache in this
//! process.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use shared::http::{Picture, Pictures, Success};
use shared::ids::UserId;
use shared::limits::{MAX_FOREIGN_ID_CHARACTERS, MAX_PICTURES};
use shared::protocol::{Fields, Invalid, Rejection};
use shared::stream::Envelope;

use crate::app::App;
use crate::error::Failure;
use crate::publish::Outcome;
use crate::store::accounts;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    id: String,
}

pub async fn list(app: &App, envelope: &Envelope, token_id: &str, body: &[u8]) -> Result<Outcome, Failure> {
    let keys = parse(body)?;
    let mut db = app.db.acquire().await?;
    super::check_token(&mut db, envelope.user, token_id).await?;
    let mut found = app.pictures.find(&keys, Instant::now());
    let missing: Vec<&Key> = keys.iter().filter(|key| !found.contains_key(key)).collect();
    if !missing.is_empty() {
        let kinds: Vec<String> = missing.iter().map(|key| key.kind.to_owned()).collect();
        let ids: Vec<String> = missing.iter().map(|key| key.id.clone()).collect();
        let rows = accounts::list_pictures(&mut db, &kinds, &ids).await?;
        let now = Instant::now();
        for row in rows {
            let Some(kind) = KINDS.into_iter().find(|kind| **kind == row.kind) else { continue };
            let key = Key { kind, id: row.id };
            let url = row.url.filter(|url| !url.is_empty());
            app.pictures.insert(key.clone(), url.clone(), now);
            found.insert(key, url);
        }
    }
    let item = |key: &'_ Key| {
        let url = found.get(key).cloned().flatten();
        (url.is_some(), url)
    };
    let items = keys
        .iter()
        .map(|key| {
            let (has_picture, url) = item(key);
            Picture { kind: key.kind, id: &key.id, has_picture, default: !has_picture, url }
        })
        .collect();
    super::ok(envelope, &Pictures { status: Success::Ok, items })
}

const KINDS: [&str; 2] = ["user", "community"];

fn parse(body: &[u8]) -> Result<Vec<Key>, Rejection> {
    let map = super::object(body)?;
    let items = match map.get("items") {
        Some(Value::Array(items)) if items.len() <= MAX_PICTURES => items,
        _ => {
            return Err(Rejection::invalid("items", format!("`items` must be a list of at most {MAX_PICTURES} items")));
        }
    };
    let key = |(place, item): (usize, &Value)| {
        let malformed = |details: &str| Rejection::invalid("items", format!("In `items`, entry {place}: {details}"));
        let Value::Object(item) = item else { return Err(malformed("it must be an object")) };
        let item = Fields(item);
        let kind = item.string("type").ok().flatten().and_then(|given| KINDS.into_iter().find(|kind| *kind == given));
        let kind = kind.ok_or_else(|| malformed("`type` must be user or community"))?;
        let id = if kind == "user" {
            item.required_user_id("id").map(|user: UserId| user.to_string())
        } else {
            let id = item.foreign_id("id", MAX_FOREIGN_ID_CHARACTERS);
            id.and_then(|id| id.ok_or(Invalid::required("id")))
        };
        Ok(Key { kind, id: id.map_err(|invalid| malformed(&invalid.details))? })
    };
    items.iter().enumerate().map(key).collect()
}

/// Where pictures are, for a while. The oldest entries make room.
pub struct PictureCache {
    most: usize,
    lifetime: Duration,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    urls: HashMap<Key, (Instant, Option<String>)>,
    /// By age; each key of `urls` once.
    order: VecDeque<Key>,
}

impl PictureCache {
    pub fn new(most: usize, lifetime: Duration) -> Self {
        PictureCache { most, lifetime, entries: Mutex::default() }
    }

    fn find(&self, keys: &[Key], now: Instant) -> HashMap<Key, Option<String>> {
        let entries = self.entries.lock();
        let fresh = |key: &Key| {
            let (since, url) = entries.urls.get(key)?;
            (now.duration_since(*since) < self.lifetime).then(|| (key.clone(), url.clone()))
        };
        keys.iter().filter_map(fresh).collect()
    }

    fn insert(&self, key: Key, url: Option<String>, now: Instant) {
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
        Key { kind: "user", id: id.to_string() }
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
