//! What the commands about messages share: notifying all participants of a change to a message, reading pages, and the
//! caller's name. The rules of a single command are in its own file.

use shared::commands::{PageRequest, Position};
use shared::events::{self, Event};
use shared::ids::{ConversationId, EventId, GroupId, UserId};
use shared::protocol::Rejection;

use super::{Context, FoundMessage};
use crate::error::Failure;
use crate::history::{self, Page};
use crate::outcome::{Outcome, participants};
use crate::store::shared_events::{self, NewSharedEvent};
use crate::store::{changes, history as message_rows, users};

impl Context<'_> {
    /// Like [`Context::notify_participants`], for an event about a message: users who hid the message are not notified,
    /// and if it is deleted for everyone, waiting events about it are deleted, too.
    pub async fn notify_about<E: Event>(
        &mut self,
        outcome: &mut Outcome,
        found: &FoundMessage,
        version: i64,
        event: &E,
    ) -> Result<(), Failure> {
        let conversation = found.conversation;
        let hidden_from = message_rows::list_hidden_from(self.db, &[found.row.message_id]).await?;
        let hidden_from: Vec<UserId> = hidden_from.into_iter().map(|(_, user)| user).collect();
        let event_id = self.envelope.id;
        let body = self.app.keyring.seal_blob(event_id, &events::durable(event, event_id));
        let (actor, about) = (Some(self.caller()), Some(found.message_id()));
        let stored = NewSharedEvent { event_id: EventId(event_id), conversation, version, actor, about, body: &body };
        shared_events::insert_event(self.db, &stored, self.app.max_waiting_events()).await?;
        for audience in participants(conversation) {
            outcome.durable_except(audience, event_id, event, Some(self.envelope.reply_to), hidden_from.clone());
        }
        Ok(())
    }

    /// Rejects a command that would notify the members of a large group if the caller has reached too many lately. Called
    /// before the command's work, which would be rolled back.
    pub async fn reject_beyond_reach(&mut self, group: GroupId) -> Result<(), Failure> {
        match self.app.audiences.rejection_in(self.db, group, self.caller()).await? {
            Some(rejection) => Err(rejection.into()),
            None => Ok(()),
        }
    }

    /// Reads a page of a conversation as the caller sees it; the permission must have been checked already.
    pub async fn read_page(&mut self, conversation: ConversationId, request: PageRequest) -> Result<Page, Failure> {
        let caller = self.caller();
        let request = match request.position {
            Position::AroundMessage(message) => {
                let no_such =
                    || Rejection::not_found("aroundMessageId", "There is no such message in this conversation");
                let row = message_rows::list_by_id(self.db, &[message]).await?.pop().ok_or_else(no_such)?;
                if row.conversation_id != conversation
                    || message_rows::is_hidden(self.db, conversation, row.seq, caller).await?
                {
                    return Err(no_such().into());
                }
                PageRequest { position: Position::Around(row.seq), ..request }
            }
            _ => request,
        };
        history::read_page(self.app, self.db, caller, conversation, request).await
    }

    /// The caller's username.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when the account no longer exists.
    pub async fn caller_name(&mut self) -> Result<String, Failure> {
        let caller = self.caller();
        let row = users::list_names(self.db, &[caller]).await?.pop();
        Ok(row.ok_or_else(super::no_account)?.username)
    }

    /// Rejects a conversation that the caller does not take part in, one whose other participant does not exist (unless
    /// it has messages: it stays readable after an account is deleted), and a group that the caller is not a member of.
    pub async fn reject_outsiders(&mut self, conversation: ConversationId) -> Result<(), Failure> {
        match conversation {
            ConversationId::Group(group) => self.membership(group).await.map(drop),
            ConversationId::Direct(..) => {
                let no_such = || Rejection::not_found("conversationId", "There is no such conversation");
                let other = conversation.other(self.caller()).ok_or_else(no_such)?;
                if users::exists(self.db, other).await? {
                    return Ok(());
                }
                let extents = changes::list_extents(self.db, self.caller(), &[conversation]).await?;
                if extents.iter().any(|extent| extent.last_seq > extent.cleared_seq) {
                    Ok(())
                } else {
                    Err(no_such().into())
                }
            }
        }
    }
}

/// Rejects a message of another conversation than the one that the command names.
pub fn reject_mismatch(found: &FoundMessage, named: ConversationId) -> Result<(), Failure> {
    if found.conversation == named {
        return Ok(());
    }
    let field = match named {
        ConversationId::Group(_) => "groupId",
        ConversationId::Direct(..) => "conversationId",
    };
    let details = format!("`{field}` must be `{}`, where the message is", found.conversation);
    Err(Rejection::invalid(field, details).into())
}
