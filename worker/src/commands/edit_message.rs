//! `edit_message`: replaces the content of the caller's own direct message. Also holds what it shares with edits in
//! groups.

use shared::clock::Timestamp;
use shared::commands::EditMessage;
use shared::events::change::MessageEdited;
use shared::metadata::{Metadata, MetadataField};
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::history::open_message;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::messages::{self, NewContent};

impl Handle for EditMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        let old = open_message(context.app, &found.row);
        let metadata = self.metadata;
        let Edited { edited_at, version, metadata } =
            store_edit(context, &found, NewWords { content: &self.content, mentions: None, metadata }).await?;
        let event = MessageEdited {
            message_id: self.message,
            conversation_id: found.conversation,
            content: &self.content,
            new_content: &self.content,
            old_content: old.as_ref().map(|message| message.content.as_str()),
            edited_at,
            seq: found.row.seq,
            version,
            metadata: metadata.as_ref(),
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        context.notify_about(&mut outcome, &found, version, &event).await?;
        Ok(outcome)
    }
}

/// Rejects everyone but the sender.
pub fn reject_others(context: &Context<'_>, found: &FoundMessage) -> Result<(), Failure> {
    if context.is_own(found) {
        return Ok(());
    }
    let details = "Only the sender may edit a message";
    Err(Rejection { field: Some("messageId"), ..Rejection::new(ErrorCode::PermissionDenied, details) }.into())
}

/// What an edit puts into a message.
pub struct NewWords<'a> {
    pub content: &'a str,
    pub mentions: Option<&'a [i64]>,
    pub metadata: MetadataField,
}

pub struct Edited {
    pub edited_at: Timestamp,
    /// The version that it made.
    pub version: i64,
    /// As it is now.
    pub metadata: Option<Metadata>,
}

/// Stores new content if the caller may change it.
pub async fn store_edit(context: &mut Context<'_>, found: &FoundMessage, new: NewWords<'_>) -> Result<Edited, Failure> {
    reject_others(context, found)?;
    // New content is like a new message, so blocks apply; groups have no other participant.
    if let Some(other) = found.other(context.caller()) {
        context.reject_blocked(other, "messageId").await?;
    }
    // Both times come from gateways, so that a late worker does not shorten the time for edits.
    let window = context.app.settings.edit_window;
    let age = context.envelope.ingested_at.since(found.row.created_at.into());
    if age > window {
        let details =
            format!("`messageId` is {} s old; a message can be edited for {} s", age.as_secs(), window.as_secs());
        let rejection = Rejection::new(ErrorCode::EditWindowExpired, details);
        return Err(Rejection { field: Some("messageId"), ..rejection }.into());
    }
    let edited_at = Timestamp::now();
    let NewWords { content, mentions, metadata } = new;
    let (app, message) = (context.app, found.row.message_id);
    let replaced = !metadata.is_absent();
    let metadata = match metadata {
        MetadataField::Absent => metadata::of_message(app, message, found.row.metadata.as_deref()).unwrap_or_default(),
        given => given.into_given(),
    };
    let sealed_metadata = metadata.as_ref().map(|metadata| metadata.seal(&app.keyring, message.0));
    let sealed = app.keyring.seal(message.0, content.as_bytes());
    let new = NewContent {
        content: &sealed.ciphertext,
        iv: &sealed.iv,
        mac: &sealed.mac,
        key_id: sealed.key_id,
        mentions,
        edited_at: edited_at.to_datetime(),
        metadata: replaced.then_some(sealed_metadata.as_deref()),
    };
    let version = messages::update_content(context.db, message, &new).await?;
    Ok(Edited { edited_at, version, metadata })
}
