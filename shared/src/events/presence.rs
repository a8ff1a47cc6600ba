//! Who comes online, who goes offline, who is online.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::clock::Timestamp;
use crate::ids::UserId;

/// A user who came online or went offline.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresentUser {
    pub id: UserId,
    pub user_id: UserId,
    pub username: String,
    pub display_name: String,
}

/// A user came online: the first of the user's connections authenticated.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserOnline<'a> {
    pub user: &'a PresentUser,
    pub timestamp: Timestamp,
}

impl Event for UserOnline<'_> {
    const TYPE: &'static str = "user_online";
    const HAS_TIMESTAMP: bool = true;
}

/// A user went offline: `OFFLINE_GRACE_PERIOD` (60 s by default) has passed since the last connection closed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserOffline<'a> {
    pub user: &'a PresentUser,
    pub timestamp: Timestamp,
}

impl Event for UserOffline<'_> {
    const TYPE: &'static str = "user_offline";
    const HAS_TIMESTAMP: bool = true;
}

/// Users came online and went offline: all changes of a quarter of a second in their order, so the last one of a user
/// counts; of up to a second where a gateway has more than 5,000 connections. Only for connections that authenticated with `presenceBatches: true`; others get each change as `user_online` or
/// `user_offline`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceChanged {
    /// Oldest first.
    pub changes: Vec<PresenceChange>,
    pub timestamp: Timestamp,
}

impl Event for PresenceChanged {
    const TYPE: &'static str = "presence_changed";
    const HAS_TIMESTAMP: bool = true;
}

/// A `user_online` or `user_offline` event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresenceChange {
    /// Whether the user came or went.
    #[serde(rename = "type")]
    pub kind: PresenceKind,
    pub user: PresentUser,
    pub timestamp: Timestamp,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceKind {
    UserOnline,
    UserOffline,
}

/// The `presence_changed` of finished `user_online` and `user_offline` events, which are not parsed.
pub fn presence_changed<'a>(changes: impl Iterator<Item = &'a [u8]>, timestamp: Timestamp) -> Vec<u8> {
    let mut json = format!(r#"{{"type":"{}","changes":["#, PresenceChanged::TYPE).into_bytes();
    for (number, change) in changes.enumerate() {
        if number > 0 {
            json.push(b',');
        }
        json.extend_from_slice(change);
    }
    json.extend_from_slice(format!(r#"],"timestamp":"{timestamp}"}}"#).as_bytes());
    json
}

/// A user who is online.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    pub user_id: UserId,
    pub id: UserId,
    pub username: String,
    pub display_name: String,
    pub profile_image: Option<String>,
    pub last_seen: Option<Timestamp>,
}

/// Who is online.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUsers {
    pub users: Vec<OnlineUser>,
    /// The number of users listed.
    pub count: usize,
    /// Whether more are online than are listed.
    pub has_more: bool,
    /// Where the next part begins; missing at the end, and in an answer that is not a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Event for OnlineUsers {
    const TYPE: &'static str = "online_users";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events;

    #[test]
    fn a_batch_of_finished_events_is_what_its_struct_says() {
        let timestamp = Timestamp(1_772_356_502_481);
        let user = |id| PresentUser {
            id: UserId(id),
            user_id: UserId(id),
            username: "bob".to_owned(),
            display_name: "Bob \"B\"".to_owned(),
        };
        let finished = [
            events::broadcast(&UserOnline { user: &user(7), timestamp }),
            events::broadcast(&UserOffline { user: &user(8), timestamp }),
        ];
        let changes = vec![
            PresenceChange { kind: PresenceKind::UserOnline, user: user(7), timestamp },
            PresenceChange { kind: PresenceKind::UserOffline, user: user(8), timestamp },
        ];
        let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        let joined = presence_changed(finished.iter().map(Vec::as_slice), timestamp);
        assert_eq!(read(&joined), read(&events::broadcast(&PresenceChanged { changes, timestamp })));
    }
}
