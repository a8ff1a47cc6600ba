//! Deletes the oldest events of users for whom more wait than are kept, in bounded transactions: of all such users now and
//! then (`retention`), and of one at once if a command has to delete what waits for the user.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::UserId;
use shared::lifecycle::Lifecycle;

use crate::app::App;
use crate::store::purge;

/// How many users with too many waiting events are handled in one round; the others wait for the next one.
const USERS_TOGETHER: i64 = 1_000;
const EVENTS_PER_TRANSACTION: i64 = 5_000;
/// The pause between transactions: short, because a command and what comes after it may wait for the end.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves the commands that wait for it.
pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let draining = lifecycle.draining();
    while let Some(users) = draining.run_until_cancelled(app.crowded.take()).await {
        for user in users {
            if let Err(error) = delete_surplus(&app, &lifecycle, user).await {
                tracing::warn!(%error, user_id = %user, "waiting events could not be deleted");
            }
        }
    }
    Ok(())
}

/// Walks all users with more waiting events than are kept.
pub async fn clean(app: &App, lifecycle: &Lifecycle) -> sqlx::Result<()> {
    let mut db = app.db.acquire().await?;
    let crowded = purge::list_crowded(&mut db, app.max_waiting_events(), USERS_TOGETHER).await?;
    drop(db);
    for user in crowded {
        delete_surplus(app, lifecycle, user).await?;
    }
    Ok(())
}

async fn delete_surplus(app: &App, lifecycle: &Lifecycle, user: UserId) -> sqlx::Result<()> {
    while !lifecycle.is_draining() {
        let mut db = app.db.acquire().await?;
        let kept = app.max_waiting_events();
        let deleted = purge::delete_surplus_events(&mut db, user, kept, EVENTS_PER_TRANSACTION).await?;
        if deleted < EVENTS_PER_TRANSACTION as u64 {
            break;
        }
        drop(db);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
