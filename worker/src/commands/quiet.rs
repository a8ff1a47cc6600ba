//! Marks quiet conversations for users who look at their list of conversations, which is then read in the order of an index.

use shared::ids::UserId;

use crate::store::inbox;
use crate::store::session::PgSession;

/// With more conversations that are not marked than this, quiet ones are marked. Otherwise each is looked up.
const MAX_ACTIVE: i64 = 64;
/// Marked in one statement, which holds up messages to these conversations for a few milliseconds.
const MARKED_AT_ONCE: i64 = 100;
/// Marked by one command.
const MAX_MARKED: i64 = 5_000;

/// The list is right without it, only slower.
pub async fn mark_if_many(db: &mut PgSession, user: UserId, active: i64) {
    if active <= MAX_ACTIVE {
        return;
    }
    for _ in 0..MAX_MARKED / MARKED_AT_ONCE {
        match inbox::mark_quiet(db, user, MARKED_AT_ONCE).await {
            Ok(marked) if marked == MARKED_AT_ONCE as u64 => {}
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "the quiet conversations of a list were not marked"),
        }
    }
}
