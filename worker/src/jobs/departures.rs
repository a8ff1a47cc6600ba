//! Ends the sessions of users whose account the main backend deleted, and transfers their groups. Any worker can do it;
//! a user that one works on is locked, and the others take another one.

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
/// In one transaction; messages to a group wait until it ends.
const MAX_GROUPS: i64 = 10;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        // A user whose cleanup fails does not hold up the others.
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

/// Cleans up after one account, or a part of its groups. Returns true if there was an account that is not in `failed`;
/// adds an account that fails to it.
async fn see_off_one(app: &App, failed: &mut Vec<UserId>) -> anyhow::Result<bool> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let Some(departed) = departures::find_departed(&mut transaction, failed).await? else { return Ok(false) };
    let user = departed.user_id;
    failed.push(user);
    let mut is_done = true;
    if !departed.exists {
        // Before the commit: if it fails, the same is published again, and a deleted account cannot open a session
        // meanwhile. And before groups are locked, which other commands wait for.
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
        tracing::info!(user_id = %user, "an account was deleted: its sessions end, its groups are transferred");
    }
    Ok(true)
}
