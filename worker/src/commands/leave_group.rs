//! `leave_group`: ends the caller's membership.

use shared::commands::LeaveGroup;
use shared::events::membership::MemberLeft;
use shared::ids::ConversationId;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::group_members;

impl Handle for LeaveGroup {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, caller) = (self.group, context.caller());
        if context.managed_membership(group).await?.is_owner() {
            let details = "Transfer the ownership first (`transfer_ownership`), or delete the group (`delete_group`)";
            return Err(Rejection::new(ErrorCode::OwnerCannotLeave, details).into());
        }
        context.bound_waiting_events(&[caller]).await?;
        group_members::delete_members(context.db, group, &[caller]).await?;
        let username = context.username(caller).await?;
        let version = context.raise_version(group).await?;
        let left = MemberLeft { group_id: group, user_id: caller, username: &username, version };
        let mut outcome = Outcome::answered(context.envelope, &left);
        // The caller's other connections still follow the group's channel, so they get the event, too.
        context.notify_participants(&mut outcome, ConversationId::Group(group), version, &left).await?;
        outcome.left(group, vec![caller]);
        Ok(outcome)
    }
}
