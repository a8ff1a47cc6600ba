//! Marks quiet conversations for users who look at their list of conversations, which is then read in the order of an index.

use shared::ids::UserId;

use crate::app::App;
use crate::store::inbox;
use crate::store::session::PgSession;

/// With more conversations that are not marked than this, quiet ones are marked. Otherwise each is looked up.
const MAX_ACTIVE: i64 = 64;
/// Marked in one statement, which holds up messages to these conversations for a few milliseconds.
const MARKED_AT_ONCE: i64 = 100;
/// Marked by one command.
const MAX_MARKED: i64 = 5_000;

/// The list is right without it, only slower.
pub async fn mark_if_many(app: &App, db: &mut PgSession, user: UserId, active: i64) {
    if active <= MAX_ACTIVE {
        return;
    }
    let marked = match db.is_replica() {
        true => mark_at_primary(app, user).await,
        false => mark(db, user, MAX_MARKED).await,
    };
    if let Err(error) = marked {
        tracing::warn!(%error, "the quiet conversations of a list were not marked");
    }
}

/// Marks a few, because a query may not take long at a replica; further lists mark the others.
async fn mark_at_primary(app: &App, user: UserId) -> sqlx::Result<()> {
    mark(&mut app.db.acquire().await?, user, MARKED_AT_ONCE).await
}

async fn mark(db: &mut PgSession, user: UserId, most: i64) -> sqlx::Result<()> {
    for _ in 0..most / MARKED_AT_ONCE {
        // Some stay as they are, and are looked at again. If most do, the others are not worth it.
        if inbox::mark_quiet(db, user, MARKED_AT_ONCE).await? < MARKED_AT_ONCE as u64 / 2 {
            break;
        }
    }
    Ok(())
}
