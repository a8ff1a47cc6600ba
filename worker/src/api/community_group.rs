//! A community's group: creates or adopts it, and keeps its members in step, thousands of them in a few statements.

use crate::store::session::PgSession;
use shared::events::membership::{
    AddedUser, GroupCreated, GroupInfoUpdated, MemberAdded, MemberDemoted, MemberPromoted, MemberRemoved,
};
use shared::events::{self, Event};
use shared::ids::{CommunityId, ConversationId, EventId, GroupId, UserId};
use shared::limits::{MAX_GROUP_DESCRIPTION_CHARACTERS, MAX_GROUP_NAME_CHARACTERS};
use shared::protocol::Rejection;
use shared::role::Role;
use uuid::Uuid;

use super::community_body::Community;
use crate::app::App;
use crate::commands::group_rules;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::{Audience, Outcome};
use crate::store::communities::{self, Difference};
use crate::store::groups::{self, NewGroup, NewInfo};
use crate::store::shared_events::{self, NewSharedEvent};
use crate::store::users::NOBODY;
use crate::store::{community_removals, conversations, events as event_store, group_members, users};
use crate::waiting::{self, USERS_TOGETHER};

/// Shown as `maxMembers`; the size of a community has no bound here.
const MAX_MEMBERS: i32 = 1_000_000;
/// The number of members shown in `group_created`: thousands of lists of thousands would be too much.
const SHOWN_MEMBERS: i64 = 50;
/// The number of changes announced one by one, and of deliveries they may cause; above that, members receive one
/// `group_info_updated`.
const MAX_SINGLE_CHANGES: usize = 100;
const MAX_SINGLE_DELIVERIES: usize = 50_000;

type Filter = fn(&Difference) -> bool;

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Creates the group of a new community, or adopts the one that it names.
pub async fn adopt(
    db: &mut PgSession,
    community: &Community,
    group: GroupId,
    members: &[(UserId, Role)],
) -> Result<(), Failure> {
    let founder = members.iter().find(|(_, role)| *role == Role::Owner).or(members.first());
    let new = NewGroup {
        group_id: group,
        name: &cut(&community.name, MAX_GROUP_NAME_CHARACTERS),
        description: &cut(community.description.as_deref().unwrap_or_default(), MAX_GROUP_DESCRIPTION_CHARACTERS),
        created_by: founder.map_or(NOBODY, |(user, _)| *user),
        max_members: MAX_MEMBERS,
        community_id: Some(&community.id),
        metadata: None,
    };
    groups::insert_group(db, &new).await?;
    match communities::find_group_locked(db, group).await? {
        Some(found) if !found.deleted && found.community_id.as_ref().is_none_or(|owner| *owner == community.id) => {
            communities::update_group_owner(db, group, &community.id, MAX_MEMBERS).await?;
            Ok(())
        }
        _ => {
            let details = "In `community`: `defaultGroupId` names a group that is deleted or another community's";
            Err(Rejection::invalid("defaultGroupId", details).into())
        }
    }
}

/// Keeps commands of the group's members out until the end of the transaction.
pub async fn lock(db: &mut PgSession, group: GroupId) -> Result<(), Failure> {
    communities::find_group_locked(db, group).await?;
    Ok(())
}

/// Gives the group the community's new name and description.
pub async fn rename(
    app: &App,
    db: &mut PgSession,
    community: &Community,
    group: GroupId,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let name = cut(&community.name, MAX_GROUP_NAME_CHARACTERS);
    let description = community.description.as_deref().map(|text| cut(text, MAX_GROUP_DESCRIPTION_CHARACTERS));
    let new = NewInfo { name: Some(&name), description: description.as_deref(), ..NewInfo::default() };
    groups::update_info(db, group, &new).await?;
    let version = conversations::raise_for_info(db, group).await?;
    tell_of_info(app, db, group, false, version, outcome).await
}

