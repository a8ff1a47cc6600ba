//! How many waiting events one transaction may delete: commands of others wait until it ends.

use std::collections::HashMap;

use shared::ids::UserId;

use crate::app::App;
use crate::store::purge;
use crate::store::session::PgSession;

/// The number of users whose waiting events one transaction deletes, and of those events.
pub const USERS_TOGETHER: usize = 200;
pub const EVENTS_TOGETHER: i64 = 5_000;
/// The number of users whose waiting events are counted with one query.
const COUNTED_TOGETHER: usize = 10;

/// Those of these users whose waiting events one transaction may delete: the first of them, except users for whom more
/// events wait than are kept. Of those the oldest are deleted first, by `jobs::crowded`.
pub async fn list_together(app: &App, db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<UserId>> {
    let most = app.max_waiting_events();
    let (mut together, mut crowded, mut events) = (Vec::new(), Vec::new(), 0);
    for some in users[..users.len().min(USERS_TOGETHER)].chunks(COUNTED_TOGETHER) {
        let waiting: HashMap<UserId, i64> = purge::count_waiting(db, some, most + 1).await?.into_iter().collect();
        for user in some {
            let waiting = waiting.get(user).copied().unwrap_or(0);
            if waiting > most {
                crowded.push(*user);
            } else if together.is_empty() || events + waiting <= EVENTS_TOGETHER {
                together.push(*user);
                events += waiting;
            }
        }
        if events >= EVENTS_TOGETHER {
            break;
        }
    }
    if !crowded.is_empty() {
        app.crowded.push(&crowded);
    }
    Ok(together)
}
