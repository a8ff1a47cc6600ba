//! Settles quiet conversations for users who look at their list of conversations: from then on the list is read in the order of an index.

use shared::ids::UserId;

use crate::store::inbox;
use crate::store::session::PgSession;

/// With more unsettled conversations than this, the quiet ones are settled: they are each looked up otherwise.
const MAX_UNSETTLED: i64 = 64;
/// Settled in one statement, which holds up messages to these conversations for a few milliseconds.
const SETTLED_AT_ONCE: i64 = 100;
/// And by one command.
const MAX_SETTLED: i64 = 5_000;

/// The list is right without it, only slower.
pub async fn settle_if_many(db: &mut PgSession, user: UserId, unsettled: i64) {
    if unsettled <= MAX_UNSETTLED {
        return;
    }
    for _ in 0..MAX_SETTLED / SETTLED_AT_ONCE {
        match inbox::settle(db, user, SETTLED_AT_ONCE).await {
            Ok(settled) if settled == SETTLED_AT_ONCE as u64 => {}
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "a list of conversations is not settled"),
        }
    }
}
