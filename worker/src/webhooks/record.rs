//! Decides which events a transaction stores for delivery. The events of commands are those that participants get; they
//! are taken from what the command publishes, so that commands need not know about webhooks.

use serde::Deserialize;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::{ConversationId, EventId, MessageId, UserId};
use shared::publication::{Header, Receipt};
use shared::webhooks::WebhookEvent;
use uuid::Uuid;

use crate::app::App;
use crate::outcome::{Outcome, Publication};
use crate::store::reports::NewReport;
use crate::store::session::PgSession;
use crate::store::webhooks::{self, NewDeliveries};

/// The fields of an event that are read: its type, and where it happened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    message_id: Option<MessageId>,
    #[serde(default, borrow)]
    conversation_id: Option<&'a str>,
    #[serde(default, borrow)]
    group_id: Option<&'a str>,
}

/// The webhook event that corresponds to an event of the protocol.
fn event_of(kind: &str) -> Option<WebhookEvent> {
    Some(match kind {
        "message_edited" | "group_message_edited" => WebhookEvent::MessageEdited,
        "message_deleted" | "group_message_deleted" => WebhookEvent::MessageDeleted,
        "message_pinned" => WebhookEvent::MessagePinned,
        "message_unpinned" => WebhookEvent::MessageUnpinned,
        "reaction_added" | "group_reaction_added" => WebhookEvent::ReactionAdded,
        "reaction_removed" | "group_reaction_removed" => WebhookEvent::ReactionRemoved,
        "group_created" => WebhookEvent::GroupCreated,
        "group_info_updated" => WebhookEvent::GroupUpdated,
        "group_deleted" => WebhookEvent::GroupDeleted,
        "ownership_transferred" => WebhookEvent::GroupOwnerChanged,
        "member_added" => WebhookEvent::MemberAdded,
        "member_removed" => WebhookEvent::MemberRemoved,
        "member_left" => WebhookEvent::MemberLeft,
        "member_promoted" => WebhookEvent::MemberPromoted,
        "member_demoted" => WebhookEvent::MemberDemoted,
        "member_muted" => WebhookEvent::MemberMuted,
        "member_unmuted" => WebhookEvent::MemberUnmuted,
        "member_banned" => WebhookEvent::MemberBanned,
        "member_unbanned" => WebhookEvent::MemberUnbanned,
        _ => return None,
    })
}

impl NewDeliveries {
    fn push(&mut self, topic: String, event: WebhookEvent, event_id: Uuid) {
        self.topics.push(topic);
        self.events.push(event.as_str().to_owned());
        self.event_ids.push(EventId(event_id));
        self.abouts.push(None);
        self.bodies.push(None);
    }

    fn about(&mut self, message: MessageId) {
        if let Some(about) = self.abouts.last_mut() {
            *about = Some(message);
        }
    }

    fn say(&mut self, app: &App, event_id: Uuid, json: &[u8]) {
        if let Some(body) = self.bodies.last_mut() {
            *body = Some(app.keyring.seal_blob(event_id, json));
        }
    }

    async fn insert(self, db: &mut PgSession) -> sqlx::Result<()> {
        if self.topics.is_empty() { Ok(()) } else { webhooks::insert_deliveries(db, &self).await }
    }
}

/// An event found in a publication.
struct Found<'a> {
    event: WebhookEvent,
    event_id: Uuid,
    topic: String,
    about: Option<MessageId>,
    payload: &'a [u8],
}

impl<'a> Found<'a> {
    fn of(publication: &'a Publication) -> Option<Self> {
        let Header::Event(header) = &publication.header else { return None };
        let Receipt::Durable { event: event_id } = header.receipt else { return None };
        let payload = publication.payload.as_slice();
        let told: Told<'_> = serde_json::from_slice(payload).ok()?;
        let topic = told.conversation_id.or(told.group_id)?.to_owned();
        Some(Found { event: event_of(told.kind)?, event_id, topic, about: told.message_id, payload })
    }
}

