//! From a stored row to the message object of the protocol.

use std::collections::HashMap;

use shared::events::message::{Mention, Message, Reaction};
use shared::ids::{MessageId, UserId};

use crate::app::App;
use crate::metadata;
use crate::store::history::{MessageRow, ReactionRow};

/// Opens a row's content. `None` if it does not decrypt; that is counted and logged with the message's id, and the
/// message is left out.
pub fn open_message(app: &App, row: &MessageRow) -> Option<Message> {
    let plain = match app.keyring.open(row.message_id.0, row.key_id, &row.iv, row.mac.as_deref(), &row.content) {
        Ok(plain) => plain,
        Err(error) => return unreadable(app, row, &error.to_string()),
    };
    let Ok(content) = String::from_utf8(plain) else { return unreadable(app, row, "the content is not UTF-8") };
    let metadata = match metadata::of_message(app, row.message_id, row.metadata.as_deref()) {
        Ok(metadata) => metadata,
        Err(error) => return unreadable(app, row, &error.to_string()),
    };
    let mentions = row.mentions.as_deref().unwrap_or_default().iter().map(|id| match id {
        0 => Mention::Everyone { user_ids: Vec::new() },
        id => Mention::User { user_id: UserId(*id), username: String::new() },
    });
    Some(Message {
        message_id: row.message_id,
        conversation_id: row.conversation_id,
        seq: row.seq,
        sender_id: row.sender_id,
        sender_username: row.sender_username.clone().unwrap_or_default(),
        content,
        created_at: row.created_at.into(),
        kind: row.kind,
        recipient_id: row.recipient_id,
        group_id: row.conversation_id.group(),
        reply_to_message_id: row.reply_to_message_id,
        reply_to: None,
        mentions: mentions.collect(),
        reactions: Vec::new(),
        is_read: row.is_read,
        is_edited: row.edited_at.is_some(),
        edited_at: row.edited_at.map(Into::into),
        is_pinned: row.pinned_at.is_some(),
        pinned_by: row.pinned_at.and(row.pinned_by),
        pinned_at: row.pinned_at.map(Into::into),
        client_message_id: row.client_message_id.clone(),
        metadata,
        version: None,
    })
}

fn unreadable(app: &App, row: &MessageRow, reason: &str) -> Option<Message> {
    app.metrics.unreadable_rows.increment(1);
    tracing::error!(message_id = %row.message_id.0, key_id = row.key_id, reason, "a stored message cannot be read");
    None
}

/// Attaches each reaction to its message.
pub fn add_reactions(messages: &mut [Message], rows: Vec<ReactionRow>) {
    let places: HashMap<MessageId, usize> = messages.iter().enumerate().map(|(i, m)| (m.message_id, i)).collect();
    for row in rows {
        if let Some(place) = places.get(&row.message_id) {
            messages[*place].reactions.push(Reaction {
                user_id: row.user_id,
                username: row.username,
                reaction: row.reaction,
                timestamp: row.created_at.into(),
            });
        }
    }
}
