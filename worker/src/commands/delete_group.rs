//! `delete_group`: hides a group from everyone at once. Its content is purged after a while, or immediately if the
//! deletion is permanent; of a long history only the first part, and the rest within seconds by `jobs::purge`, so that
//! the partition is never locked for long.

use shared::commands::DeleteGroup;
use shared::events::membership::GroupDeleted;
use shared::ids::{ConversationId, GroupId, UserId};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome};
use crate::store::{groups, purge};

/// Messages deleted in the command's own transaction.
const MAX_MESSAGES: i64 = 2_000;

impl Handle for DeleteGroup {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.owned_group(self.group).await?;
        delete(context, self.group, self.permanent).await
    }
}

/// Deletes a group; the caller's permission must have been checked already.
pub async fn delete(context: &mut Context<'_>, group: GroupId, permanent: bool) -> Result<Outcome, Failure> {
    let caller = context.caller();
    let others = groups::list_member_ids(context.db, group, caller).await?;
    let members: Vec<UserId> = others.iter().copied().chain([caller]).collect();
    context.bound_waiting_events(&members).await?;
    // Waiting events must no longer show members the group's content.
    purge::delete_waiting_events(context.db, group).await?;
    groups::update_deleted(context.db, group, permanent).await?;
    let version = context.raise_version(group).await?;
    if permanent {
        let deleted = purge::delete_messages(context.db, &group.into(), i64::MAX, MAX_MESSAGES).await?;
        if deleted < MAX_MESSAGES as u64 {
            purge::delete_group(context.db, &group.into()).await?;
        }
    }

    context.audit(ConversationId::Group(group), None, None).await?;
    let deleted = GroupDeleted { group_id: group, deleted_by: caller, permanent, version };
    let event_id = context.envelope.id;
    context.store_event(event_id, Some(ConversationId::Group(group)), &deleted, &others).await?;
    let mut outcome = Outcome::answered(context.envelope, &deleted);
    outcome.durable(Audience::Group(group), event_id, &deleted, Some(context.envelope.reply_to));
    outcome.left(group, members);
    Ok(outcome)
}