/// Gives the group the members and roles of the community, and notifies everyone concerned; returns the new members.
/// Members who are too many to be removed in one transaction are left to `jobs::removals`.
pub async fn follow(
    app: &App,
    db: &mut PgSession,
    community: &CommunityId,
    group: GroupId,
    outcome: &mut Outcome,
) -> Result<Vec<UserId>, Failure> {
    let differences = communities::list_differences(db, community, group).await?;
    let differences = without_many_removals(app, db, community, differences).await?;
    if differences.is_empty() {
        return Ok(Vec::new());
    }
    let (added, removed) = apply(db, group, &differences).await?;

    // If announced one by one, each change is its own version; otherwise all of them together are one.
    let members = groups::count_members(db, group).await?.unsigned_abs() as usize;
    let are_all_new = members == added.len() && differences.len() == added.len();
    let is_single =
        !are_all_new && differences.len() <= MAX_SINGLE_CHANGES && differences.len() * members <= MAX_SINGLE_DELIVERIES;
    let version = conversations::raise_for_info(db, group).await?;
    if !added.is_empty() {
        let details = group_rules::details(app, db, group, SHOWN_MEMBERS).await?;
        let created = GroupCreated { details: &details, group: &details, skipped_members: None, version };
        let event_id = Uuid::now_v7();
        store_for(app, db, group, event_id, &created, &added).await?;
        outcome.joined(group, added.clone());
        outcome.durable(Audience::Users(added.clone()), event_id, &created, None);
    }
    if are_all_new {
        // They were notified of the group as a whole.
    } else if is_single {
        tell_one_by_one(app, db, group, &differences, version, outcome).await?;
    } else {
        tell_of_info(app, db, group, true, version, outcome).await?;
        tell_of_removals(app, db, group, &differences, version, outcome).await?;
    }
    outcome.left(group, removed);
    Ok(added)
}

/// Changes the memberships; returns the new members and those who are removed.
async fn apply(
    db: &mut PgSession,
    group: GroupId,
    differences: &[Difference],
) -> Result<(Vec<UserId>, Vec<UserId>), Failure> {
    let ids = |choose: Filter| -> Vec<UserId> {
        differences.iter().filter(|difference| choose(difference)).map(|difference| difference.user_id).collect()
    };
    let roles = |choose: Filter| -> Vec<Role> {
        differences.iter().filter(|difference| choose(difference)).filter_map(|d| d.new_role).collect()
    };
    let is_new: Filter = |d| d.old_role.is_none();
    let is_other: Filter = |d| d.old_role.is_some() && d.new_role.is_some();
    let (added, removed, changed) = (ids(is_new), ids(Difference::is_gone), ids(is_other));
    if !removed.is_empty() {
        group_members::delete_members(db, group, &removed).await?;
    }
    if !added.is_empty() {
        group_members::insert_members(db, group, &added, &roles(is_new)).await?;
    }
    if !changed.is_empty() {
        communities::update_roles(db, group, &changed, &roles(is_other)).await?;
    }
    Ok((added, removed))
}

/// Announces each change by itself. The group has this version already, for the first of them.
async fn tell_one_by_one(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    differences: &[Difference],
    mut version: i64,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let by = author(db, group).await?;
    // Removed members come last, and are told nothing after their own removal.
    let (gone, others): (Vec<&Difference>, Vec<&Difference>) = differences.iter().partition(|d| d.is_gone());
    let mut told = Vec::new();
    for (place, difference) in others.into_iter().chain(gone).enumerate() {
        if place > 0 {
            version = conversations::raise_for_info(db, group).await?;
        }
        tell_of_change(app, db, group, difference, told.clone(), (by, version), outcome).await?;
        if difference.is_gone() {
            told.push(difference.user_id);
        }
    }
    Ok(())
}

/// Takes the removals out of these differences if they are too many for one transaction, and begins to remove in parts.
async fn without_many_removals(
    app: &App,
    db: &mut PgSession,
    community: &CommunityId,
    mut differences: Vec<Difference>,
) -> Result<Vec<Difference>, Failure> {
    let gone: Vec<UserId> = differences.iter().filter(|d| d.is_gone()).map(|d| d.user_id).collect();
    if waiting::list_together(app, db, &gone).await?.len() < gone.len() {
        community_removals::begin(db, community).await?;
        differences.retain(|difference| !difference.is_gone());
    }
    Ok(differences)
}

/// Removes a part of the members who no longer belong to the community. Only the last part is announced to the other
/// members. Returns true if nobody was left.
pub async fn remove_part(
    app: &App,
    db: &mut PgSession,
    community: &CommunityId,
    group: GroupId,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    let mut gone = community_removals::list_gone(db, community, group, USERS_TOGETHER as i64 + 1).await?;
    let left: Vec<UserId> = gone.iter().map(|difference| difference.user_id).collect();
    let removed = waiting::list_together(app, db, &left).await?;
    if removed.is_empty() {
        return Ok(gone.is_empty());
    }
    lock(db, group).await?;
    group_members::delete_members(db, group, &removed).await?;
    let version = conversations::raise_for_info(db, group).await?;
    if removed.len() == gone.len() {
        tell_of_info(app, db, group, true, version, outcome).await?;
    }
    gone.retain(|difference| removed.contains(&difference.user_id));
    tell_of_removals(app, db, group, &gone, version, outcome).await?;
    outcome.left(group, removed);
    Ok(false)
}

