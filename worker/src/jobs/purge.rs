//! Purges deleted groups whose time is over, message by message in bounded transactions. Any worker does it; a group that
//! one works on is locked, and the others take another one.

use std::sync::Arc;
use std::time::Duration;

use shared::lifecycle::Lifecycle;
use sqlx::Connection;

use crate::app::App;
use crate::store::purge;

const INTERVAL: Duration = Duration::from_secs(5);
/// Messages deleted in one transaction.
const BATCH: i64 = 2_000;
/// Between transactions, so that members' commands are not held up by the load.
const PAUSE: Duration = Duration::from_millis(20);

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let draining = lifecycle.draining();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !draining.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = draining.cancelled() => break,
        }
        while !draining.is_cancelled() {
            match purge_some(&app).await {
                Ok(true) => tokio::time::sleep(PAUSE).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "deleted groups could not be purged");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// One transaction's worth. Whether there was anything to do.
async fn purge_some(app: &App) -> sqlx::Result<bool> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let Some(group) = purge::find_deleted_group(&mut transaction, app.settings.group_purge_after).await? else {
        return Ok(false);
    };
    if purge::delete_messages(&mut transaction, &group, BATCH).await? < BATCH as u64 {
        purge::delete_group(&mut transaction, &group).await?;
        tracing::info!(group_id = group, "a deleted group was purged");
    }
    transaction.commit().await?;
    Ok(true)
}
