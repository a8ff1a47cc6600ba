//! What handlers share: finding the message or group that a command names, checking that the caller may know of it, and
//! sending durable events to everyone concerned. It contains nothing that is specific to one command.

use std::collections::HashSet;

use crate::store::session::PgSession;
use shared::commands::Contract;
use shared::events::message::MessageKind;
use shared::events::{self, Event};
use shared::ids::{ConversationId, EventId, GroupId, MessageId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::publication::Receipt;
use shared::stream::Envelope;
use uuid::Uuid;

use crate::app::App;
use crate::error::{Failure, TooManyWaiting};
use crate::outcome::{Audience, Outcome, participants};
use crate::store::audit;
use crate::store::groups::{self, Membership};
use crate::store::history::{self, MessageRow};
use crate::store::leases::Lease;
use crate::store::purge;
use crate::store::shared_events::{self, NewSharedEvent};
use crate::store::{events as event_store, users};

/// What a handler works with.
pub struct Context<'a> {
    pub app: &'a App,
    /// In the ordered lane a transaction that holds the partition; for queries a plain connection.
    pub db: &'a mut PgSession,
    pub envelope: &'a Envelope,
    /// The partition whose lease this runs under; `None` for queries.
    pub lease: Option<Lease>,
}

/// The behaviour of a command.
pub trait Handle: Contract {
    /// Applies the command and says what it sends.
    fn handle(self, context: &mut Context<'_>) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// A message that the caller may know of.
pub struct FoundMessage {
    pub row: MessageRow,
    pub conversation: ConversationId,
    /// The caller's membership, in groups.
    pub membership: Option<Membership>,
}

impl FoundMessage {
    pub fn message_id(&self) -> MessageId {
        self.row.message_id
    }

    /// The other participant of a direct conversation.
    pub fn other(&self, user: UserId) -> Option<UserId> {
        self.conversation.other(user)
    }
}

impl Context<'_> {
    pub fn caller(&self) -> UserId {
        self.envelope.user
    }

    /// The message of this id, if the caller takes part in its conversation.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` if there is none, it is hidden from the caller, or the caller does not take part in its
    /// conversation; [`Failure::Elsewhere`] when its conversation belongs to another partition.
    pub async fn message(&mut self, message: MessageId) -> Result<FoundMessage, Failure> {
        let no_such = || Rejection::not_found("messageId", "There is no such message");
        let row = history::list_by_id(self.db, &[message]).await?.pop().ok_or_else(no_such)?;
        let conversation = row.conversation_id;
        let partitions = i64::from(self.app.settings.common.partitions);
        let partition = i64::from(conversation.route_hint()) % partitions;
        if self.lease.is_some_and(|lease| i64::from(lease.partition) != partition) {
            return Err(Failure::Elsewhere(conversation));
        }
        let membership = match conversation {
            ConversationId::Direct(..) => {
                conversation.other(self.caller()).ok_or_else(no_such)?;
                None
            }
            ConversationId::Group(group) => {
                let found = self.find_membership(group).await?;
                Some(found.ok_or_else(no_such)?)
            }
        };
        if history::is_hidden(self.db, row.conversation_id, row.seq, self.caller()).await? {
            return Err(no_such().into());
        }
        Ok(FoundMessage { row, conversation, membership })
    }

    /// True if the caller may change this message as its sender. A system message can be changed only by the backend
    /// that sent it, because the words are not the user's own.
    pub fn is_own(&self, found: &FoundMessage) -> bool {
        found.row.sender_id == self.caller()
            && (found.row.kind != MessageKind::System || self.envelope.reply_to.is_gateway())
    }

    /// Like [`Self::message`], but only for direct messages.
    pub async fn direct_message(&mut self, message: MessageId) -> Result<FoundMessage, Failure> {
        let found = self.message(message).await?;
        match found.conversation {
            ConversationId::Direct(..) => Ok(found),
            ConversationId::Group(_) => {
                let details = "`messageId` names a group's message; groups have commands of their own";
                Err(Rejection::invalid("messageId", details).into())
            }
        }
    }

    /// Like [`Self::message`], but only for group messages; also returns the group and the caller's membership.
    pub async fn group_message(&mut self, message: MessageId) -> Result<(FoundMessage, GroupId, Membership), Failure> {
        let found = self.message(message).await?;
        match (found.conversation, found.membership.clone()) {
            (ConversationId::Group(group), Some(membership)) => Ok((found, group, membership)),
            _ => {
                let details = "`messageId` names a direct message; direct conversations have commands of their own";
                Err(Rejection::invalid("messageId", details).into())
            }
        }
    }

    /// The caller's membership in a group.
    ///
    /// # Errors
    /// `RESOURCE_NOT_FOUND` for outsiders, as if the group did not exist.
    pub async fn membership(&mut self, group: GroupId) -> Result<Membership, Failure> {
        let found = self.find_membership(group).await?;
        found.ok_or_else(|| Rejection::not_found("groupId", "There is no such group").into())
    }

    /// In the ordered lane, the membership does not change until the end of the transaction.
    async fn find_membership(&mut self, group: GroupId) -> Result<Option<Membership>, Failure> {
        let user = self.caller();
        Ok(match self.lease {
            Some(_) => groups::find_membership_locked(self.db, group, user).await?,
            None => groups::find_membership(self.db, group, user).await?,
        })
    }

    /// Rejects the command if one of the two users blocks the other.
    pub async fn reject_blocked(&mut self, other: UserId, field: &'static str) -> Result<(), Failure> {
        if users::is_blocked(self.db, self.caller(), other).await? {
            let rejection = Rejection::new(ErrorCode::UserBlocked, "One of you blocks the other");
            return Err(Rejection { field: Some(field), ..rejection }.into());
        }
        Ok(())
    }

    /// Everyone who is blocked by the caller or blocks the caller: neither side learns if the other is online.
    pub async fn blocked_either_way(&mut self) -> Result<HashSet<UserId>, Failure> {
        let pairs = users::list_blocked_pairs(self.db, &[self.caller()]).await?;
        Ok(pairs.into_iter().map(|pair| pair.other_id).collect())
    }

    /// Stores a durable event for everyone in the conversation except the connection that sent the command, with the
    /// change that made this version, and queues its publications. The caller's other connections get it, too, but it
    /// is not kept for them, since users know what they did.
    pub async fn notify_participants<E: Event>(
        &mut self,
        outcome: &mut Outcome,
        conversation: ConversationId,
        version: i64,
        event: &E,
    ) -> Result<(), Failure> {
        self.store_shared_event(self.envelope.id, conversation, version, event).await?;
        for audience in participants(conversation) {
            outcome.durable(audience, self.envelope.id, event, Some(self.envelope.reply_to));
        }
        Ok(())
    }

    /// Stores a sealed event for all participants except the caller, with the change that made this version.
    pub async fn store_shared_event<E: Event>(
        &mut self,
        event_id: Uuid,
        conversation: ConversationId,
        version: i64,
        event: &E,
    ) -> Result<(), Failure> {
        let body = self.app.keyring.seal_blob(event_id, &events::durable(event, event_id));
        let actor = Some(self.caller());
        let stored =
            NewSharedEvent { event_id: EventId(event_id), conversation, version, actor, about: None, body: &body };
        shared_events::insert_event(self.db, &stored, self.app.max_waiting_events()).await?;
        Ok(())
    }

    /// Puts a sealed event into these users' queues, if it concerns only them or outlives the conversation.
    pub async fn store_event<E: Event>(
        &mut self,
        event_id: Uuid,
        conversation: Option<ConversationId>,
        event: &E,
        recipients: &[UserId],
    ) -> Result<(), Failure> {
        let sealed = self.app.keyring.seal_blob(event_id, &events::durable(event, event_id));
        event_store::insert_event(self.db, EventId(event_id), conversation, &sealed, recipients).await?;
        Ok(())
    }

    /// Lets a command delete what waits for these users only if it is not too much for its transaction. Otherwise the
    /// command is tried again while `jobs::crowded` deletes the oldest events. It waits only for a surplus of a tenth, so
    /// that the events that arrive before it is tried again do not make it wait once more.
    pub async fn bound_waiting_events(&mut self, users: &[UserId]) -> Result<(), Failure> {
        let kept = self.app.max_waiting_events();
        let crowded = purge::list_crowded_among(self.db, users, kept + kept / 10).await?;
        if crowded.is_empty() {
            return Ok(());
        }
        self.app.crowded.push(&crowded);
        Err(Failure::Retry(TooManyWaiting.into()))
    }

    /// Records who did what to whom, in the transaction of the action.
    pub async fn audit(
        &mut self,
        conversation: ConversationId,
        target: Option<UserId>,
        message: Option<MessageId>,
    ) -> Result<(), Failure> {
        let entry = audit::AuditEntry {
            actor: audit::Actor::User(self.caller()),
            action: &self.envelope.name,
            target_user: target,
            conversation: Some(conversation),
            message,
        };
        audit::insert_entry(self.db, &entry).await?;
        Ok(())
    }

    /// Queues an event for the caller's other connections only.
    pub fn tell_own_connections<E: Event>(&self, outcome: &mut Outcome, event: &E) {
        let audience = Audience::User(self.caller());
        outcome.event(audience, Receipt::None, events::broadcast(event), Some(self.envelope.reply_to));
    }
}

/// The id of a further event for a command that causes several: ordered in time like the command's own id, and the same
/// each time.
pub fn derived_event_id(command: Uuid, number: u8) -> Uuid {
    let mut bytes = *command.as_bytes();
    bytes[9] ^= number;
    Uuid::from_bytes(bytes)
}
