//! The commands: each file is one command's contract (its fields, its checks, its lane), and the list below is all of
//! them. What a command does is in the worker's file of the same name. The session commands `authenticate`, `ping`,
//! `test` and `ack` are handled by the gateway and described in `session`.

pub mod prelude;
pub mod session;

use serde::{Deserialize, Serialize};

pub use get_banned_members::BannedPosition;
pub use get_group_members::{MemberPosition, MembersPage};
pub use get_inbox::InboxPosition;
pub use get_online_users::{OnlinePage, OnlinePosition};
pub use get_user_groups::{GroupPosition, GroupsPage};
pub use prelude::{Contract, DecodeContext, NewSanction, PageRequest, Position, Route, Subject};

pub use sync::{SyncPosition, SyncRound};

use crate::ids::UserId;
use crate::metadata::MetadataField;
use crate::protocol::{Fields, Invalid, Spec};

mod add_group_member;
mod add_group_reaction;
mod add_reaction;
mod ban_member;
mod block_user;
mod create_group;
mod delete_conversation;
mod delete_group;
mod delete_group_message;
mod delete_message;
mod demote_member;
mod edit_group_message;
mod edit_message;
mod end_sign_in;
mod find_users;
mod get_banned_members;
mod get_blocked_users;
mod get_communities;
mod get_community_members;
mod get_community_progress;
mod get_conversations;
mod get_group_info;
mod get_group_members;
mod get_group_messages;
mod get_inbox;
mod get_online_users;
mod get_pinned_messages;
mod get_private_messages;
mod get_sign_ins;
mod get_user_groups;
mod leave_group;
mod mark_message_read;
mod mute_member;
mod pin_message;
mod promote_member;
mod remove_group_member;
mod remove_group_reaction;
mod remove_reaction;
mod report_message;
mod resign_from_group;
mod send_announcement;
mod send_group_message;
mod send_private_message;
mod set_conversation_settings;
mod set_slow_mode;
mod start_conversation;
mod sync;
mod tail;
mod transfer_ownership;
mod typing;
mod unban_member;
mod unblock_user;
mod unmute_member;
mod unpin_message;
mod update_group_info;

/// Generates the enum of all commands, and what they have in common, from the one list.
macro_rules! commands {
    ($($module:ident $command:ident $($batched:ident)?,)*) => {
        $(pub use $module::$command;)*

        /// A command that has passed its contract.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Command {
            $($command($command),)*
        }

        /// The names of all types that a client may send, without aliases; for `UNKNOWN_TYPE`.
        pub const NAMES: &[&str] = &[
            session::AUTHENTICATE.name, session::PING.name, session::TEST.name, session::ACK.name,
            $($command::NAME,)*
        ];

        /// The specifications of all commands, session commands first.
        pub const SPECS: &[Spec] = &[
            session::AUTHENTICATE, session::PING, session::TEST, session::ACK,
            $($command::SPEC,)*
        ];

        impl Command {
            /// Decodes the command with this name; `None` if there is none.
            pub fn decode(name: &str, fields: Fields<'_>, context: &DecodeContext<'_>) -> Option<Result<Self, Invalid>> {
                $(if name == $command::NAME || $command::ALIASES.contains(&name) {
                    return Some($command::decode(fields, context).map(Command::$command));
                })*
                None
            }

            /// True if there is a command with this name.
            pub fn exists(name: &str) -> bool {
                $(name == $command::NAME || $command::ALIASES.contains(&name))||*
            }

            pub fn name(&self) -> &'static str {
                match self {
                    $(Command::$command(_) => $command::NAME,)*
                }
            }

            pub fn route(&self, caller: UserId) -> Route {
                match self {
                    $(Command::$command(command) => command.route(caller),)*
                }
            }

            /// True if it counts against `MESSAGE_RATE_LIMIT`.
            pub fn is_message(&self) -> bool {
                match self {
                    $(Command::$command(_) => $command::IS_MESSAGE,)*
                }
            }

            /// The text of a command that sends a message.
            pub fn message_text(&self) -> Option<&str> {
                match self {
                    $(Command::$command(command) => command.message_text(),)*
                }
            }

            /// Its `metadata`, if it is a command that has some.
            pub fn metadata(&mut self) -> Option<&mut MetadataField> {
                match self {
                    $(Command::$command(command) => command.metadata(),)*
                }
            }

            /// Whether success is answered.
            pub fn has_answer(&self) -> bool {
                match self {
                    $(Command::$command(_) => !$command::REPLIES.is_empty(),)*
                }
            }
        }
    };
}