/// Stores the durable events of a command that have subscribers.
pub async fn outcome(app: &App, db: &mut PgSession, outcome: &Outcome) -> sqlx::Result<()> {
    if !app.webhooks.is_anything_wanted() {
        return Ok(());
    }
    let mut found: Vec<Found<'_>> = Vec::new();
    for event in outcome.publications.iter().filter_map(Found::of) {
        // Several audiences get the same event.
        if found.iter().all(|known| known.event_id != event.event_id) {
            found.push(event);
        }
    }
    // Added members get `group_created` and everyone else gets the change; webhooks need only the change.
    if found.iter().any(|found| found.event != WebhookEvent::GroupCreated) {
        found.retain(|found| found.event != WebhookEvent::GroupCreated);
    }
    let mut new = NewDeliveries::default();
    for found in found.into_iter().filter(|found| app.webhooks.is_wanted(found.event)) {
        new.push(found.topic, found.event, found.event_id);
        if let Some(message) = found.about {
            new.about(message);
        }
        // An edited content is read where it is stored.
        if found.event != WebhookEvent::MessageEdited {
            new.say(app, found.event_id, found.payload);
        }
    }
    new.insert(db).await
}

/// True if any endpoint subscribes to messages.
pub fn wants_messages(app: &App) -> bool {
    app.webhooks.is_wanted(WebhookEvent::MessageCreated) || app.webhooks.is_wanted(WebhookEvent::PushWanted)
}

/// Stores the events of stored messages, in their order.
pub async fn messages(
    app: &App,
    db: &mut PgSession,
    stored: impl Iterator<Item = (MessageId, ConversationId)>,
) -> sqlx::Result<()> {
    let mut new = NewDeliveries::default();
    for (message, conversation) in stored {
        for event in [WebhookEvent::MessageCreated, WebhookEvent::PushWanted] {
            if app.webhooks.is_wanted(event) {
                new.push(conversation.to_string(), event, message.0);
                new.about(message);
            }
        }
    }
    new.insert(db).await
}

/// A report that was stored.
pub struct Report<'a> {
    pub new: &'a NewReport<'a>,
    pub reason: &'a str,
    pub reported_at: Timestamp,
}

/// Stores that a message was reported. The message itself is read when it is delivered.
pub async fn report(
    app: &App,
    db: &mut PgSession,
    Report { new, reason, reported_at }: &Report<'_>,
) -> sqlx::Result<()> {
    if !app.webhooks.is_wanted(WebhookEvent::MessageReported) {
        return Ok(());
    }
    let told = json!({
        "reportId": new.report_id, "messageId": new.message, "conversationId": new.conversation, "senderId": new.sender,
        "reporterId": new.reporter, "reason": reason, "reportedAt": reported_at,
    });
    let mut deliveries = NewDeliveries::default();
    deliveries.push(new.conversation.to_string(), WebhookEvent::MessageReported, new.report_id.0);
    deliveries.about(new.message);
    deliveries.say(app, new.report_id.0, told.to_string().as_bytes());
    deliveries.insert(db).await
}

/// When the users who are about to be announced as online after a long time were last seen.
pub async fn returning(app: &App, db: &mut PgSession, users: &[UserId]) -> sqlx::Result<Vec<(UserId, Timestamp)>> {
    if !app.webhooks.is_wanted(WebhookEvent::UserReturned) {
        return Ok(Vec::new());
    }
    let found = webhooks::list_returning(db, users, app.settings.webhook_returned_after).await?;
    Ok(found.into_iter().map(|(user, seen_at)| (user, seen_at.into())).collect())
}

/// Stores that users came or went; `returning` comes from [`returning`].
pub async fn presence(
    app: &App,
    db: &mut PgSession,
    users: &[UserId],
    came: bool,
    returning: &[(UserId, Timestamp)],
) -> sqlx::Result<()> {
    if !app.webhooks.is_anything_wanted() {
        return Ok(());
    }
    let event = if came { WebhookEvent::UserOnline } else { WebhookEvent::UserOffline };
    let mut new = NewDeliveries::default();
    for user in users {
        let mut add = |event: WebhookEvent, last_seen_at: Option<Timestamp>| {
            let event_id = Uuid::now_v7();
            new.push(format!("user_{user}"), event, event_id);
            let mut told = json!({"userId": user.to_string()});
            if let Some(last_seen_at) = last_seen_at {
                told["lastSeenAt"] = json!(last_seen_at);
            }
            new.say(app, event_id, told.to_string().as_bytes());
        };
        if app.webhooks.is_wanted(event) {
            add(event, None);
        }
        if let Some((_, last_seen_at)) = returning.iter().find(|(returning, _)| returning == user) {
            add(WebhookEvent::UserReturned, Some(*last_seen_at));
        }
    }
    new.insert(db).await
}
