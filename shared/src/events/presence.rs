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
}

impl Event for OnlineUsers {
    const TYPE: &'static str = "online_users";
}
