//! Finding and blocking other users.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::clock::Timestamp;
use crate::ids::UserId;

/// A user as others see them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KnownUser {
    pub user_id: UserId,
    pub username: String,
    pub display_name: String,
    pub profile_image: Option<String>,
    /// Whether the user is online; only in `users_found`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
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

/// A token with which somebody has connected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// The `jti` of its token.
    pub sign_in_id: String,
    /// When it first connected.
    pub signed_in_at: Timestamp,
    /// When it last connected or disconnected.
    pub last_seen_at: Timestamp,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// What the client said it is (`User-Agent`), cut at 256 characters.
    pub user_agent: Option<String>,
    /// From where it last connected; of an IPv6 address the network.
    pub address: String,
}

/// Where the caller is signed in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignIns {
    /// Those seen last first.
    pub sign_ins: Vec<SignIn>,
}

impl Event for SignIns {
    const TYPE: &'static str = "sign_ins";
}

/// The sign-in is over, or all others are.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInEnded {
    /// The one that was named.
    pub sign_in_id: String,
    /// Whether all others ended and this one stays.
    pub others: bool,
}

impl Event for SignInEnded {
    const TYPE: &'static str = "sign_in_ended";
}
