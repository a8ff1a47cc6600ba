//! `send_announcement`: sends an announcement to a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendAnnouncement {
    pub group: GroupId,
    pub content: String,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for SendAnnouncement {
    const NAME: &'static str = "send_announcement";
    const IS_MESSAGE: bool = true;
    const SUMMARY: &'static str = "Sends an announcement to a group. Allowed for the owner and admins.";
    const FIELDS: &'static [Field] = &[GROUP, CONTENT, METADATA];
    const REPLIES: &'static [&'static str] = &["announcement_sent"];
    const EVENTS: &'static [&'static str] = &["group_announcement"];
    const ERRORS: &'static [ErrorCode] =
        &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied, ErrorCode::MessageRejected, ErrorCode::MemberMuted];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(SendAnnouncement {
            group: fields.required_group_id("groupId")?,
            content: fields.content(&["content"], context.limits.message_characters)?,
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
