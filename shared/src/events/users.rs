//! Finding and blocking other users.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::ids::UserId;

/// A user as others see them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownUser {
    pub user_id: UserId,
    pub username: String,
    pub display_name: String,
    pub profile_image: Option<String>,
}

/// Users whose name begins with the query.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UsersFound {
    /// In the order of the matching name.
    pub users: Vec<KnownUser>,
}

impl Event for UsersFound {
    const TYPE: &'static str = "users_found";
}

/// The caller blocks this user from now on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserBlocked {
    pub user_id: UserId,
}

impl Event for UserBlocked {
    const TYPE: &'static str = "user_blocked";
}

/// The caller no longer blocks this user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserUnblocked {
    pub user_id: UserId,
}

impl Event for UserUnblocked {
    const TYPE: &'static str = "user_unblocked";
}

/// The users whom the caller blocks.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BlockedUsers {
    /// The last blocked user first.
    pub users: Vec<KnownUser>,
}

impl Event for BlockedUsers {
    const TYPE: &'static str = "blocked_users";
}
