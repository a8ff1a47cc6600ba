//! `delete_group`: hides a group from everyone at once. Its content is purged after a while, or immediately if the
//! deletion is permanent; of a long history, and of many events that wait for members, the rest is deleted within seconds
//! by `jobs::purge`, so that the partition is never locked for long.

use shared::commands::DeleteGroup;
use shared::events::membership::GroupDeleted;
use shared::ids::{ConversationId, GroupId, UserId};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome};
use crate::store::{groups, purge};
use crate::waiting::EVENTS_TOGETHER;

/// Messages deleted in the command's own transaction, and their reactions: each member may have one to each message.
const MAX_MESSAGES: i64 = 2_000;
const MAX_REACTIONS: i64 = 20_000;

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
    let conversation = ConversationId::Group(group);
    // Waiting events must no longer show members the group's content.
    let few_wait = purge::has_few_waiting(context.db, group, EVENTS_TOGETHER).await?;
    if few_wait {
        purge::delete_waiting_events(context.db, conversation, &members).await?;
    }
    groups::update_deleted(context.db, group, permanent, !few_wait).await?;
    let version = context.raise_version(group).await?;
    if permanent {
        let most = (MAX_REACTIONS / members.len() as i64).clamp(1, MAX_MESSAGES);
        let deleted = purge::delete_messages(context.db, &group.into(), i64::MAX, most).await?;
        if few_wait && deleted < most as u64 {
            purge::delete_group(context.db, &group.into()).await?;
        }
    }

    context.audit(conversation, None, None).await?;
    let deleted = GroupDeleted { group_id: group, deleted_by: caller, permanent, version };
    let event_id = context.envelope.id;
    // It must not be deleted with the group's other events.
    context.store_event(event_id, None, &deleted, &others).await?;
    let mut outcome = Outcome::answered(context.envelope, &deleted);
    outcome.durable(Audience::Group(group), event_id, &deleted, Some(context.envelope.reply_to));
    outcome.left(group, members);
    Ok(outcome)
}
