//! Commands that this version does not carry out yet: refused, with nothing done.

use shared::commands::*;

use super::{Context, Handle};
use crate::error::Failure;
use crate::publish::Outcome;
use shared::protocol::Rejection;

macro_rules! unsupported {
    ($($command:ty),* $(,)?) => {$(
        impl Handle for $command {
            async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
                let details = format!("`{}` is not available on this server", context.envelope.name);
                Err(Rejection::unavailable(details, 3600).into())
            }
        }
    )*};
}

unsupported!(
    StartConversation, MarkMessageRead, EditMessage, EditGroupMessage, DeleteMessage, DeleteGroupMessage, AddReaction,
    AddGroupReaction, RemoveReaction, RemoveGroupReaction, Typing, DeleteConversation, PinMessage, UnpinMessage,
    GetPinnedMessages, GetConversations, CreateGroup, GetGroupMessages, GetUserGroups, GetCommunities, GetOnlineUsers,
    GetGroupMembers, GetGroupInfo, LeaveGroup, AddGroupMember, RemoveGroupMember, PromoteMember, DemoteMember,
    TransferOwnership, UpdateGroupInfo, DeleteGroup, GetCommunityMembers, GetCommunityProgress, Sync,
);
