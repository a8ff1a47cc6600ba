//! `POST /community/progression`: the main backend reports a community, its members, and what one of them achieved.
//!
//! Everything is one transaction under an advisory lock on the community, so that two syncs of one community never run at
//! once, except that members who leave are removed from its group in parts if they are many (`jobs::removals`, under the
//! same lock). It bypasses the fence of the group's partition, which is sound: it assigns no `seq`, writes no message, and of
//! what a batch of sends numbers or counts it changes only the group's version, whose row both lock to raise it. It
//! does change the group's members. The partition's commands read those under a share lock on the group
//! (`store::groups::find_membership_locked`), which excludes the lock taken here, so that each command sees the
//! membership either before or after the change. The same order of commits decides if the sender of a concurrent
//! message is a member. The outcome is kept like that of a command, so that a second delivery publishes the same again
//! and applies nothing.

use std::collections::{BTreeSet, HashSet};

use crate::store::session::PgSession;
use shared::events;
use shared::events::community::{ChallengeEvent, CommunityProgressUpdate, Progress};
use shared::events::membership::SkippedMember;
use shared::held_ids;
use shared::http::{Broadcast, CommunitySynced, Success};
use shared::ids::{CommandId, CommunityId, GroupId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::publication::{EventHeader, Header, Receipt};
use shared::role::Role;
use shared::stream::Envelope;

use super::community_body::{self, Body};
use super::community_group;
use crate::app::App;
use crate::commands::{get_community_progress, open_outcome};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome, Publication};
use crate::presence;
use crate::store::communities::{self, CommunityUpdate, NewEvent};
use crate::store::{applied, users};
use crate::webhooks::record;

pub async fn sync(app: &App, envelope: &Envelope, body: &[u8]) -> Result<Outcome, Failure> {
    let mut body = community_body::parse(body)?;
    let community = body.community.id.clone();
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    communities::lock(&mut transaction, &community).await?;
    if let Some(sealed) = applied::find_outcome(&mut transaction, CommandId(envelope.id)).await? {
        return open_outcome(app, envelope, sealed.as_deref());
    }
    let skipped = skip_unknown(&mut transaction, &mut body).await?;

    let mut outcome = Outcome::default();
    let (group, joined) = store_community(app, &mut transaction, envelope, &mut body, &mut outcome).await?;
    let (event, duplicate) = store_event(&mut transaction, envelope, &community, body.event.as_ref()).await?;
    let progress = store_progress(&mut transaction, &body, event.as_ref(), duplicate).await?;

    let mut delivered = 0;
    let changed = !duplicate && (event.is_some() || body.progress.is_some());
    if let Some(progress) = progress.as_ref().filter(|_| changed) {
        let members = communities::list_member_ids(&mut transaction, &community).await?;
        delivered = presence::online_among(app, &members).await.len();
        let update = CommunityProgressUpdate {
            community_id: &community.0,
            user_id: progress.user_id,
            event: event.as_ref(),
            progress: Some(progress),
        };
        // Users who join through this call may not follow the group's channel yet.
        let payload = events::broadcast(&update);
        let header = EventHeader { exclude_users: joined.clone(), ..EventHeader::new(Receipt::None) };
        let (header, audience) = (Header::Event(header), Audience::Group(group));
        outcome.publications.push(Publication { audience, header, payload: payload.clone() });
        outcome.event(Audience::Users(joined), Receipt::None, payload, None);
    }
    let answer = CommunitySynced {
        status: Success::Ok,
        community_id: &community.0,
        default_group_id: group,
        event: event.as_ref(),
        progress: progress.as_ref(),
        broadcast: Broadcast { delivered },
        duplicate: duplicate.then_some(true),
        skipped_members: skipped,
    };
    outcome.publications.extend(super::ok(envelope, &answer)?.publications);
    let sealed = app.wire.seal_outcome(envelope.id, &postcard::to_stdvec(&outcome).map_err(anyhow::Error::from)?);
    record::outcome(app, &mut transaction, &outcome).await?;
    applied::insert_outcome(&mut transaction, CommandId(envelope.id), &sealed).await?;
    transaction.commit().await?;
    app.webhooks.announce();
    Ok(outcome)
}

/// Removes from the body whatever concerns users who do not exist; returns those users.
async fn skip_unknown(db: &mut PgSession, body: &mut Body) -> Result<Vec<SkippedMember>, Failure> {
    let mut named: BTreeSet<UserId> = body.members.iter().flatten().map(|(user, _)| *user).collect();
    named.extend(body.event.iter().map(|event| event.user));
    named.extend(body.progress.iter().map(|progress| progress.user));
    let ids: Vec<UserId> = named.iter().copied().collect();
    let known: HashSet<UserId> = users::list_names(db, &ids).await?.into_iter().map(|name| name.user_id).collect();
    if let Some(members) = &mut body.members {
        members.retain(|(user, _)| known.contains(user));
    }
    body.event.take_if(|event| !known.contains(&event.user));
    body.progress.take_if(|progress| !known.contains(&progress.user));
    let reason = ErrorCode::ResourceNotFound.as_str();
    let unknown = named.into_iter().filter(|user| !known.contains(user));
    Ok(unknown.map(|user_id| SkippedMember { user_id, reason }).collect())
}

