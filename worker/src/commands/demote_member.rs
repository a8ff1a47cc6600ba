//! `demote_member`: makes an admin an ordinary member again.

use shared::commands::DemoteMember;
use shared::events::membership::MemberDemoted;
use shared::ids::ConversationId;
use shared::protocol::Rejection;
use shared::role::Role;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::group_members;

impl Handle for DemoteMember {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (group, user) = (self.group, self.user);
        context.owned_group(group).await?;
        if context.other_member(group, user).await?.role == Role::Member {
            return Err(Rejection::invalid("userId", "`userId` is not an admin of this group").into());
        }
        group_members::update_role(context.db, group, user, Role::Member, false).await?;
        context.audit(ConversationId::Group(group), Some(user), None).await?;
        let version = context.raise_version(group).await?;
        let changed = MemberDemoted {
            group_id: group,
            user_id: user,
            new_role: Role::Member,
            demoted_by: context.caller(),
            version,
        };
        let mut outcome = Outcome::answered(context.envelope, &changed);
        context.notify_participants(&mut outcome, ConversationId::Group(group), version, &changed).await?;
        Ok(outcome)
    }
}
