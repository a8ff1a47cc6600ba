//! `edit_message`: replaces the content of the caller's own direct message. Also holds what it shares with edits in
//! groups.

use shared::clock::Timestamp;
use shared::commands::EditMessage;
use shared::events::change::MessageEdited;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, FoundMessage, Handle};
use crate::error::Failure;
use crate::history::open_message;
use crate::outcome::Outcome;
use crate::store::messages::{self, NewContent};

impl Handle for EditMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.direct_message(self.message).await?;
        let old = open_message(context.app, &found.row);
        let (edited_at, version) = store_edit(context, &found, &self.content, None).await?;
        let event = MessageEdited {
            message_id: self.message,
            conversation_id: found.conversation,
            content: &self.content,
            new_content: &self.content,
            old_content: old.as_ref().map(|message| message.content.as_str()),
            edited_at,
            seq: found.row.seq,
            version,
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

/// Stores new content if the caller may change it; returns the time of the edit, and the new version.
pub async fn store_edit(
    context: &mut Context<'_>,
    found: &FoundMessage,
    content: &str,
    mentions: Option<&[i64]>,
) -> Result<(Timestamp, i64), Failure> {
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
    let sealed = context.app.keyring.seal(found.row.message_id.0, content.as_bytes());
    let new = NewContent {
        content: &sealed.ciphertext,
        iv: &sealed.iv,
        mac: &sealed.mac,
        key_id: sealed.key_id,
        mentions,
        edited_at: edited_at.to_datetime(),
    };
    let version = messages::update_content(context.db, found.row.message_id, &new).await?;
    Ok((edited_at, version))
}
