//! The greeting, authentication and signs of life.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::clock::Timestamp;
use crate::ids::{Epoch, UserId};

/// The greeting, before anything else.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connected<'a> {
    pub client_id: &'a str,
    pub requires_auth: bool,
    pub message: &'a str,
    pub timestamp: Timestamp,
}

impl Event for Connected<'_> {
    const TYPE: &'static str = "connected";
    const HAS_TIMESTAMP: bool = true;
}

/// The caller, as the main backend knows them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    pub id: UserId,
    pub user_id: UserId,
    pub username: String,
    pub email: Option<String>,
    pub display_name: String,
    pub profile_image: Option<String>,
    pub bio: Option<String>,
}

/// The session is open; the missed events follow, oldest first, then live ones.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthSuccess<'a> {
    pub user: &'a Profile,
    pub user_id: UserId,
    pub username: &'a str,
    pub display_name: &'a str,
    pub session_id: &'a str,
    /// The database's history. If it is another one than before, drop what you hold and load it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// How many missed events follow.
    pub queued_events: u32,
    /// More was missed than is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_truncated: Option<bool>,
    /// The session continues with a new token; nothing is replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed: Option<bool>,
    pub server_time: Timestamp,
    pub timestamp: Timestamp,
}

impl Event for AuthSuccess<'_> {
    const TYPE: &'static str = "auth_success";
    const HAS_TIMESTAMP: bool = true;
}

/// The server's database went back in time while the session was open: the client must drop what it holds and load it again. What was
/// missed since follows.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EpochChanged {
    /// As in `auth_success`.
    pub epoch: Epoch,
    pub timestamp: Timestamp,
}

impl Event for EpochChanged {
    const TYPE: &'static str = "epoch_changed";
    const HAS_TIMESTAMP: bool = true;
}

/// Why a token does not open a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuthErrorCode {
    /// There is no `token`.
    TokenMissing,
    /// Not a JWT, not signed by an accepted key, or without a required claim.
    TokenInvalid,
    /// It has expired: get a new one.
    TokenExpired,
    /// It was revoked: log in again.
    TokenRevoked,
    /// Its user does not exist.
    UserNotFound,
    /// A temporary failure; try again after `retryAfter` seconds.
    ServiceUnavailable,
}

/// The token does not open a session. The connection stays open for another attempt.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthError<'a> {
    pub message: &'a str,
    pub details: &'a str,
    pub code: AuthErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    pub timestamp: Timestamp,
}

impl Event for AuthError<'_> {
    const TYPE: &'static str = "auth_error";
    const HAS_TIMESTAMP: bool = true;
}

/// Another connection of the same user took over.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionConflict<'a> {
    pub message: &'a str,
    pub timestamp: Timestamp,
}

impl Event for SessionConflict<'_> {
    const TYPE: &'static str = "session_conflict";
    const HAS_TIMESTAMP: bool = true;
}

/// The answer to `ping`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pong {
    /// Epoch milliseconds.
    pub timestamp: i64,
}

impl Event for Pong {
    const TYPE: &'static str = "pong";
    const HAS_TIMESTAMP: bool = true;
}

/// The answer to `test`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TestResponse<'a> {
    pub message: &'a str,
    /// Epoch milliseconds.
    pub timestamp: i64,
}

impl Event for TestResponse<'_> {
    const TYPE: &'static str = "test_response";
    const HAS_TIMESTAMP: bool = true;
}
