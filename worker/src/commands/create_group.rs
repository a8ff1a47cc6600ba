//! `create_group`: a new group, owned by its creator. The group has the command's id, so that a second delivery of the
//! command cannot create a second group.

use std::collections::{HashMap, HashSet};

use shared::commands::CreateGroup;
use shared::config::FollowPolicy;
use shared::events::membership::{GroupCreated, SkippedMember};
use shared::ids::{ConversationId, GroupId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::role::Role;

use super::group_rules::denied;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome};
use crate::store::conversations::FIRST_VERSION;
use crate::store::group_members::{self, Joiner, Prospect};
use crate::store::groups::{self, NewGroup};

/// How many users' groups are counted in one statement.
const COUNTED_AT_ONCE: usize = 50;

impl Handle for CreateGroup {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, creator) = (GroupId(context.envelope.id), context.caller());
        let max_members = self.max_members.min(context.app.settings.common.group_max_members);
        let named: Vec<UserId> = self.members.iter().copied().filter(|user| *user != creator).collect();
        reject_too_many(context).await?;
        let (accepted, skipped) = choose(context, &named, max_members as usize).await?;

        let new = NewGroup {
            group_id: group,
            name: &self.name,
            description: &self.description,
            created_by: creator,
            max_members: max_members as i32,
            community_id: None,
            metadata: self.metadata.into_given().map(|metadata| metadata.seal(&context.app.keyring, group.0)),
        };
        groups::insert_group(context.db, &new).await?;
        let users: Vec<UserId> = std::iter::once(creator).chain(accepted.iter().copied()).collect();
        let role = |user: &UserId| if *user == creator { Role::Owner } else { Role::Member };
        let roles: Vec<Role> = users.iter().map(role).collect();
        group_members::insert_members(context.db, group, &users, &roles).await?;
        let details = context.group_details(group).await?;

        let created =
            GroupCreated { details: &details, group: &details, skipped_members: None, version: FIRST_VERSION };
        let event_id = context.envelope.id;
        context.store_event(event_id, Some(ConversationId::Group(group)), &created, &accepted).await?;

        let mut outcome = Outcome::default();
        // Before everything else, so that no member misses a first message.
        outcome.joined(group, users.clone());
        let answer = GroupCreated { skipped_members: (!skipped.is_empty()).then_some(&skipped), ..created };
        outcome.answer(context.envelope, shared::events::answer(&answer, context.envelope.request_id.as_ref()));
        outcome.durable(Audience::Users(users), event_id, &created, Some(context.envelope.reply_to));
        Ok(outcome)
    }
}

/// Rejects users who create groups faster than a person would.
async fn reject_too_many(context: &mut Context<'_>) -> Result<(), Failure> {
    let (per_hour, creator) = (context.app.settings.group_create_limit, context.caller());
    let founded = groups::get_founded(context.db, creator).await?;
    // A backend may create groups as often as it needs to.
    if founded.lately >= i64::from(per_hour) && !context.envelope.reply_to.is_gateway() {
        let details = format!("You may create {per_hour} groups in an hour");
        let retry_after = Some(founded.wait_seconds.max(1) as u32);
        let rejection = Rejection { retry_after, ..Rejection::new(ErrorCode::RateLimitExceeded, details) };
        return Err(rejection.into());
    }
    Ok(())
}

/// Decides which of the named users become members, and why the others do not.
///
/// # Errors
/// If more would become members than the group may have, among others.
async fn choose(
    context: &mut Context<'_>,
    named: &[UserId],
    max_members: usize,
) -> Result<(Vec<UserId>, Vec<SkippedMember>), Failure> {
    let creator = context.caller();
    let ids: Vec<UserId> = named.iter().copied().chain([creator]).collect();
    let prospects = group_members::list_prospects(context.db, creator, &ids).await?;
    let prospects: HashMap<UserId, Prospect> = prospects.into_iter().map(|found| (found.user_id, found)).collect();
    if !prospects.contains_key(&creator) {
        return Err(denied("Your account no longer exists"));
    }
    let max_groups = context.app.settings.max_groups_per_user;
    let joiner = Joiner { user_id: creator, is_willing: true };
    if !group_members::list_in_max_groups(context.db, &[joiner], max_groups).await?.is_empty() {
        return Err(denied(&format!("You are in {max_groups} groups, which is as many as you may be in")));
    }
    let adding = context.app.settings.group_add_policy;
    let enforce = context.app.settings.follow_policy == FollowPolicy::Enforce;
    let reason = |user: &UserId| match prospects.get(user) {
        None => Some(ErrorCode::ResourceNotFound),
        Some(prospect) if prospect.blocked => Some(ErrorCode::UserBlocked),
        Some(prospect) if enforce && !prospect.followed => Some(ErrorCode::NotFollowing),
        Some(prospect) if !prospect.may_be_added(adding) => Some(ErrorCode::PermissionDenied),
        Some(_) => None,
    };
    let admissible = named.iter().filter(|user| reason(user).is_none()).filter_map(|user| prospects.get(user));
    let by_backend = context.envelope.reply_to.is_gateway();
    let admissible: Vec<Joiner> = admissible.map(|prospect| prospect.joiner(by_backend)).collect();
    let in_max_groups = list_in_max_groups(context, &admissible, max_members).await?;
    let (mut accepted, mut skipped) = (Vec::new(), Vec::new());
    for user in named {
        match reason(user).or_else(|| in_max_groups.contains(user).then_some(ErrorCode::PermissionDenied)) {
            None => accepted.push(*user),
            Some(reason) => skipped.push(SkippedMember { user_id: *user, reason: reason.as_str() }),
        }
    }
    Ok((accepted, skipped))
}

/// Those of these users who are in as many groups as they may be in. Counting somebody's groups takes long.
///
/// # Errors
/// As soon as the others are more than the group may have.
async fn list_in_max_groups(
    context: &mut Context<'_>,
    users: &[Joiner],
    max_members: usize,
) -> Result<HashSet<UserId>, Failure> {
    let max_groups = context.app.settings.max_groups_per_user;
    let (mut found, mut looked_at) = (HashSet::new(), 0);
    for users_at_once in users.chunks(COUNTED_AT_ONCE) {
        found.extend(group_members::list_in_max_groups(context.db, users_at_once, max_groups).await?);
        looked_at += users_at_once.len();
        // With the creator.
        if looked_at - found.len() + 1 > max_members {
            let members = users.len() - found.len() + 1;
            let details =
                format!("`initialMembers` and you are {members} members, and the group may have {max_members}");
            let rejection = Rejection::new(ErrorCode::TooManyMembers, details);
            return Err(Rejection { field: Some("initialMembers"), ..rejection }.into());
        }
    }
    Ok(found)
}