/// Stores an event for all members under its own id, with the change that made this version: the transaction is applied
/// once, and its outcome is kept.
async fn store_shared<E: Event>(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    version: i64,
    event: &E,
) -> Result<Uuid, Failure> {
    let event_id = Uuid::now_v7();
    let body = app.keyring.seal_blob(event_id, &events::durable(event, event_id));
    let conversation = ConversationId::Group(group);
    let stored =
        NewSharedEvent { event_id: EventId(event_id), conversation, version, actor: None, about: None, body: &body };
    shared_events::insert_event(db, &stored, app.max_waiting_events()).await?;
    Ok(event_id)
}

/// Stores an event only for these users.
async fn store_for<E: Event>(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    event_id: Uuid,
    event: &E,
    recipients: &[UserId],
) -> Result<(), Failure> {
    let sealed = app.keyring.seal_blob(event_id, &events::durable(event, event_id));
    event_store::insert_event(db, EventId(event_id), Some(ConversationId::Group(group)), &sealed, recipients).await?;
    Ok(())
}

/// No user made the change, so the group's founder is named.
async fn author(db: &mut PgSession, group: GroupId) -> Result<UserId, Failure> {
    let row = groups::find_group(db, group).await?;
    Ok(row.map_or(NOBODY, |row| row.created_by))
}

async fn tell_of_change(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    change: &Difference,
    // Users who have been told of their own removal.
    mut told: Vec<UserId>,
    (by, version): (UserId, i64),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let (user, username) = (change.user_id, change.username.as_str());
    let everybody = Audience::Group(group);
    match (change.old_role, change.new_role) {
        (None, Some(role)) => {
            let added = AddedUser { user_id: user, username };
            let event = MemberAdded {
                group_id: group,
                user_id: user,
                username,
                user: added,
                role,
                added_by: by,
                warning: None,
                version,
            };
            let event_id = store_shared(app, db, group, version, &event).await?;
            outcome.durable(Audience::User(user), event_id, &event, None);
            outcome.durable_except(everybody, event_id, &event, None, vec![user]);
        }
        (Some(_), None) => {
            let event = MemberRemoved { group_id: group, user_id: user, username, removed_by: by, version };
            let event_id = store_shared(app, db, group, version, &event).await?;
            // Former members are told separately.
            store_for(app, db, group, event_id, &event, &[user]).await?;
            told.push(user);
            outcome.durable_except(everybody, event_id, &event, None, told);
            outcome.durable(Audience::User(user), event_id, &event, None);
        }
        (Some(old), Some(new_role)) if new_role.rank() < old.rank() => {
            let event = MemberPromoted { group_id: group, user_id: user, new_role, promoted_by: by, version };
            let event_id = store_shared(app, db, group, version, &event).await?;
            outcome.durable(everybody, event_id, &event, None);
        }
        (Some(_), Some(new_role)) => {
            let event = MemberDemoted { group_id: group, user_id: user, new_role, demoted_by: by, version };
            let event_id = store_shared(app, db, group, version, &event).await?;
            outcome.durable(everybody, event_id, &event, None);
        }
        (None, None) => {}
    }
    Ok(())
}

/// Tells each removed member, and nobody else.
async fn tell_of_removals(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    differences: &[Difference],
    version: i64,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let by = author(db, group).await?;
    let (mut ids, mut bodies, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for gone in differences.iter().filter(|difference| difference.is_gone()) {
        let user = gone.user_id;
        let event = MemberRemoved { group_id: group, user_id: user, username: &gone.username, removed_by: by, version };
        let event_id = Uuid::now_v7();
        ids.push(EventId(event_id));
        bodies.push(app.keyring.seal_blob(event_id, &events::durable(&event, event_id)));
        users.push(user);
        outcome.durable(Audience::User(user), event_id, &event, None);
    }
    if !ids.is_empty() {
        event_store::insert_single_events(db, ConversationId::Group(group), &ids, &bodies, &users).await?;
    }
    Ok(())
}

/// Sends all members the group's new information.
async fn tell_of_info(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    members_changed: bool,
    version: i64,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let Some(row) = groups::find_group(db, group).await? else { return Ok(()) };
    let founder = users::list_names(db, &[row.created_by]).await?.pop();
    let event = GroupInfoUpdated {
        group_id: group,
        group_name: row.name,
        group_description: row.description,
        max_members: row.max_members,
        created_by: row.created_by,
        created_at: row.created_at.into(),
        updated_by: row.created_by,
        updated_by_username: founder.map(|name| name.username).unwrap_or_default(),
        slow_mode_seconds: row.slow_mode_seconds,
        member_count: members_changed.then_some(row.member_count),
        metadata: metadata::of_group(app, group, row.metadata.as_deref()),
        version,
    };
    let event_id = store_shared(app, db, group, version, &event).await?;
    outcome.durable(Audience::Group(group), event_id, &event, None);
    Ok(())
}
