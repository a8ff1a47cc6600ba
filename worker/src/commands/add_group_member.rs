//! `add_group_member`: adds a user to a group.

use shared::commands::AddGroupMember;
use shared::config::FollowPolicy;
use shared::events::membership::{AddedUser, GroupCreated, MemberAdded};
use shared::ids::{ConversationId, GroupId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::role::Role;

use super::group_rules::denied;
use super::{Context, Handle, derived_event_id};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome};
use crate::store::group_members::{self, Prospect};
use crate::store::groups;
use crate::store::sanctions::{self, SanctionKind};

impl Handle for AddGroupMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, user, caller) = (self.group, self.user, context.caller());
        let prospect = admissible(context, group, user).await?;
        group_members::insert_members(context.db, group, &[user], &[Role::Member]).await?;

        let details = context.group_details(group).await?;
        let version = context.raise_version(group).await?;
        let created = GroupCreated { details: &details, group: &details, skipped_members: None, version };
        let added = MemberAdded {
            group_id: group,
            user_id: user,
            username: &prospect.username,
            user: AddedUser { user_id: user, username: &prospect.username },
            role: Role::Member,
            added_by: caller,
            warning: None,
            version,
        };
        let warns = context.app.settings.follow_policy == FollowPolicy::Warn && !prospect.followed;
        let answer = MemberAdded { warning: warns.then_some(ErrorCode::NotFollowing.as_str()), ..added.clone() };

        // In the order of their ids, so that the new member is told of the group first.
        let mut ids = [context.envelope.id, derived_event_id(context.envelope.id, 1)];
        ids.sort_unstable();
        let [created_id, added_id] = ids;
        let conversation = ConversationId::Group(group);
        context.store_event(created_id, Some(conversation), &created, &[user]).await?;
        context.store_shared_event(added_id, conversation, version, &added).await?;

        let own = Some(context.envelope.reply_to);
        let mut outcome = Outcome::answered(context.envelope, &answer);
        outcome.joined(group, vec![user]);
        outcome.durable(Audience::User(user), created_id, &created, None);
        // The new member's gateways may not be following the group yet.
        outcome.durable(Audience::User(user), added_id, &added, None);
        outcome.durable_except(Audience::Group(group), added_id, &added, own, vec![user]);
        Ok(outcome)
    }
}

/// Returns the user, whom the caller may add to the group.
async fn admissible(context: &mut Context<'_>, group: GroupId, user: UserId) -> Result<Prospect, Failure> {
    let membership = context.managed_membership(group).await?;
    if !membership.is_owner_or_admin() && !membership.can_add_members {
        return Err(denied("Only the owner, admins, and members who were given the right may add members"));
    }
    let about_user = |code, details: &str| Rejection { field: Some("userId"), ..Rejection::new(code, details) };
    let (settings, caller) = (&context.app.settings, context.caller());
    let max_groups = settings.max_groups_per_user;
    let prospect = group_members::list_prospects(context.db, caller, &[user]).await?.pop();
    let prospect = prospect.ok_or_else(|| Rejection::not_found("userId", "There is no such user"))?;
    if groups::find_membership(context.db, group, user).await?.is_some() {
        return Err(Rejection::invalid("userId", "`userId` is already a member of this group").into());
    }
    if prospect.blocked {
        return Err(about_user(ErrorCode::UserBlocked, "One of you blocks the other").into());
    }
    if let Some(ban) = sanctions::find_sanction(context.db, group, user, SanctionKind::Ban).await? {
        let rejection = about_user(ErrorCode::MemberBanned, "The user is banned from this group");
        return Err(Rejection { retry_after: ban.wait(), ..rejection }.into());
    }
    if settings.follow_policy == FollowPolicy::Enforce && !prospect.followed {
        return Err(about_user(ErrorCode::NotFollowing, "You can add only users whom you follow").into());
    }
    if !prospect.may_be_added(settings.group_add_policy) {
        let details = "This server allows users to be added to groups only by people they follow, or by nobody \
                       (`GROUP_ADD_POLICY`)";
        return Err(about_user(ErrorCode::PermissionDenied, details).into());
    }
    let joiner = prospect.joiner(context.envelope.reply_to.is_gateway());
    if !group_members::list_in_max_groups(context.db, &[joiner], max_groups).await?.is_empty() {
        let by_strangers = group_members::max_groups_by_strangers(max_groups);
        let details = format!(
            "The user is in {max_groups} groups, which is as many as a user may be in, or in {by_strangers} groups of \
             others and does not follow you"
        );
        return Err(about_user(ErrorCode::PermissionDenied, &details).into());
    }
    let before = groups::find_group(context.db, group).await?;
    if let Some(full) = before.filter(|group| group.member_count >= i64::from(group.max_members)) {
        let details = format!("The group has {} members and may have {}", full.member_count, full.max_members);
        return Err(Rejection::new(ErrorCode::GroupFull, details).into());
    }
    Ok(prospect)
}
