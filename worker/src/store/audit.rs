//! `audit_log`: what administrators and moderators did, without any content.

use super::columns::Column;
use shared::ids::{ApiKeyId, ConversationId, MessageId, UserId};
use std::fmt;
use std::time::Duration;

use crate::store::session::PgSession;
use sqlx::postgres::types::PgInterval;

/// Who did something.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    User(UserId),
    /// A backend, with a key of the server API.
    ApiKey(&'a ApiKeyId),
}

impl fmt::Display for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(user) => write!(f, "user:{user}"),
            Actor::ApiKey(key) => write!(f, "key:{key}"),
        }
    }
}

/// One action.
#[derive(Clone, Copy, Debug)]
pub struct AuditEntry<'a> {
    pub actor: Actor<'a>,
    pub action: &'a str,
    pub target_user: Option<UserId>,
    pub conversation: Option<ConversationId>,
    pub message: Option<MessageId>,
}

pub async fn insert_entry(db: &mut PgSession, entry: &AuditEntry<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO audit_log (actor, action, target_user_id, conversation_id, message_id) VALUES ($1, $2, $3, $4, $5)",
        entry.actor.to_string(),
        entry.action,
        entry.target_user.to_stored(),
        entry.conversation.to_stored(),
        entry.message.to_stored()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes up to `limit` entries that are older than `age`; returns how many.
pub async fn delete_old(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let microseconds = age.as_micros().min(i64::MAX as u128) as i64;
    let deleted = sqlx::query!(
        "DELETE FROM audit_log WHERE audit_id IN (
             SELECT audit_id FROM audit_log WHERE occurred_at < now() - $1::interval ORDER BY occurred_at LIMIT $2)",
        PgInterval { months: 0, days: 0, microseconds },
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
