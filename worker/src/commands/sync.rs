//! `sync`: for each conversation, the messages after a number that the client knows: a series of answers, ended by
//! `sync_complete`. A conversation that the caller may not see refuses the whole command before anything is read.
//! Bounded: at most 200 messages of a conversation and about 1,000 in all; of what does not fit only `hasMore` is said, and
//! another `sync` goes on from there.

use std::collections::{HashMap, HashSet};

use shared::clock::Timestamp;
use shared::commands::Sync;
use shared::events;
use shared::events::message::Message;
use shared::events::sync::{SyncComplete, SyncMessages};
use shared::ids::ConversationId;
use shared::limits::MAX_PAGE;
use shared::protocol::Rejection;

use super::{Context, Handle};
use crate::error::Failure;
use crate::history;
use crate::outcome::Outcome;
use crate::store::conversations::{self, Extent};
use crate::store::{groups, history as rows, users};

/// Messages of all conversations together.
const MOST_MESSAGES: i64 = 1_000;
const MOST_OF_ONE: i64 = MAX_PAGE as i64;

impl Handle for Sync {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        // Each once; the last position given counts.
        let positions: HashMap<ConversationId, i64> = self.conversations.into_iter().collect();
        refuse_foreign(context, &positions).await?;
        let reader = context.caller();
        let ids: Vec<String> = positions.keys().map(ToString::to_string).collect();
        let extents = conversations::list_extents(context.db, reader.0, &ids).await?;
        let plan = Plan::new(&positions, extents);

        let found = rows::list_after(context.db, reader.0, &plan.ids, &plan.after, MOST_OF_ONE + 1).await?;
        let mut found = rows::list_by_id(context.db, &found).await?;
        found.sort_by_key(|row| row.seq);
        let mut by_conversation: HashMap<ConversationId, Vec<Message>> = HashMap::new();
        for message in history::show(context.app, context.db, reader, &found).await? {
            by_conversation.entry(message.conversation_id).or_default().push(message);
        }
        let mut outcome = Outcome::default();
        for conversation_id in positions.into_keys() {
            let mut messages = by_conversation.remove(&conversation_id).unwrap_or_default();
            let has_more = plan.left_out.contains(&conversation_id) || messages.len() as i64 > MOST_OF_ONE;
            messages.truncate(MOST_OF_ONE as usize);
            let part = SyncMessages { conversation_id, messages, has_more };
            outcome.answer_part(context.envelope, events::broadcast(&part));
        }
        let complete = SyncComplete { timestamp: Timestamp::now() };
        outcome.answer(context.envelope, events::answer(&complete, context.envelope.request_id.as_ref()));
        Ok(outcome)
    }
}

/// Refuses all when one is not the caller's to see: two queries, whatever their number.
async fn refuse_foreign(context: &mut Context<'_>, positions: &HashMap<ConversationId, i64>) -> Result<(), Failure> {
    let caller = context.caller();
    let (mut others, mut group_ids) = (Vec::new(), Vec::new());
    for conversation in positions.keys() {
        match (conversation.other(caller), conversation.group()) {
            (Some(other), _) => others.push(other.0),
            (None, Some(group)) => group_ids.push(group.to_string()),
            (None, None) => {}
        }
    }
    let existing = users::list_names(context.db, &others).await?;
    let existing: HashSet<i64> = existing.into_iter().map(|user| user.user_id).collect();
    let joined: HashSet<String> = groups::list_joined(context.db, caller.0, &group_ids).await?.into_iter().collect();
    let foreign = positions.keys().find(|conversation| match conversation.other(caller) {
        Some(other) => !existing.contains(&other.0),
        None => !joined.contains(&conversation.to_string()),
    });
    match foreign {
        None => Ok(()),
        Some(id) => {
            let details = format!("`conversations` names `{id}`, and there is no such conversation");
            Err(Rejection::not_found("conversations", details).into())
        }
    }
}

/// What to read of which conversations.
#[derive(Default)]
struct Plan {
    ids: Vec<String>,
    after: Vec<i64>,
    /// Have something new that does not fit any more.
    left_out: HashSet<ConversationId>,
}

impl Plan {
    fn new(positions: &HashMap<ConversationId, i64>, extents: Vec<Extent>) -> Self {
        let mut plan = Plan::default();
        let mut planned = 0;
        for extent in extents {
            let Ok(conversation) = extent.conversation_id.parse::<ConversationId>() else { continue };
            let Some(position) = positions.get(&conversation) else { continue };
            let after = (*position).max(extent.cleared_seq);
            // Deleted messages count here, too; so it is never more than this, and often less.
            let most = (extent.last_seq - after).min(MOST_OF_ONE);
            if most <= 0 {
                continue;
            }
            if planned > 0 && planned + most > MOST_MESSAGES {
                plan.left_out.insert(conversation);
                continue;
            }
            planned += most;
            plan.ids.push(extent.conversation_id);
            plan.after.push(after);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::UserId;

    #[test]
    fn the_whole_is_bounded_and_what_does_not_fit_is_said() {
        let conversation = |n: i64| ConversationId::direct(UserId(1), UserId(n));
        let positions: HashMap<_, _> = (2..12).map(|n| (conversation(n), 10)).collect();
        let extent = |n: i64, last_seq, cleared_seq| Extent {
            conversation_id: conversation(n).to_string(),
            last_seq,
            cleared_seq,
        };
        let nothing_new = [extent(2, 10, 0), extent(3, 500, 500)];
        let plan = Plan::new(&positions, nothing_new.into_iter().chain((4..12).map(|n| extent(n, 500, 20))).collect());
        assert_eq!(plan.ids.len(), 5);
        assert!(plan.after.iter().all(|after| *after == 20));
        assert_eq!(plan.left_out.len(), 3);
    }
}
