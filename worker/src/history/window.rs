//! The newest messages of an active conversation, kept in Redis, sealed, with the conversation's version at which they were
//! read and the database's epoch. The version is read from Postgres with every request, and a window with another
//! version is ignored, so that it can never show what an edit or a deletion removed. If Redis fails, the messages are
//! read from Postgres.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use serde::{Deserialize, Serialize};
use shared::ids::{ConversationId, Epoch};
use shared::redis::redirect::keyed;
use tokio::time::error::Elapsed;
use uuid::Uuid;

use super::entry::Entry;
use crate::app::App;
use crate::store::conversations::Scope;
use crate::store::history::Range;

/// Beyond this, reading from Postgres is faster than waiting.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Larger windows are not cached, whatever `CACHE_MESSAGES` is: very long messages would fill Redis.
const MAX_BYTES: usize = 256 * 1024;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The history of the database that this belongs to: in another one the same version may have other content.
    pub epoch: Epoch,
    pub version: i64,
    /// All messages with higher numbers are in this window.
    pub covers_after: i64,
    /// Oldest first, including hidden ones.
    pub entries: Vec<Entry>,
}

/// True if a window of the `most` newest messages is likely to contain the range.
pub fn may_hold(most: i64, scope: &Scope, range: &Range) -> bool {
    if most == 0 {
        return false;
    }
    let lowest = if range.from_newest {
        let newest = range.before.saturating_sub(1).min(scope.last_seq);
        newest - range.offset - range.limit + 1
    } else {
        range.after.saturating_add(1)
    };
    scope.message_count <= most || lowest > scope.last_seq - most
}

impl Window {
    /// The window kept at this version, of this epoch.
    pub async fn find(app: &App, conversation: ConversationId, version: i64, epoch: Epoch) -> Option<Window> {
        let key = app.keys.conversation_cache(conversation);
        let get = keyed!(&app.redis, key, |sender, key| async move { sender.get(key).await });
        let read = tokio::time::timeout(MAX_WAIT, get);
        let sealed: Bytes = match read.await {
            Ok(Ok(Some(sealed))) => sealed,
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a cached page could not be read");
                return None;
            }
            Err(_) => return None,
        };
        // Sealed under a key that is gone, or written by another version of the program: treated as missing.
        let json = app.wire.open_window(context(conversation), &sealed).ok()?;
        let window: Window = serde_json::from_slice(&json).ok()?;
        (window.version == version && window.epoch == epoch).then_some(window)
    }

    pub async fn store(&self, app: &App, conversation: ConversationId) {
        let contents: usize = self.entries.iter().map(|entry| entry.message.content.len()).sum();
        if contents > MAX_BYTES {
            return;
        }
        let Ok(json) = serde_json::to_vec(self) else { return };
        if json.len() > MAX_BYTES {
            return;
        }
        let sealed = Bytes::from(app.wire.seal_window(context(conversation), &json));
        let lives = Expiration::EX(app.settings.cache_ttl.as_secs().max(1) as i64);
        let key = app.keys.conversation_cache(conversation);
        let written = keyed!(&app.redis, key, |sender, key| {
            let (sealed, lives) = (sealed.clone(), lives.clone());
            async move { sender.set(key, sealed, Some(lives), None, false).await }
        });
        let written: Result<Result<(), Error>, Elapsed> = tokio::time::timeout(MAX_WAIT, written).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, "a page could not be cached");
        }
    }

    /// The entries of a range, oldest first; `None` if the range reaches beyond this window.
    pub fn cut(self, range: &Range, hidden: &HashSet<i64>) -> Option<Vec<Entry>> {
        let covered = range.after >= self.covers_after;
        let (skipped, limit) = (range.offset.max(0) as usize, range.limit.max(0) as usize);
        let in_range = |entry: &Entry| {
            let seq = entry.message.seq;
            seq > range.after && seq < range.before && !hidden.contains(&seq)
        };
        let visible = self.entries.into_iter().filter(in_range);
        if !range.from_newest {
            return covered.then(|| visible.skip(skipped).take(limit).collect());
        }
        let mut picked: Vec<Entry> = visible.rev().skip(skipped).take(limit).collect();
        if picked.len() < limit && !covered {
            return None;
        }
        picked.reverse();
        Some(picked)
    }
}

