//! What a stored, repeated or rejected message sends, and to whom.

use shared::events;
use shared::events::direct::MessageSent;
use shared::events::group::{AnnouncementSent, GroupMessageSent};
use shared::events::message::{GroupAnnouncement, Message, MessageKind, NewGroupMessage, NewMessage};
use shared::ids::{ConversationId, MessageId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::publication::Receipt;

use super::Send;
use super::facts::{Facts, MentionEvent};
use crate::app::App;
use crate::commands::group_rules;
use crate::error::Failure;
use crate::outcome::{Audience, Outcome, participants};
use crate::store::sends::{Verdict, VerdictKind};

const NOT_FOLLOWING: &str = "NOT_FOLLOWING";

pub fn of(
    app: &App,
    send: &Send,
    verdict: Verdict,
    refusal: Option<Rejection>,
    facts: &Facts,
    mentions: &[MentionEvent],
) -> Result<Outcome, Failure> {
    let rejection = match verdict.kind {
        VerdictKind::Stored | VerdictKind::Applied => return Ok(stored(app, send, &verdict, facts, mentions)),
        VerdictKind::Duplicate => return Ok(duplicate(send, &verdict)),
        VerdictKind::LeaseLost => return Err(Failure::LeaseLost),
        VerdictKind::Expired => refusal.unwrap_or_else(crate::commands::expired),
        VerdictKind::Removed => Rejection::not_found("messageId", "The message was deleted"),
        VerdictKind::UnknownSender => crate::commands::no_account(),
        VerdictKind::UnknownRecipient => Rejection::not_found("recipientId", "There is no such user"),
        VerdictKind::Blocked => Rejection {
            field: Some("recipientId"),
            ..Rejection::new(ErrorCode::UserBlocked, "One of you blocks the other")
        },
        VerdictKind::NotFollowing => Rejection {
            field: Some("recipientId"),
            ..Rejection::new(ErrorCode::NotFollowing, "You can write only to users whom you follow")
        },
        VerdictKind::NotMember => Rejection::not_found("groupId", "There is no such group"),
        VerdictKind::NotAllowed => {
            Rejection::new(ErrorCode::PermissionDenied, "Only the owner and admins may announce")
        }
        VerdictKind::Muted { wait_seconds } => group_rules::muted(wait_seconds),
        VerdictKind::TooSoon { wait_seconds } => {
            let details = "The group is in slow mode; your last message is too recent";
            let rejection = Rejection::new(ErrorCode::SlowMode, details);
            Rejection { field: Some("groupId"), retry_after: wait_seconds, ..rejection }
        }
    };
    Err(rejection.into())
}

/// The answer, then the echo and everyone else's copy. The same again for a redelivered command.
fn stored(app: &App, send: &Send, verdict: &Verdict, facts: &Facts, mentions: &[MentionEvent]) -> Outcome {
    let warns = app.settings.follow_policy == shared::config::FollowPolicy::Warn && !verdict.following;
    let mut outcome = Outcome::default();
    let answer = acknowledgement(send, verdict, send.message_id(), send.conversation, warns, false);
    let message = message(send, verdict, facts);
    let payload = new_message(&message);
    // For users who hid the message that it replies to.
    let hidden_from = facts.preview_hidden_from(send);
    let reduced = (!hidden_from.is_empty()).then(|| Message { reply_to: None, ..message.clone() });
    let receipt = Receipt::Message {
        conversation: send.conversation,
        seq: verdict.seq,
        sender: send.envelope.user,
        message: send.message_id(),
    };
    match send.recipient() {
        Some(recipient) => {
            if send.envelope.reply_to.is_gateway() {
                // The gateway may not follow the sender's channel.
                outcome.answer(&send.envelope, answer);
                outcome.event(Audience::User(send.envelope.user), receipt, payload.clone(), None);
            } else {
                outcome.answer_and_event(&send.envelope, &answer, receipt, &payload);
            }
            let shown = match &reduced {
                Some(reduced) if hidden_from.contains(&recipient) => new_message(reduced),
                _ => payload,
            };
            outcome.event(Audience::User(recipient), receipt, shown, None);
        }
        None => {
            outcome.answer(&send.envelope, answer);
            for audience in participants(send.conversation) {
                match &reduced {
                    Some(reduced) => {
                        outcome.reduced_for(audience, receipt, hidden_from.to_vec(), &new_message(reduced), &payload);
                    }
                    None => outcome.event(audience, receipt, payload.clone(), None),
                }
            }
        }
    }
    for mention in mentions.iter().filter(|mention| mention.event_id == send.envelope.id) {
        let receipt = Receipt::Durable { event: mention.event_id };
        let is_reduced = |user: &UserId| reduced.is_some() && hidden_from.contains(user);
        let (with_reduced, with_whole): (Vec<UserId>, Vec<UserId>) =
            mention.users.iter().copied().partition(is_reduced);
        for (users, shown) in [(with_whole, Some(&message)), (with_reduced, reduced.as_ref())] {
            if let Some(shown) = shown.filter(|_| !users.is_empty()) {
                outcome.event(Audience::Users(users), receipt, mention.with_message(shown), None);
            }
        }
    }
    outcome
}

fn new_message(message: &Message) -> Vec<u8> {
    match (message.group_id, message.kind) {
        (None, _) => events::broadcast(&NewMessage(message)),
        (Some(_), MessageKind::Text | MessageKind::System) => events::broadcast(&NewGroupMessage(message)),
        (Some(_), MessageKind::Announcement) => events::broadcast(&GroupAnnouncement(message)),
    }
}

/// Repeats the acknowledgement of the first message; nothing for anyone else.
fn duplicate(send: &Send, verdict: &Verdict) -> Outcome {
    let (id, conversation) = verdict.first.unwrap_or((send.message_id(), send.conversation));
    let mut outcome = Outcome::default();
    outcome.answer(&send.envelope, acknowledgement(send, verdict, id, conversation, false, true));
    outcome
}

fn acknowledgement(
    send: &Send,
    verdict: &Verdict,
    message_id: MessageId,
    conversation: ConversationId,
    warns: bool,
    is_duplicate: bool,
) -> Vec<u8> {
    let request_id = send.envelope.request_id.as_ref();
    let client_message_id = send.client_message_id.as_deref();
    let duplicate = is_duplicate.then_some(true);
    let metadata = send.metadata.as_ref().filter(|_| !is_duplicate);
    match conversation {
        ConversationId::Direct(..) => {
            let sent = MessageSent {
                message_id,
                conversation_id: conversation,
                seq: verdict.seq,
                created_at: verdict.created_at,
                client_message_id,
                duplicate,
                warning: warns.then_some(NOT_FOLLOWING),
                metadata,
            };
            events::answer(&sent, request_id)
        }
        ConversationId::Group(group_id) if send.kind == MessageKind::Announcement => {
            let created_at = verdict.created_at;
            let sent = AnnouncementSent { message_id, group_id, seq: verdict.seq, created_at, metadata };
            events::answer(&sent, request_id)
        }
        ConversationId::Group(group_id) => {
            let sent = GroupMessageSent {
                message_id,
                group_id,
                conversation_id: conversation,
                seq: verdict.seq,
                created_at: verdict.created_at,
                client_message_id,
                duplicate,
                metadata,
            };
            events::answer(&sent, request_id)
        }
    }
}

fn message(send: &Send, verdict: &Verdict, facts: &Facts) -> Message {
    Message {
        message_id: send.message_id(),
        conversation_id: send.conversation,
        seq: verdict.seq,
        sender_id: send.envelope.user,
        sender_username: verdict.sender_username.clone(),
        content: send.content.clone(),
        created_at: verdict.created_at,
        kind: send.kind,
        recipient_id: send.recipient(),
        group_id: send.conversation.group(),
        reply_to_message_id: send.reply_to,
        reply_to: facts.preview(send),
        mentions: facts.mentions(send).map(|mentions| mentions.shown.clone()).unwrap_or_default(),
        reactions: Vec::new(),
        is_read: send.recipient().map(|_| false),
        is_edited: false,
        edited_at: None,
        is_pinned: false,
        pinned_by: None,
        pinned_at: None,
        client_message_id: send.client_message_id.clone(),
        metadata: send.metadata.clone(),
        version: verdict.version,
    }
}
