//! THE list of what the server sends over the WebSocket.

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::commands::SPECS;
use shared::events::Event;
use shared::events::change::{
    GroupMessageDeleted, GroupMessageEdited, GroupReactionAdded, GroupReactionRemoved, MessageDeleted, MessageEdited,
    MessagePinned, MessageRead, MessageUnpinned, PinnedMessages, ReactionAdded, ReactionRemoved,
};
use shared::events::community::{CommunityList, CommunityMembers, CommunityProgress, CommunityProgressUpdate};
use shared::events::direct::{
    ConversationDeleted, ConversationStarted, Conversations, MessageDelivered, MessageSent, PrivateMessages, UserTyping,
};
use shared::events::error::ErrorEvent;
use shared::events::group::{AnnouncementSent, GroupMessageSent, MentionedInGroup};
use shared::events::inbox::{ConversationSettings, Inbox};
use shared::events::membership::{
    GroupCreated, GroupDeleted, GroupInfo, GroupInfoUpdated, GroupMembers, GroupMessages, MemberAdded, MemberDemoted,
    MemberLeft, MemberPromoted, MemberRemoved, OwnershipTransferred, UserGroups,
};
use shared::events::message::{GroupAnnouncement, NewGroupMessage, NewMessage};
use shared::events::moderation::{
    BannedMembers, MemberBanned, MemberMuted, MemberUnbanned, MemberUnmuted, MessageReported,
};
use shared::events::presence::{OnlineUsers, PresenceChanged, UserOffline, UserOnline};
use shared::events::session::{AuthError, AuthSuccess, Connected, EpochChanged, Pong, SessionConflict, TestResponse};
use shared::events::sync::{SyncChanges, SyncComplete, SyncGone, SyncMessages};
use shared::events::users::{BlockedUsers, SignInEnded, SignIns, UserBlocked, UserUnblocked, UsersFound};
use shared::limits::MAX_REQUEST_ID_CHARACTERS;

use crate::schema;

/// How an event is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Only as the direct answer to a command, or about the connection itself.
    Answer,
    /// Also unsolicited; users who are not connected miss it.
    Ephemeral,
    /// Also unsolicited; stored for users who are not connected. `messageId` identifies repetitions.
    Message,
    /// The same, but `eventId` identifies repetitions.
    Durable,
}

pub struct Described {
    pub name: &'static str,
    pub delivery: Delivery,
    schema: fn(&mut SchemaGenerator) -> Value,
}

impl Described {
    /// The whole frame: the event's own fields, `type`, and what delivery adds.
    pub fn frame_schema(&self, generator: &mut SchemaGenerator) -> Value {
        let mut schema = (self.schema)(generator);
        schema["properties"]["type"] = json!({"const": self.name});
        if schema.get("required").is_none() {
            schema["required"] = json!([]);
        }
        if let Some(required) = schema["required"].as_array_mut() {
            required.insert(0, json!("type"));
        }
        if schema["properties"].get("timestamp").is_none() {
            let time = generator.subschema_for::<Timestamp>();
            schema["properties"]["timestamp"] = json!({"allOf": [time], "description": "When the event was sent."});
            if let Some(required) = schema["required"].as_array_mut() {
                required.push(json!("timestamp"));
            }
        }
        if self.echoes_request() {
            let about = "The `requestId` of the command; only in its direct answer.";
            let text = json!({"type": "string", "maxLength": MAX_REQUEST_ID_CHARACTERS});
            schema["properties"]["requestId"] = json!({"anyOf": [text, {"type": "integer"}], "description": about});
        }
        if self.delivery == Delivery::Durable {
            let about = "Identifies repetitions of this event; not in the direct answer.";
            schema["properties"]["eventId"] = json!({"type": "string", "format": "uuid", "description": about});
        }
        schema
    }

    /// True if it can be the direct answer to a command, which echoes the `requestId`.
    pub fn echoes_request(&self) -> bool {
        let is_error = matches!(self.name, "error" | "auth_error");
        // Of the series that answers `sync`, only the end does.
        is_error || (!is_part_of_sync(self.name) && SPECS.iter().any(|spec| spec.replies.contains(&self.name)))
    }
}

/// True if it is a part of the series that answers `sync`, and not its end.
pub fn is_part_of_sync(name: &str) -> bool {
    matches!(name, "sync_changes" | "sync_messages" | "sync_gone")
}

macro_rules! events {
    ($($delivery:ident: $($event:ty),* $(,)?;)*) => {
        pub const EVENTS: &[Described] = &[$($(
            Described { name: <$event as Event>::TYPE, delivery: Delivery::$delivery, schema: own_schema::<$event> },
        )*)*];
    };
}

fn own_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    schema::inline::<T>(generator)
}

events! {
    Answer: Connected, AuthSuccess, AuthError, ErrorEvent, SessionConflict, Pong, TestResponse;
    Answer: MessageSent, GroupMessageSent, AnnouncementSent, ConversationStarted, PrivateMessages, GroupMessages,
        PinnedMessages, Conversations, Inbox, UsersFound, BlockedUsers, SignIns, SignInEnded, UserGroups, GroupMembers, GroupInfo, BannedMembers, MessageReported, CommunityList, CommunityMembers,
        CommunityProgress, OnlineUsers, SyncChanges, SyncMessages, SyncGone, SyncComplete;
    Message: NewMessage, NewGroupMessage, GroupAnnouncement;
    Durable: MentionedInGroup, MessageEdited, GroupMessageEdited, MessageDeleted, GroupMessageDeleted, ReactionAdded,
        ReactionRemoved, GroupReactionAdded, GroupReactionRemoved, MessagePinned, MessageUnpinned, ConversationDeleted,
        GroupCreated, MemberAdded, MemberRemoved, MemberLeft, MemberPromoted, MemberDemoted, OwnershipTransferred,
        MemberMuted, MemberUnmuted, MemberBanned, MemberUnbanned, GroupInfoUpdated, GroupDeleted;
    Ephemeral: ConversationSettings, UserBlocked, UserUnblocked, MessageRead, MessageDelivered, UserTyping, UserOnline, UserOffline, PresenceChanged, CommunityProgressUpdate, EpochChanged;
}
