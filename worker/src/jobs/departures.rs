//! Ends the sessions of users whose account the main backend deleted, and passes their groups on. Any worker does it; a user whom
//! one deals with is locked, and the others take another one.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::UserId;
use shared::lifecycle::Lifecycle;
use shared::publication::Header;
use shared::telemetry::with_causes;

use crate::app::App;
use crate::outcome::{Audience, Publication};
use crate::publish;
use crate::store::departures;

const INTERVAL: Duration = Duration::from_secs(1);
/// In one transaction: messages to a group wait until it ends.
const MAX_GROUPS: i64 = 10;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        // One that cannot be dealt with holds up nobody else.
        let mut failed = Vec::new();
        while !lifecycle.is_draining() {
            let known = failed.len();
            match see_off_one(&app, &mut failed).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(error = %with_causes(&error), "cleaning up after a deleted account failed");
                    if failed.len() == known {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Deals with one account, or with a part of its groups. Whether there was anybody but those in `failed`, to which an account that could
/// not be dealt with is added.
async fn see_off_one(app: &App, failed: &mut Vec<UserId>) -> anyhow::Result<bool> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let Some(departed) = departures::find_departed(&mut transaction, failed).await? else { return Ok(false) };
    let user = departed.user_id;
    failed.push(user);
    let mut is_done = true;
    if !departed.exists {
        // Before the commit: should it fail, the same is told again, and an account that is gone cannot open a session meanwhile. And
        // before groups are locked, which other commands wait for.
        let ended = Publication { audience: Audience::User(user), header: Header::Departed, payload: Vec::new() };
        publish::publish(app, &[ended]).await?;
        is_done = departures::delete_memberships(&mut transaction, user, MAX_GROUPS).await?;
    }
    if is_done {
        departures::delete_departed(&mut transaction, user).await?;
    }
    transaction.commit().await?;
    failed.pop();
    if is_done && !departed.exists {
        tracing::info!(user_id = %user, "an account was deleted: its sessions end, its groups are passed on");
    }
    Ok(true)
}
