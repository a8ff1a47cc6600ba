//! `POST /api/profile-pictures/batch`: the URLs of the pictures of users and communities, from a bounded cache in this
//! process.

use std::time::Instant;

use serde_json::Value;
use shared::http::{Picture, Pictures, Success};
use shared::ids::{CommunityId, TokenId, UserId};
use shared::limits::{MAX_FOREIGN_ID_CHARACTERS, MAX_PICTURES};
use shared::protocol::{Fields, Invalid, Rejection};
use shared::stream::Envelope;

use super::picture_cache::Key;
use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::accounts::{self, PictureKind};
use crate::store::communities;

pub async fn list(app: &App, envelope: &Envelope, token_id: &TokenId, body: &[u8]) -> Result<Outcome, Failure> {
    let keys = parse(body)?;
    let mut db = app.db.acquire().await?;
    super::check_token(&mut db, envelope.user, token_id).await?;
    let mut found = app.pictures.find(&keys, Instant::now());
    let missing: Vec<&Key> = keys.iter().filter(|key| !found.contains_key(key)).collect();
    if !missing.is_empty() {
        let kinds: Vec<PictureKind> = missing.iter().map(|key| key.kind).collect();
        let ids: Vec<String> = missing.iter().map(|key| key.id.clone()).collect();
        let rows = accounts::list_pictures(&mut db, &kinds, &ids).await?;
        let now = Instant::now();
        for row in rows {
            let key = Key { kind: row.kind, id: row.id };
            let url = row.url.filter(|url| !url.is_empty());
            app.pictures.insert(key.clone(), url.clone(), now);
            found.insert(key, url);
        }
    }
    // A user who may not see a community may not see its picture either.
    let named: Vec<CommunityId> =
        keys.iter().filter(|key| key.kind == PictureKind::Community).map(|key| CommunityId(key.id.clone())).collect();
    if !named.is_empty() {
        let visible = communities::list_visible(&mut db, envelope.user, &named).await?;
        found.retain(|key, _| {
            key.kind != PictureKind::Community || visible.iter().any(|community| community.0 == key.id)
        });
    }
    let item = |key: &'_ Key| {
        let url = found.get(key).cloned().flatten();
        (url.is_some(), url)
    };
    let items = keys
        .iter()
        .map(|key| {
            let (has_picture, url) = item(key);
            Picture { kind: key.kind.as_str(), id: &key.id, has_picture, default: !has_picture, url }
        })
        .collect();
    super::ok(envelope, &Pictures { status: Success::Ok, items })
}

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
        let kind = item.string("type").ok().flatten().and_then(PictureKind::parse);
        let kind = kind.ok_or_else(|| malformed("`type` must be user or community"))?;
        let id = if kind == PictureKind::User {
            item.required_user_id("id").map(|user: UserId| user.to_string())
        } else {
            let id = item.foreign_id("id", MAX_FOREIGN_ID_CHARACTERS);
            id.and_then(|id| id.ok_or(Invalid::required("id")))
        };
        Ok(Key { kind, id: id.map_err(|invalid| malformed(&invalid.details))? })
    };
    items.iter().enumerate().map(key).collect()
}
