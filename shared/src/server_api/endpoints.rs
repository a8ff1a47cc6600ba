//! THE list of the server API's endpoints.

use super::{Method, Scope, ServerEndpoint, ServerOperation};

const fn endpoint(
    method: Method,
    path: &'static str,
    scope: Scope,
    operation: ServerOperation,
    summary: &'static str,
) -> ServerEndpoint {
    ServerEndpoint { method, path, scope, operation, summary }
}

const fn command(
    method: Method,
    path: &'static str,
    scope: Scope,
    command: &'static str,
    summary: &'static str,
) -> ServerEndpoint {
    endpoint(method, path, scope, ServerOperation::Command(command), summary)
}

/// A path that begins with `/users/{userId}` acts for that user: with the user's rights, and to others it looks as if
/// the user had done it.
pub const ENDPOINTS: &[ServerEndpoint] = &[
    command(
        Method::Post,
        "/users/{userId}/direct-messages",
        Scope::Messages,
        "send_private_message",
        "Sends a direct message as the user.",
    ),
    command(
        Method::Get,
        "/users/{userId}/direct-messages",
        Scope::Read,
        "get_private_messages",
        "Returns a page of a direct conversation as the user sees it.",
    ),
    command(
        Method::Patch,
        "/users/{userId}/direct-messages/{messageId}",
        Scope::Messages,
        "edit_message",
        "Changes the text of the user's direct message, within `EDIT_WINDOW` (5 minutes by default).",
    ),
    command(
        Method::Delete,
        "/users/{userId}/direct-messages/{messageId}",
        Scope::Messages,
        "delete_message",
        "Deletes a direct message as the user.",
    ),
    command(
        Method::Post,
        "/users/{userId}/group-messages",
        Scope::Messages,
        "send_group_message",
        "Sends a message to a group as the user.",
    ),
    command(
        Method::Get,
        "/users/{userId}/group-messages",
        Scope::Read,
        "get_group_messages",
        "Returns a page of a group's history as the user sees it.",
    ),
    command(
        Method::Patch,
        "/users/{userId}/group-messages/{messageId}",
        Scope::Messages,
        "edit_group_message",
        "Changes the text of the user's group message, within `EDIT_WINDOW` (5 minutes by default).",
    ),
    command(
        Method::Delete,
        "/users/{userId}/group-messages/{messageId}",
        Scope::Messages,
        "delete_group_message",
        "Deletes a group message as the user: the sender, the owner or an admin.",
    ),
    command(Method::Get, "/users/{userId}/inbox", Scope::Read, "get_inbox", "Returns the user's conversations."),
    command(
        Method::Post,
        "/users/{userId}/groups",
        Scope::Groups,
        "create_group",
        "Creates a group that the user owns.",
    ),
    command(Method::Get, "/users/{userId}/groups", Scope::Read, "get_user_groups", "Returns the user's groups."),
    command(
        Method::Get,
        "/users/{userId}/groups/{groupId}",
        Scope::Read,
        "get_group_info",
        "Returns the name, description and size of a group of the user's.",
    ),
    command(
        Method::Patch,
        "/users/{userId}/groups/{groupId}",
        Scope::Groups,
        "update_group_info",
        "Changes a group as the user: the owner or an admin.",
    ),
    command(
        Method::Delete,
        "/users/{userId}/groups/{groupId}",
        Scope::Groups,
        "delete_group",
        "Deletes a group as the user: the owner.",
    ),
    command(
        Method::Get,
        "/users/{userId}/groups/{groupId}/members",
        Scope::Read,
        "get_group_members",
        "Returns the members of a group of the user's.",
    ),
    command(
        Method::Post,
        "/users/{userId}/groups/{groupId}/members",
        Scope::Groups,
        "add_group_member",
        "Adds a member as the user.",
    ),
    command(
        Method::Delete,
        "/users/{userId}/groups/{groupId}/members/{memberId}",
        Scope::Groups,
        "remove_group_member",
        "Removes a member as the user: the owner or an admin.",
    ),
    command(
        Method::Put,
        "/users/{userId}/groups/{groupId}/members/{memberId}/admin",
        Scope::Groups,
        "promote_member",
        "Makes a member an admin as the user: the owner.",
    ),
    command(
        Method::Delete,
        "/users/{userId}/groups/{groupId}/members/{memberId}/admin",
        Scope::Groups,
        "demote_member",
        "Makes an admin an ordinary member as the user: the owner.",
    ),
    command(
        Method::Put,
        "/users/{userId}/groups/{groupId}/owner",
        Scope::Groups,
        "transfer_ownership",
        "Makes another member the owner as the user: the owner.",
    ),
    command(
        Method::Post,
        "/users/{userId}/groups/{groupId}/announcements",
        Scope::Messages,
        "send_announcement",
        "Sends an announcement to all members of a group as the user: the owner or an admin.",
    ),
    command(
        Method::Get,
        "/users/{userId}/blocked-users",
        Scope::Users,
        "get_blocked_users",
        "Returns the users whom the user blocks. Requires `BUILTIN_AUTH=true`; otherwise 403.",
    ),
    command(
        Method::Put,
        "/users/{userId}/blocked-users/{blockedId}",
        Scope::Users,
        "block_user",
        "Blocks another user as the user. Requires `BUILTIN_AUTH=true`; otherwise 403.",
    ),
    command(
        Method::Delete,
        "/users/{userId}/blocked-users/{blockedId}",
        Scope::Users,
        "unblock_user",
        "Ends a block by the user. Requires `BUILTIN_AUTH=true`; otherwise 403.",
    ),
    endpoint(
        Method::Get,
        "/users/{userId}/sessions",
        Scope::Sessions,
        ServerOperation::Sessions,
        "Returns the user's connections, each with its gateway.",
    ),
    endpoint(
        Method::Delete,
        "/users/{userId}/sessions",
        Scope::Sessions,
        ServerOperation::Kick,
        "Closes the user's connections with 1008. The user's token stays valid.",
    ),
    endpoint(
        Method::Post,
        "/presence",
        Scope::Presence,
        ServerOperation::Presence,
        "Returns which of up to 1,000 users are online.",
    ),
    endpoint(
        Method::Post,
        "/users",
        Scope::Users,
        ServerOperation::CreateUser,
        "Creates an account without a password, for which your backend signs tokens. Requires `BUILTIN_AUTH=true`; otherwise 404.",
    ),
    endpoint(
        Method::Patch,
        "/users/{userId}",
        Scope::Users,
        ServerOperation::UpdateUser,
        "Changes the user's account, or deactivates it. Requires `BUILTIN_AUTH=true`; otherwise 404.",
    ),
    endpoint(
        Method::Get,
        "/users/{userId}/export",
        Scope::Users,
        ServerOperation::Export,
        "Returns everything that is stored about the user, in parts: continue with `nextCursor` until there is none. A part may be empty.",
    ),
];
