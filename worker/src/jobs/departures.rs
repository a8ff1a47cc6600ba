//! Ends the sessions of users whose account the main backend deleted, and passes their groups on. Any worker does it; a user whom
//! one deals with is locked, and the others take another one.

use std::sync::Arc;
use std::time::Duration;

use shared::lifecycle::Lifecycle;
use shared::publication::Header;
use shared::telemetry::with_causes;

use crate::app::App;
use crate::outcome::{Audience, Publication};
use crate::publish;
use crate::store::departures;

const INTERVAL: Duration = Duration::from_secs(1);

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        while !lifecycle.is_draining() {
            match see_off_one(&app).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = %with_causes(&error), "cleaning up after a deleted account failed");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Whether there was anybody.
async fn see_off_one(app: &App) -> anyhow::Result<bool> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let Some(departed) = departures::find_departed(&mut transaction).await? else { return Ok(false) };
    if !departed.exists {
        let user = departed.user_id;
        departures::delete_memberships(&mut transaction, user).await?;
        // Before the commit: should it fail, the same is told again, and an account that is gone cannot open a session meanwhile.
        let ended = Publication { audience: Audience::User(user), header: Header::Departed, payload: Vec::new() };
        publish::publish(app, &[ended]).await?;
        tracing::info!(user_id = %user, "an account was deleted: its sessions end, its groups are passed on");
    }
    departures::delete_departed(&mut transaction, departed.user_id).await?;
    transaction.commit().await?;
    Ok(true)
}
