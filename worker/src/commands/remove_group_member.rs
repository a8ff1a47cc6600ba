//! `remove_group_member`: ends another user's membership.

use shared::commands::RemoveGroupMember;
use shared::events::membership::MemberRemoved;
use shared::ids::ConversationId;

use super::group_rules::denied;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::group_members;

impl Handle for RemoveGroupMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, user, caller) = (self.group, self.user, context.caller());
        let membership = context.managed_membership(group).await?;
        if !membership.is_owner_or_admin() {
            return Err(denied("Only the owner and admins may remove members"));
        }
        let target = context.other_member(group, user).await?;
        if target.is_owner_or_admin() && !membership.is_owner() {
            return Err(denied("Only the owner may remove admins"));
        }
        context.bound_waiting_events(&[user]).await?;
        group_members::delete_members(context.db, group, &[user]).await?;
        context.audit(ConversationId::Group(group), Some(user), None).await?;

        let username = context.username(user).await?;
        let version = context.raise_version(group).await?;
        let removed =
            MemberRemoved { group_id: group, user_id: user, username: &username, removed_by: caller, version };
        let mut outcome = Outcome::answered(context.envelope, &removed);
        context.notify_with_former(&mut outcome, (group, user), context.envelope.id, version, &removed).await?;
        // The last event that this user gets from the group.
        outcome.left(group, vec![user]);
        Ok(outcome)
    }
}
