//! What the hook is asked: the message as it is about to be stored, or as an edit would make it.

use serde::Serialize;
use shared::clock::Timestamp;
use shared::events::message::MessageKind;
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::metadata::{Metadata, MetadataField};
use shared::stream::Envelope;
use uuid::Uuid;

use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::sends::Send;
use crate::store::history;

/// What is asked about.
pub enum Subject {
    Send(Question),
    Edit(Edit),
}

/// An edit; of which message it is has to be looked up.
pub struct Edit {
    command: Uuid,
    message: MessageId,
    editor: UserId,
    at: Timestamp,
    content: String,
    metadata: MetadataField,
}

/// The body of a request.
#[derive(Serialize)]
pub struct Question {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Asked,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    message_id: MessageId,
    conversation_id: ConversationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<GroupId>,
    sender_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_id: Option<UserId>,
    kind: MessageKind,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to_message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<String>,
}

impl Question {
    /// The same each time that it is asked: a worker that takes a partition over asks again.
    fn new(kind: &'static str, command: Uuid, timestamp: Timestamp, data: Asked) -> Self {
        Question { id: format!("{kind}.{command}"), kind, timestamp, data }
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Subject {
    /// `None` for what a backend sends itself.
    pub fn send(send: &Send) -> Option<Self> {
        let Envelope { id, user, ingested_at, reply_to, .. } = send.envelope;
        let asked = Asked {
            message_id: send.message_id(),
            conversation_id: send.conversation,
            group_id: send.conversation.group(),
            sender_id: user,
            recipient_id: send.recipient(),
            kind: send.kind,
            content: send.content.clone(),
            metadata: send.metadata.clone(),
            reply_to_message_id: send.reply_to,
            client_message_id: send.client_message_id.clone(),
        };
        (!reply_to.is_gateway()).then(|| Subject::Send(Question::new("message.sending", id, ingested_at, asked)))
    }

    /// The same for an edit.
    pub fn edit(envelope: &Envelope, message: MessageId, content: &str, metadata: &MetadataField) -> Option<Self> {
        let edit = || Edit {
            command: envelope.id,
            message,
            editor: envelope.user,
            at: envelope.ingested_at,
            content: content.to_owned(),
            metadata: metadata.clone(),
        };
        (!envelope.reply_to.is_gateway()).then(|| Subject::Edit(edit()))
    }

    /// What is asked; `None` about an edit that will be rejected anyway, because the message is not there or another's.
    pub async fn question(self, app: &App) -> Result<Option<Question>, Failure> {
        let edit = match self {
            Subject::Send(question) => return Ok(Some(question)),
            Subject::Edit(edit) => edit,
        };
        let mut db = app.db.acquire().await?;
        let row = history::list_by_id(&mut db, &[edit.message]).await?.pop();
        let Some(row) = row.filter(|row| row.sender_id == edit.editor) else { return Ok(None) };
        let metadata = match edit.metadata {
            MetadataField::Absent => {
                metadata::of_message(app, edit.message, row.metadata.as_deref()).unwrap_or_default()
            }
            given => given.into_given(),
        };
        let asked = Asked {
            message_id: edit.message,
            conversation_id: row.conversation_id,
            group_id: row.conversation_id.group(),
            sender_id: row.sender_id,
            recipient_id: row.recipient_id,
            kind: row.kind,
            content: edit.content,
            metadata,
            reply_to_message_id: row.reply_to_message_id,
            client_message_id: row.client_message_id,
        };
        Ok(Some(Question::new("message.editing", edit.command, edit.at, asked)))
    }
}
