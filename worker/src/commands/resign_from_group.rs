//! `resign_from_group`: ends one's own membership. An owner's place goes to the admin who joined first; a group without one goes
//! with its owner.

use shared::commands::ResignFromGroup;
use shared::events::membership::{MemberLeft, OwnershipTransferred};
use shared::ids::{ConversationId, UserId};

use super::context::derived_event_id;
use super::group_rules::ADMIN;
use super::{Context, Handle, delete_group};
use crate::error::Failure;
use crate::outcome::{Outcome, participants};
use crate::store::{group_members, groups};

impl Handle for ResignFromGroup {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, caller, id) = (self.group, context.caller(), self.group.to_string());
        let conversation = ConversationId::Group(group);
        let mut transferred = None;
        if context.managed_membership(group).await?.is_owner() {
            // The owner is the first of the list.
            let members = group_members::list_members(context.db, &id, None, 2).await?;
            let Some(heir) = members.iter().find(|member| member.role == ADMIN) else {
                return delete_group::delete(context, group, true).await;
            };
            let heir = UserId(heir.user_id);
            group_members::update_owner(context.db, &id, caller.0, heir.0).await?;
            context.audit(conversation, Some(heir), None).await?;
            let version = context.raise_version(group).await?;
            transferred =
                Some(OwnershipTransferred { group_id: group, from_user_id: caller, to_user_id: heir, version });
        }
        group_members::delete_members(context.db, &id, &[caller.0]).await?;
        let username = context.username(caller).await?;
        let version = context.raise_version(group).await?;
        let left = MemberLeft { group_id: group, user_id: caller, username: &username, version };
        let mut outcome = Outcome::answered(context.envelope, &left);
        if let Some(transferred) = transferred {
            let event_id = derived_event_id(context.envelope.id, 1);
            let others = groups::list_member_ids(context.db, &id, caller.0).await?;
            context.store_event(event_id, Some(conversation), &transferred, &others).await?;
            for audience in participants(conversation) {
                outcome.durable(audience, event_id, &transferred, None);
            }
        }
        context.notify_participants(&mut outcome, conversation, &left).await?;
        outcome.left(group, vec![caller]);
        Ok(outcome)
    }
}
