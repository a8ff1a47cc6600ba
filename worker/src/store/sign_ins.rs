//! `sign_ins`: the tokens with which users have connected, where this server keeps the accounts (`BUILTIN_AUTH`). Whether one is
//! still valid is in `jwt_revocation`.

use std::time::Duration;

use shared::ids::{TokenId, UserId};
use shared::stream::SignIn;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;

use super::columns::raw;
use crate::store::session::PgSession;

/// A token with which somebody has connected.
pub struct SignInRow {
    pub token_id: String,
    pub user_agent: Option<String>,
    pub address: String,
    pub signed_in_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

/// Notes that these were seen now; the slices go in pairs, and no token is in them twice.
pub async fn upsert(db: &mut PgSession, users: &[UserId], sign_ins: &[&SignIn]) -> sqlx::Result<()> {
    let token_ids: Vec<String> = sign_ins.iter().map(|sign_in| sign_in.token_id.0.clone()).collect();
    let user_agents: Vec<String> = sign_ins.iter().map(|one| one.user_agent.clone().unwrap_or_default()).collect();
    let addresses: Vec<String> = sign_ins.iter().map(|sign_in| sign_in.address.clone()).collect();
    let expiries: Vec<OffsetDateTime> = sign_ins.iter().map(|sign_in| sign_in.expires_at.to_datetime()).collect();
    sqlx::query!(
        "INSERT INTO sign_ins AS s (token_id, user_id, user_agent, address, expires_at)
         SELECT token_id, user_id, nullif(user_agent, ''), address, expires_at
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[])
             AS n (token_id, user_id, user_agent, address, expires_at)
         ORDER BY token_id
         ON CONFLICT (token_id) DO UPDATE SET
             user_agent = excluded.user_agent, address = excluded.address, last_seen_at = now()
         WHERE s.user_id = excluded.user_id",
        &token_ids,
        &raw(users),
        &user_agents,
        &addresses,
        &expiries
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of a user that are valid, the last seen first.
pub async fn list(db: &mut PgSession, user: UserId, limit: i64) -> sqlx::Result<Vec<SignInRow>> {
    sqlx::query_as!(
        SignInRow,
        "SELECT token_id, user_agent, address, signed_in_at, last_seen_at, expires_at FROM sign_ins s
         WHERE user_id = $1 AND expires_at > now() AND NOT EXISTS (SELECT FROM jwt_revocation r WHERE r.jti = s.token_id)
         ORDER BY last_seen_at DESC, token_id LIMIT $2",
        user.0,
        limit
    )
    .fetch_all(db)
    .await
}

/// Whether the user has connected with this token.
pub async fn exists(db: &mut PgSession, user: UserId, token_id: &TokenId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM sign_ins WHERE token_id = $1 AND user_id = $2) AS "exists!""#,
        token_id.0,
        user.0
    )
    .fetch_one(db)
    .await
}

/// Revokes this token of the user's, or all others that are valid; once is enough.
pub async fn revoke(db: &mut PgSession, user: UserId, token_id: &TokenId, others: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO jwt_revocation (jti, user_id, expires_at)
         SELECT token_id, user_id, expires_at FROM sign_ins
         WHERE user_id = $1 AND (token_id = $2) <> $3 AND expires_at > now()
         ON CONFLICT (jti) DO NOTHING",
        user.0,
        token_id.0,
        others
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes up to `limit` whose tokens have expired, or that were not seen for `age`; returns how many.
pub async fn delete_old(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let microseconds = age.as_micros().min(i64::MAX as u128) as i64;
    let deleted = sqlx::query!(
        "DELETE FROM sign_ins WHERE token_id IN (
             SELECT token_id FROM sign_ins WHERE expires_at < now() OR last_seen_at < now() - $1::interval LIMIT $2)",
        PgInterval { months: 0, days: 0, microseconds },
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
