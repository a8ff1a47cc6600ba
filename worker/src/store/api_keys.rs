//! `api_keys` and `api_requests`: who may use the server API, and which of its requests have been seen. `chatctl
//! apikey` creates and revokes keys.

use std::time::Duration;

use shared::ids::{ApiKeyId, CommandId};
use shared::stream::Repetition;
use sqlx::postgres::types::PgInterval;

use crate::store::session::PgSession;

pub struct ApiKey {
    pub key_hash: Vec<u8>,
    pub scopes: Vec<String>,
    /// True if it was not used within the last minute.
    pub was_unused: bool,
}

/// Finds a key that was not revoked.
pub async fn find(db: &mut PgSession, key_id: &ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    sqlx::query_as!(
        ApiKey,
        r#"SELECT key_hash, scopes, COALESCE(last_used_at < now() - interval '1 minute', TRUE) AS "was_unused!"
           FROM api_keys WHERE key_id = $1 AND revoked_at IS NULL"#,
        key_id.0
    )
    .fetch_optional(db)
    .await
}

pub async fn update_used(db: &mut PgSession, key_id: &ApiKeyId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE api_keys SET last_used_at = now() WHERE key_id = $1", key_id.0).execute(db).await?;
    Ok(())
}

pub struct FirstRequest {
    pub fingerprint: Vec<u8>,
    pub command_id: CommandId,
}

/// Records a request, or finds the first one under its key.
pub async fn insert_request(db: &mut PgSession, key_id: &ApiKeyId, request: &Repetition) -> sqlx::Result<FirstRequest> {
    // The update changes nothing, but makes the statement return the existing row.
    sqlx::query_as!(
        FirstRequest,
        "INSERT INTO api_requests AS first (key_id, idempotency_key, fingerprint, command_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key_id, idempotency_key) DO UPDATE SET command_id = first.command_id
         RETURNING fingerprint, command_id",
        key_id.0,
        request.key,
        request.fingerprint.as_slice(),
        request.command
    )
    .fetch_one(db)
    .await
}

/// Deletes up to `limit` requests that are older than `age`; returns how many.
pub async fn delete_old_requests(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let microseconds = age.as_micros().min(i64::MAX as u128) as i64;
    let deleted = sqlx::query!(
        "DELETE FROM api_requests WHERE (key_id, idempotency_key) IN (
             SELECT key_id, idempotency_key FROM api_requests
             WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)",
        PgInterval { months: 0, days: 0, microseconds },
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
