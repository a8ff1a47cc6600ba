//! Which of the conversations the caller participates in: a few queries for all of them.

use std::collections::HashSet;

use crate::store::session::PgSession;
use shared::ids::{ConversationId, GroupId, UserId};
use shared::protocol::Rejection;
use shared::stream::SyncPosition;

use crate::error::Failure;
use crate::store::changes::Extent;
use crate::store::{groups, users};

pub struct Participation {
    /// Those of the other participants who exist.
    existing: HashSet<UserId>,
    joined: HashSet<GroupId>,
}

impl Participation {
    pub async fn load(db: &mut PgSession, reader: UserId, positions: &[SyncPosition]) -> Result<Self, Failure> {
        let conversations = || positions.iter().map(|position| position.conversation);
        let others: Vec<UserId> = conversations().filter_map(|conversation| conversation.other(reader)).collect();
        let group_ids: Vec<GroupId> = conversations().filter_map(ConversationId::group).collect();
        let mut participation = Participation { existing: HashSet::new(), joined: HashSet::new() };
        if !others.is_empty() {
            participation.existing = users::list_existing(db, &others).await?.into_iter().collect();
        }
        if !group_ids.is_empty() {
            participation.joined = groups::list_joined(db, reader, &group_ids).await?.into_iter().collect();
        }
        Ok(participation)
    }

    /// A direct conversation stays readable after the other account is deleted, as long as it has visible messages.
    pub fn is_part(&self, reader: UserId, conversation: ConversationId, extent: &Extent) -> bool {
        let is_shown = conversation.other(reader).is_some() && extent.last_seq > extent.cleared_seq;
        is_shown || self.is_known(reader, conversation)
    }

    fn is_known(&self, reader: UserId, conversation: ConversationId) -> bool {
        match conversation {
            ConversationId::Direct(..) => {
                conversation.other(reader).is_some_and(|other| self.existing.contains(&other))
            }
            ConversationId::Group(group) => self.joined.contains(&group),
        }
    }
}

/// Rejects everything if a conversation requested by a plain number is not visible to the caller.
pub async fn reject_foreign(db: &mut PgSession, reader: UserId, positions: &[SyncPosition]) -> Result<(), Failure> {
    let plain: Vec<SyncPosition> = positions.iter().filter(|position| position.version.is_none()).copied().collect();
    let participation = Participation::load(db, reader, &plain).await?;
    match plain.iter().find(|position| !participation.is_known(reader, position.conversation)) {
        None => Ok(()),
        Some(position) => {
            let details =
                format!("`conversations` names `{}`, and there is no such conversation", position.conversation);
            Err(Rejection::not_found("conversations", details).into())
        }
    }
}
