//! `send_private_message`: sends a direct message.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendPrivateMessage {
    pub recipient: UserId,
    pub content: String,
    pub reply_to: Option<MessageId>,
    pub client_message_id: Option<String>,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for SendPrivateMessage {
    const NAME: &'static str = "send_private_message";
    const ALIASES: &'static [&'static str] = &["send_message"];
    const IS_MESSAGE: bool = true;
    const SUMMARY: &'static str = "Sends a direct message. The answer confirms that the message is stored; without an \
        answer, send it again with the same `clientMessageId`.";
    const FIELDS: &'static [Field] = &[
        Field::required("recipientId", Kind::UserId, "Not the caller."),
        CONTENT,
        REPLY_TO,
        REPLY_TO_ALIAS,
        Field::optional(
            "conversationId",
            Kind::DirectConversationId,
            "The conversation of the two users, in either order of ids; only checked.",
        ),
        CLIENT_MESSAGE_ID,
        METADATA,
    ];
    const REPLIES: &'static [&'static str] = &["message_sent", "group_message_sent"];
    const EVENTS: &'static [&'static str] = &["new_message"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::UserBlocked, ErrorCode::NotFollowing, ErrorCode::MessageRejected];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let recipient = context.other_user(fields, "recipientId")?;
        let conversation = ConversationId::direct(context.caller, recipient);
        if fields.conversation_id("conversationId")?.is_some_and(|given| given != conversation) {
            return Err(Invalid::new(
                "conversationId",
                format!("`conversationId` must be `{conversation}`, or absent"),
            ));
        }
        Ok(SendPrivateMessage {
            recipient,
            content: fields.content(&["content"], context.limits.message_characters)?,
            reply_to: reply_to(fields)?,
            client_message_id: client_message_id(fields)?,
            metadata: first_metadata(fields)?,
        })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::conversation(ConversationId::direct(caller, self.recipient))
    }

    fn message_text(&self) -> Option<&str> {
        Some(&self.content)
    }

    fn metadata(&mut self) -> Option<&mut MetadataField> {
        Some(&mut self.metadata)
    }
}
