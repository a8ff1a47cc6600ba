//! `send_group_message`: sends a message to a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendGroupMessage {
    pub group: GroupId,
    pub content: String,
    pub reply_to: Option<MessageId>,
    pub client_message_id: Option<String>,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for SendGroupMessage {
    const NAME: &'static str = "send_group_message";
    const IS_MESSAGE: bool = true;
    const SUMMARY: &'static str = "Sends a message to a group. `@username`, `@everyone` and `@all` mention members. The \
        answer confirms that the message is stored.";
    const FIELDS: &'static [Field] = &[GROUP, CONTENT, REPLY_TO, REPLY_TO_ALIAS, CLIENT_MESSAGE_ID, METADATA];
    const REPLIES: &'static [&'static str] = &["group_message_sent", "message_sent"];
    const EVENTS: &'static [&'static str] = &["new_group_message", "mentioned_in_group"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::MessageRejected, ErrorCode::MemberMuted, ErrorCode::SlowMode];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(SendGroupMessage {
            group: fields.required_group_id("groupId")?,
            content: fields.content(&["content"], context.limits.message_characters)?,
            reply_to: reply_to(fields)?,
            client_message_id: client_message_id(fields)?,
            metadata: first_metadata(fields)?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }

    fn message_text(&self) -> Option<&str> {
        Some(&self.content)
    }

    fn metadata(&mut self) -> Option<&mut MetadataField> {
        Some(&mut self.metadata)
    }
}