/// THE list. **Append only**: a command's position in it is its encoding in the streams. Add new ones at the end, and
/// never remove or move one, or a gateway's `demote_member` becomes another version's `promote_member`. Passes `module
/// Command,` of each command to the given macro. The worker generates its dispatch from it, so that a command without a
/// handler does not compile.
#[macro_export]
macro_rules! for_each_command {
    ($macro:ident) => {
        $macro! {
            start_conversation StartConversation,
            send_private_message SendPrivateMessage batched,
            get_private_messages GetPrivateMessages,
            mark_message_read MarkMessageRead,
            edit_message EditMessage,
            edit_group_message EditGroupMessage,
            delete_message DeleteMessage,
            delete_group_message DeleteGroupMessage,
            add_reaction AddReaction,
            add_group_reaction AddGroupReaction,
            remove_reaction RemoveReaction,
            remove_group_reaction RemoveGroupReaction,
            typing Typing,
            delete_conversation DeleteConversation,
            pin_message PinMessage,
            unpin_message UnpinMessage,
            get_pinned_messages GetPinnedMessages,
            get_conversations GetConversations,
            create_group CreateGroup,
            send_group_message SendGroupMessage batched,
            send_announcement SendAnnouncement batched,
            get_group_messages GetGroupMessages,
            get_user_groups GetUserGroups,
            get_communities GetCommunities,
            get_online_users GetOnlineUsers,
            get_group_members GetGroupMembers,
            get_group_info GetGroupInfo,
            leave_group LeaveGroup,
            add_group_member AddGroupMember,
            remove_group_member RemoveGroupMember,
            promote_member PromoteMember,
            demote_member DemoteMember,
            transfer_ownership TransferOwnership,
            update_group_info UpdateGroupInfo,
            delete_group DeleteGroup,
            get_community_members GetCommunityMembers,
            get_community_progress GetCommunityProgress,
            sync Sync,
            resign_from_group ResignFromGroup,
            get_inbox GetInbox,
            set_conversation_settings SetConversationSettings,
            find_users FindUsers,
            block_user BlockUser,
            unblock_user UnblockUser,
            get_blocked_users GetBlockedUsers,
            get_sign_ins GetSignIns,
            end_sign_in EndSignIn,
            report_message ReportMessage,
            mute_member MuteMember,
            unmute_member UnmuteMember,
            ban_member BanMember,
            unban_member UnbanMember,
            get_banned_members GetBannedMembers,
            set_slow_mode SetSlowMode,
        }
    };
}

