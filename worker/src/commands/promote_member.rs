//! `promote_member`: makes a member an admin, who may also add members.

use shared::commands::PromoteMember;
use shared::events::membership::MemberPromoted;
use shared::ids::ConversationId;
use shared::protocol::Rejection;
use shared::role::Role;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::group_members;

impl Handle for PromoteMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, user) = (self.group, self.user);
        context.owned_group(group).await?;
        if context.other_member(group, user).await?.role == Role::Admin {
            return Err(Rejection::invalid("userId", "`userId` is already an admin of this group").into());
        }
        group_members::update_role(context.db, group, user, Role::Admin, true).await?;
        context.audit(ConversationId::Group(group), Some(user), None).await?;
        let version = context.raise_version(group).await?;
        let changed = MemberPromoted {
            group_id: group,
            user_id: user,
            new_role: Role::Admin,
            promoted_by: context.caller(),
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &changed);
        context.notify_participants(&mut outcome, ConversationId::Group(group), version, &changed).await?;
        Ok(outcome)
    }
}