/// The associated data of a window's encryption: it opens only for this conversation.
fn context(conversation: ConversationId) -> Uuid {
    match conversation {
        ConversationId::Direct(a, b) => Uuid::from_u64_pair(a.0 as u64, b.0 as u64),
        ConversationId::Group(group) => group.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn window(covers_after: i64, seqs: std::ops::RangeInclusive<i64>) -> Window {
        let entry = |seq: i64| {
            let message = serde_json::json!({
                "messageId": "msg_00000000-0000-0000-0000-000000000001", "conversationId": "conv_1_2", "seq": seq,
                "senderId": "1", "senderUsername": "a", "content": "x", "createdAt": "2026-03-01T09:15:02.481Z",
                "kind": "text", "isEdited": false, "isPinned": false,
            });
            serde_json::from_value(serde_json::json!({"message": message, "quoted": null})).unwrap()
        };
        Window { epoch: Epoch::default(), version: 1, covers_after, entries: seqs.map(entry).collect() }
    }

    fn cut(window: Window, range: Range, hidden: &[i64]) -> Option<Vec<i64>> {
        let entries = window.cut(&range, &hidden.iter().copied().collect())?;
        Some(entries.iter().map(|entry| entry.message.seq).collect())
    }

    const ALL: Range = Range { after: 0, before: i64::MAX, from_newest: true, offset: 0, limit: 3 };

    #[test]
    fn a_range_within_is_cut_and_one_beyond_is_rejected() {
        let newest = || window(10, 11..=20);
        let cases = [
            ("newest", ALL, &[][..], Some(vec![18, 19, 20])),
            ("hidden are skipped", ALL, &[19, 20], Some(vec![16, 17, 18])),
            ("offset", Range { offset: 7, ..ALL }, &[], Some(vec![11, 12, 13])),
            ("offset too far", Range { offset: 8, ..ALL }, &[], None),
            ("before", Range { before: 14, ..ALL }, &[], Some(vec![11, 12, 13])),
            ("before too early", Range { before: 13, ..ALL }, &[], None),
            ("fewer, but all", Range { after: 18, ..ALL }, &[], Some(vec![19, 20])),
            ("after", Range { after: 10, from_newest: false, ..ALL }, &[12], Some(vec![11, 13, 14])),
            ("after too early", Range { after: 9, from_newest: false, ..ALL }, &[], None),
        ];
        for (name, range, hidden, expected) in cases {
            assert_eq!(cut(newest(), range, hidden), expected, "{name}");
        }
        assert_eq!(cut(window(0, 1..=2), ALL, &[]), Some(vec![1, 2]), "the whole conversation");
    }

    #[test]
    fn only_ranges_near_the_end_are_looked_for() {
        let scope = |message_count| Scope {
            last_seq: 1000,
            message_count,
            version: 1,
            cleared_seq: 0,
            hidden_count: 0,
            visible_count: message_count,
            read_seq: 0,
            other_read_seq: 0,
        };
        let after = |after| Range { after, from_newest: false, ..ALL };
        assert!(may_hold(100, &scope(1000), &Range { offset: 97, ..ALL }));
        assert!(!may_hold(100, &scope(1000), &Range { offset: 98, ..ALL }));
        assert!(may_hold(100, &scope(1000), &after(900)));
        assert!(!may_hold(100, &scope(1000), &after(899)));
        assert!(may_hold(100, &scope(100), &after(0)), "a short conversation is held whole");
        assert!(!may_hold(0, &scope(0), &ALL), "turned off");
        assert!(!may_hold(100, &scope(1000), &Range { before: 0, offset: i64::from(u32::MAX), ..ALL }));
    }

    /// Workers of two versions share the windows during an update: what one stores, the other must be able to read or
    /// recognise as foreign.
    #[test]
    fn windows_keep_their_golden_bytes() {
        let message = serde_json::json!({
            "messageId": "msg_0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "seq": 3,
            "conversationId": "group_0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "groupId": "group_0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
            "senderId": "17", "senderUsername": "ada", "content": "@bob @all", "createdAt": "2026-03-01T09:15:02.481Z",
            "kind": "announcement", "replyToMessageId": "msg_00000000-0000-0000-0000-000000000001",
            "replyTo": {
                "messageId": "msg_00000000-0000-0000-0000-000000000001", "seq": 1, "senderUsername": "bob",
                "content": "x", "createdAt": "2026-03-01T09:15:00.000Z",
            },
            "mentions": [{"type": "user", "userId": "42", "username": "bob"}, {"type": "everyone"}],
            "reactions": [
                {"userId": "42", "username": "bob", "reaction": "👍", "timestamp": "2026-03-01T09:15:03.000Z"},
            ],
            "isEdited": true, "editedAt": "2026-03-01T09:16:00.000Z", "isPinned": true, "pinnedBy": "17",
            "pinnedAt": "2026-03-01T09:17:00.000Z", "clientMessageId": "c-1",
        });
        let entry = serde_json::json!({"message": message, "quoted": {"sender": "42", "seq": 1}});
        let whole = Window { entries: vec![serde_json::from_value(entry).unwrap()], ..window(2, 1..=1) };
        let mut with_metadata = window(0, 1..=1);
        let metadata = shared::metadata::Metadata::new(&serde_json::json!({"a": [1, {"b": null}]})).unwrap();
        with_metadata.entries[0].message.metadata = Some(metadata);
        let windows = [("plain", window(0, 1..=2)), ("whole", whole), ("metadata", with_metadata)];
        let encode = |window: &Window| serde_json::to_vec(window).unwrap();
        golden::pin("window.txt", &windows, encode, |bytes| serde_json::from_slice(bytes).ok());
    }
}