/// Stores the community, its members, and the group that belongs to it.
async fn store_community(
    app: &App,
    db: &mut PgSession,
    envelope: &Envelope,
    body: &mut Body,
    outcome: &mut Outcome,
) -> Result<(GroupId, Vec<UserId>), Failure> {
    let stored = communities::find(db, &body.community.id).await?;
    if let Some(stored) = stored.as_ref().filter(|_| !body.community.is_named) {
        body.community.name.clone_from(&stored.name);
    }
    let community = &body.community;
    let present: Option<GroupId> = stored.as_ref().map(|stored| stored.default_group_id);
    let group = match (present, community.default_group) {
        (Some(present), Some(given)) if present != given && !held_ids::is_made_from_text(given.0) => {
            let details =
                format!("In `community`: `defaultGroupId` must be {present}, the group that the community has");
            return Err(Rejection::invalid("defaultGroupId", details).into());
        }
        (Some(group), _) | (None, Some(group)) => group,
        // Like a group that a user creates, it has the request's id, so that a second delivery names the same group.
        (None, None) => GroupId(envelope.id),
    };
    let update = CommunityUpdate {
        community_id: &community.id,
        name: &community.name,
        description: community.description.as_deref(),
        avatar_url: community.avatar_url.as_deref(),
        default_group_id: group,
        is_active: community.is_active,
    };
    communities::update(db, &update).await?;
    let may_differ = store_members(db, body).await? || present.is_none();
    if stored.is_none() {
        community_group::adopt(db, community, group, body.members.as_deref().unwrap_or_default()).await?;
    } else {
        community_group::lock(db, group).await?;
        let renamed = stored.is_some_and(|stored| {
            stored.name != community.name
                || community.description.as_ref().is_some_and(|new| stored.description.as_ref() != Some(new))
        });
        if renamed {
            community_group::rename(app, db, community, group, outcome).await?;
        }
    }
    let mut joined = Vec::new();
    if may_differ {
        joined = community_group::follow(app, db, &community.id, group, outcome).await?;
    }
    Ok((group, joined))
}

/// Stores the members of the body, and who of them is muted; returns true if the members may be others than before.
async fn store_members(db: &mut PgSession, body: &Body) -> Result<bool, Failure> {
    let community = &body.community.id;
    if let Some(members) = &body.members {
        let ids: Vec<UserId> = members.iter().map(|(user, _)| *user).collect();
        let roles: Vec<Role> = members.iter().map(|(_, role)| *role).collect();
        communities::update_members(db, community, &ids, &roles).await?;
        if body.members_complete {
            communities::delete_other_members(db, community, &ids).await?;
        }
    }
    if !body.muted.is_empty() {
        let (ids, muted): (Vec<UserId>, Vec<bool>) = body.muted.iter().copied().unzip();
        communities::update_muted(db, community, &ids, &muted).await?;
    }
    // A user who achieves something in a community belongs to it, unless the body lists all members.
    if let Some(event) = body.event.as_ref().filter(|_| !body.members_complete)
        && !communities::list_member_ids(db, community).await?.contains(&event.user)
    {
        communities::update_members(db, community, &[event.user], &[Role::Member]).await?;
        return Ok(true);
    }
    Ok(body.members.is_some())
}

/// Returns the event as the protocol shows it, and if it was already known.
async fn store_event(
    db: &mut PgSession,
    envelope: &Envelope,
    community: &CommunityId,
    event: Option<&community_body::Event>,
) -> Result<(Option<ChallengeEvent>, bool), Failure> {
    let Some(event) = event else { return Ok((None, false)) };
    let occurred_at = event.occurred_at.unwrap_or_else(|| envelope.ingested_at.to_datetime());
    let new = NewEvent {
        event_id: &event.id,
        community_id: community,
        user_id: event.user,
        challenge_id: event.challenge_id.as_deref(),
        challenge_type: event.challenge_type.as_deref(),
        xp_awarded: event.xp_awarded,
        occurred_at,
        payload: event.payload.as_ref(),
    };
    let inserted = communities::insert_event(db, &new).await?;
    let shown = ChallengeEvent {
        event_id: event.id.clone(),
        user_id: event.user,
        challenge_id: event.challenge_id.clone(),
        challenge_type: event.challenge_type.clone(),
        xp_awarded: event.xp_awarded,
        occurred_at: Some(occurred_at.into()),
        payload: event.payload.clone(),
    };
    Ok((Some(shown), !inserted))
}

/// Returns the current progress of the user whom the body is about. A known event changes nothing.
async fn store_progress(
    db: &mut PgSession,
    body: &Body,
    event: Option<&ChallengeEvent>,
    duplicate: bool,
) -> Result<Option<Progress>, Failure> {
    let community = &body.community.id;
    let Some(user) = body.progress.as_ref().map(|progress| progress.user).or(event.map(|event| event.user_id)) else {
        return Ok(None);
    };
    let mut row = communities::find_progress(db, community, user).await?.unwrap_or_default();
    if !duplicate {
        if let Some(event) = event {
            row.last_challenge_id = event.challenge_id.clone();
            row.last_challenge_type = event.challenge_type.clone();
            row.last_completed_at = event.occurred_at.map(|time| time.to_datetime());
        }
        match (&body.progress, event) {
            (Some(progress), _) => {
                row.total_xp = progress.total_xp.unwrap_or(row.total_xp);
                row.daily_streak = progress.daily_streak.unwrap_or(row.daily_streak);
                row.weekly_streak = progress.weekly_streak.unwrap_or(row.weekly_streak);
                let given = |new: &Option<String>, old: Option<String>| new.clone().or(old);
                row.last_challenge_id = given(&progress.last_challenge_id, row.last_challenge_id);
                row.last_challenge_type = given(&progress.last_challenge_type, row.last_challenge_type);
                row.last_completed_at = progress.last_completed_at.or(row.last_completed_at);
            }
            (None, Some(event)) => row.total_xp = row.total_xp.saturating_add(event.xp_awarded),
            (None, None) => {}
        }
        communities::update_progress(db, community, user, &row).await?;
    }
    Ok(Some(get_community_progress::progress(community, user, row)))
}
