//! `ban_member`: keeps a user out of a group, and ends the membership of one who is in it.

use shared::commands::BanMember;
use shared::events::membership::MemberRemoved;
use shared::events::moderation::MemberBanned;
use shared::ids::ConversationId;
use shared::protocol::Rejection;

use super::{Context, Handle, derived_event_id};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sanctions::SanctionKind;
use crate::store::{group_members, users};

impl Handle for BanMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group_id, user_id, caller) = (self.0.group, self.0.user, context.caller());
        let is_member = context.moderated(group_id, user_id).await?.is_some();
        if !users::exists(context.db, user_id).await? {
            return Err(Rejection::not_found("userId", "There is no such user").into());
        }
        let sanction = context.impose(SanctionKind::Ban, self.0).await?;
        if is_member {
            context.bound_waiting_events(&[user_id]).await?;
            // Also deletes the user's waiting events from the group, so it comes before new ones.
            group_members::delete_members(context.db, group_id, &[user_id]).await?;
        }
        let username = context.username(user_id).await?;
        let version = context.raise_version(group_id).await?;
        let banned =
            MemberBanned { group_id, user_id, username: &username, banned_by: caller, sanction: &sanction, version };
        let mut outcome = Outcome::answered(context.envelope, &banned);
        if !is_member {
            context.notify_participants(&mut outcome, ConversationId::Group(group_id), version, &banned).await?;
            return Ok(outcome);
        }
        // In the order of their ids, so that a replay has the removal last.
        let mut ids = [context.envelope.id, derived_event_id(context.envelope.id, 1)];
        ids.sort_unstable();
        let [banned_id, removed_id] = ids;
        context.notify_with_former(&mut outcome, (group_id, user_id), banned_id, version, &banned).await?;
        let version = context.raise_version(group_id).await?;
        let removed = MemberRemoved { group_id, user_id, username: &username, removed_by: caller, version };
        context.notify_with_former(&mut outcome, (group_id, user_id), removed_id, version, &removed).await?;
        outcome.left(group_id, vec![user_id]);
        Ok(outcome)
    }
}
