//! Removes members from communities' groups in parts: the main backend may take thousands out of a community at once, and
//! thousands of events may wait for each of them. Any worker can do it. The outcome of a part is kept until the next one
//! is stored, so that another worker publishes it if this one stops in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::ids::{CommandId, CommunityId};
use shared::lifecycle::Lifecycle;
use uuid::Uuid;

use super::rest;
use crate::api::community_group;
use crate::app::App;
use crate::commands;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::publish;
use crate::store::{applied, community_removals};
use crate::webhooks::record;

const INTERVAL: Duration = Duration::from_secs(1);
/// How many communities take turns.
const COMMUNITIES_TOGETHER: i64 = 100;

/// The last part of each community that this worker has published.
type Published = HashMap<CommunityId, CommandId>;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let mut ticks = lifecycle.every(INTERVAL);
    let mut published = Published::new();
    while ticks.next().await {
        while !lifecycle.is_draining() {
            let begun = Instant::now();
            match remove_some(&app, &mut published).await {
                Ok(true) => rest::after(begun).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "members could not be removed from a community's group");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Removes a part of the members of each group. Returns true if there were any; one group that fails does not hold up
/// the others.
async fn remove_some(app: &App, published: &mut Published) -> Result<bool, Failure> {
    let communities = community_removals::list_communities(&mut app.db.acquire().await?, COMMUNITIES_TOGETHER).await?;
    published.retain(|community, _| communities.contains(community));
    let mut result = Ok(false);
    for community in communities {
        match remove_part(app, &community, published.get(&community).copied()).await {
            Ok(Some(part)) => {
                published.insert(community, part);
                result = result.map(|_| true);
            }
            Ok(None) => {}
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Removes some members in one transaction, unless another worker does. Returns the part, once it is published.
async fn remove_part(
    app: &App,
    community: &CommunityId,
    published: Option<CommandId>,
) -> Result<Option<CommandId>, Failure> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    if !community_removals::try_lock(&mut transaction, community).await? {
        return Ok(None);
    }
    let Some(removing) = community_removals::find(&mut transaction, community).await? else { return Ok(None) };
    if published != Some(removing.part) {
        if removing.is_fresh {
            return Ok(None);
        }
        let sealed = applied::find_outcome(&mut transaction, removing.part).await?.flatten();
        let before = commands::open_outcome_of(app, removing.part, sealed.as_deref())?;
        publish::publish(app, &before.publications).await?;
    }
    let mut outcome = Outcome::default();
    let is_done =
        community_group::remove_part(app, &mut transaction, community, removing.group_id, &mut outcome).await?;
    if is_done {
        community_removals::update_part(&mut transaction, community, None).await?;
        transaction.commit().await?;
        return Ok(None);
    }
    if outcome.publications.is_empty() {
        return Ok(None);
    }
    let part = CommandId(Uuid::now_v7());
    let sealed = app.wire.seal_outcome(part.0, &postcard::to_stdvec(&outcome).map_err(anyhow::Error::from)?);
    record::outcome(app, &mut transaction, &outcome).await?;
    applied::insert_outcome(&mut transaction, part, &sealed).await?;
    community_removals::update_part(&mut transaction, community, Some(part)).await?;
    transaction.commit().await?;
    app.webhooks.announce();
    publish::publish(app, &outcome.publications).await?;
    Ok(Some(part))
}