for_each_command!(commands);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConversationId;
    use crate::limits::Limits;
    use crate::stream::Body;
    use serde_json::{Value, json};

    fn decode(name: &str, fields: Value) -> Result<Command, Invalid> {
        let Value::Object(fields) = fields else { panic!("an object") };
        let limits = Limits::default();
        let context = DecodeContext { caller: UserId(1), limits: &limits };
        Command::decode(name, Fields(&fields), &context).expect("a known command")
    }

    #[test]
    fn no_name_serves_two_commands() {
        let mut seen = std::collections::HashSet::new();
        for name in NAMES {
            assert!(seen.insert(*name), "{name}");
        }
    }

    #[test]
    fn what_counts_as_a_message_has_a_text() {
        let examples: Value = serde_json::from_str(include_str!("../../../contract/src/examples.json")).unwrap();
        for name in NAMES.iter().filter(|name| Command::exists(name)) {
            let command = decode(name, examples["requests"][name].clone()).unwrap();
            assert_eq!(command.message_text().is_some(), command.is_message(), "{name}");
        }
    }

    #[test]
    fn aliases_reach_the_same_command() {
        let fields = json!({"recipientId": "2", "content": "x"});
        assert_eq!(decode("send_message", fields.clone()), decode("send_private_message", fields));
    }

    #[test]
    fn a_message_takes_its_conversations_lane_from_either_side() {
        let sent = decode("send_private_message", json!({"recipientId": 2, "content": "x"})).unwrap();
        assert_eq!(sent.route(UserId(1)), Route::conversation(ConversationId::direct(UserId(2), UserId(1))));
    }

    #[test]
    fn messages_to_oneself_or_a_wrong_conversation_are_rejected() {
        let to_self = decode("send_private_message", json!({"recipientId": 1, "content": "x"}));
        assert_eq!(to_self.unwrap_err().field, "recipientId");
        let elsewhere = json!({"recipientId": 2, "content": "x", "conversationId": "conv_1_3"});
        assert_eq!(decode("send_private_message", elsewhere).unwrap_err().field, "conversationId");
        let either_order = json!({"recipientId": 2, "content": "x", "conversationId": "conv_2_1"});
        assert!(decode("send_private_message", either_order).is_ok());
    }

    #[test]
    fn metadata_out_of_bounds_is_refused_by_its_name() {
        let deep = (0..8).fold(json!({}), |inner, _| json!({"k": inner}));
        for bad in [json!([]), json!("x"), json!(7), json!({"k": "x".repeat(4096)}), deep] {
            for (name, mut fields) in [
                ("send_private_message", json!({"recipientId": 2, "content": "x"})),
                ("send_group_message", json!({"groupId": format!("group_{}", uuid::Uuid::nil()), "content": "x"})),
                ("edit_message", json!({"messageId": format!("msg_{}", uuid::Uuid::nil()), "content": "x"})),
                ("create_group", json!({"groupName": "g"})),
                ("update_group_info", json!({"groupId": format!("group_{}", uuid::Uuid::nil())})),
            ] {
                fields["metadata"] = bad.clone();
                assert_eq!(decode(name, fields).unwrap_err().field, "metadata", "{name}: {bad}");
            }
        }
    }

    #[test]
    fn a_command_with_metadata_survives_its_body() {
        let edit = |metadata: Option<Value>| {
            let mut fields = json!({"messageId": format!("msg_{}", uuid::Uuid::nil()), "content": "x"});
            fields.as_object_mut().unwrap().extend(metadata.map(|metadata| ("metadata".to_owned(), metadata)));
            decode("edit_message", fields).unwrap()
        };
        for (metadata, is_apart) in [(None, false), (Some(Value::Null), true), (Some(json!({"a": [1]})), true)] {
            let command = edit(metadata);
            let body = Body::of_command(command.clone(), false);
            assert_eq!(matches!(body, Body::WithMetadata(_)), is_apart, "{body:?}");
            let bytes = postcard::to_stdvec(&body).unwrap();
            let read: Body = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read.into_command(), Some((command, false)));
        }
        let send = decode("send_private_message", json!({"recipientId": 2, "content": "x", "metadata": null})).unwrap();
        assert_eq!(Body::of_command(send.clone(), true), Body::System(send), "null is nothing for what is new");
    }

    #[test]
    fn commands_survive_the_envelope() {
        let command = decode("sync", json!({"conversations": {"conv_1_2": 5}})).unwrap();
        let bytes = postcard::to_stdvec(&command).unwrap();
        assert_eq!(postcard::from_bytes::<Command>(&bytes).unwrap(), command);
    }
}
