//! `jwt_revocation`, which the main backend writes: recently revoked tokens.

use std::time::Duration;

use crate::store::session::PgSession;
use futures_util::{Stream, StreamExt, TryStreamExt};
use shared::ids::TokenId;
use sqlx::postgres::types::PgInterval;

/// Where the trigger of migration 0004 announces a revocation, with the token's id.
pub const CHANNEL: &str = "chat_revocation";

/// The ids of the tokens that were revoked within the last `lookback`.
pub fn stream_revoked(db: &mut PgSession, lookback: Duration) -> impl Stream<Item = sqlx::Result<TokenId>> + Send + '_ {
    let microseconds = lookback.as_micros().min(i64::MAX as u128) as i64;
    let lookback = PgInterval { months: 0, days: 0, microseconds };
    // Relative to the newest row rather than to our clock: if the main backend stores no time zone, its time is hours
    // off. A row that lies in the future by mistake must not hide the others.
    sqlx::query_scalar!(
        r#"SELECT jti::text AS "jti!" FROM jwt_revocation
           WHERE revoked_at > least(
               (SELECT max(revoked_at) FROM jwt_revocation)::timestamptz,
               now() + (SELECT CASE a.atttypid WHEN 'timestamp'::regtype THEN interval '14 hours' ELSE interval '0' END
                        FROM pg_attribute a WHERE a.attrelid = 'jwt_revocation'::regclass AND a.attname = 'revoked_at')
           ) - $1::interval"#,
        lookback
    )
    .fetch(db)
    .map_ok(TokenId)
    .boxed()
}
