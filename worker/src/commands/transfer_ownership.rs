//! `transfer_ownership`: makes another member the owner; the old owner becomes an admin.

use shared::commands::TransferOwnership;
use shared::events::membership::OwnershipTransferred;
use shared::ids::ConversationId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::group_members;

impl Handle for TransferOwnership {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, from, to) = (self.group, context.caller(), self.user);
        context.owned_group(group).await?;
        context.other_member(group, to).await?;
        group_members::update_owner(context.db, group, from, to).await?;
        context.audit(ConversationId::Group(group), Some(to), None).await?;
        let version = context.raise_version(group).await?;
        let transferred = OwnershipTransferred { group_id: group, from_user_id: from, to_user_id: to, version };
        let mut outcome = Outcome::answered(context.envelope, &transferred);
        context.notify_participants(&mut outcome, ConversationId::Group(group), version, &transferred).await?;
        Ok(outcome)
    }
}
