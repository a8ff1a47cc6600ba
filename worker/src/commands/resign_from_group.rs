//! `resign_from_group`: ends the caller's membership. If an owner resigns, the admin who joined first becomes the
//! owner; a group without admins is deleted.

use shared::commands::ResignFromGroup;
use shared::events::membership::{MemberLeft, OwnershipTransferred};
use shared::ids::ConversationId;
use shared::role::Role;

use super::context::derived_event_id;
use super::{Context, Handle, delete_group};
use crate::error::Failure;
use crate::outcome::{Outcome, participants};
use crate::store::group_members;

impl Handle for ResignFromGroup {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, caller) = (self.group, context.caller());
        let conversation = ConversationId::Group(group);
        let mut transferred = None;
        if context.managed_membership(group).await?.is_owner() {
            // The list begins with the owner.
            let members = group_members::list_members(context.db, group, None, 2).await?;
            let Some(heir) = members.iter().find(|member| member.role == Role::Admin) else {
                return delete_group::delete(context, group, true).await;
            };
            let heir = heir.user_id;
            group_members::update_owner(context.db, group, caller, heir).await?;
            context.audit(conversation, Some(heir), None).await?;
            let version = context.raise_version(group).await?;
            transferred =
                Some(OwnershipTransferred { group_id: group, from_user_id: caller, to_user_id: heir, version });
        }
        context.bound_waiting_events(&[caller]).await?;
        group_members::delete_members(context.db, group, &[caller]).await?;
        let username = context.username(caller).await?;
        let version = context.raise_version(group).await?;
        let left = MemberLeft { group_id: group, user_id: caller, username: &username, version };
        let mut outcome = Outcome::answered(context.envelope, &left);
        if let Some(transferred) = transferred {
            let event_id = derived_event_id(context.envelope.id, 1);
            context.store_shared_event(event_id, conversation, transferred.version, &transferred).await?;
            for audience in participants(conversation) {
                outcome.durable(audience, event_id, &transferred, None);
            }
        }
        context.notify_participants(&mut outcome, conversation, version, &left).await?;
        outcome.left(group, vec![caller]);
        Ok(outcome)
    }
}
