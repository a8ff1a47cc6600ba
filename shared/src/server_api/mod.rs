//! The server API: what a product's backend may do over HTTP with an API key. Each endpoint is declared once, here: the
//! gateway uses the list for routing, and the documents are generated from it. What an endpoint takes and returns
//! follows from its command.

mod endpoints;
pub mod key;

use crate::commands::SPECS;
use crate::http::ReportState;
use crate::limits::MAX_PRESENCES;
use crate::protocol::Spec;
use crate::protocol::spec::{Field, Kind, LIMIT};

pub use endpoints::ENDPOINTS;

/// The prefix of all of its paths.
pub const PREFIX: &str = "/api/server/v1";

/// The maximum length of an `Idempotency-Key`: the same as for a `clientMessageId`, which it becomes when a message is
/// sent.
pub const MAX_IDEMPOTENCY_KEY_CHARACTERS: usize = crate::limits::MAX_CLIENT_MESSAGE_ID_CHARACTERS;

/// The path parameter that names the user for whom a request acts, with that user's rights.
pub const ACTING_USER: &str = "userId";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// True if its fields are in a JSON body; otherwise they are in the query.
    pub fn has_body(self) -> bool {
        !matches!(self, Method::Get | Method::Delete)
    }
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Send, edit and delete messages.
    Messages,
    /// Create, change and delete groups, their members and roles.
    Groups,
    /// Read histories, inboxes, groups and members.
    Read,
    /// List and close connections.
    Sessions,
    /// See who is online.
    Presence,
    /// Create, change and export accounts; block.
    Users,
    /// See and close reports of messages.
    Moderation,
}

impl Scope {
    pub const ALL: &[Scope] = &[
        Scope::Messages,
        Scope::Groups,
        Scope::Read,
        Scope::Sessions,
        Scope::Presence,
        Scope::Users,
        Scope::Moderation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Messages => "messages",
            Scope::Groups => "groups",
            Scope::Read => "read",
            Scope::Sessions => "sessions",
            Scope::Presence => "presence",
            Scope::Users => "users",
            Scope::Moderation => "moderation",
        }
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOperation {
    /// The acting user's command of this name.
    Command(&'static str),
    /// Lists the user's connections.
    Sessions,
    /// Closes the user's connections.
    Kick,
    /// Returns which of some users are online.
    Presence,
    /// Creates an account.
    CreateUser,
    /// Changes an account.
    UpdateUser,
    /// Returns what is stored about the user.
    Export,
    /// Lists open reports of messages.
    Reports,
    /// Closes a report.
    CloseReport,
}

#[derive(Clone, Copy, Debug)]
pub struct ServerEndpoint {
    pub method: Method,
    /// The path after [`PREFIX`]; parameters are in braces.
    pub path: &'static str,
    pub scope: Scope,
    pub operation: ServerOperation,
    pub summary: &'static str,
}

impl ServerEndpoint {
    /// The name of its calls in the audit log.
    pub fn action(&self) -> &'static str {
        match self.operation {
            ServerOperation::Command(name) => name,
            ServerOperation::Sessions => "sessions",
            ServerOperation::Kick => "kick",
            ServerOperation::Presence => "presence",
            ServerOperation::CreateUser => "create_user",
            ServerOperation::UpdateUser => "update_user",
            ServerOperation::Export => "export",
            ServerOperation::Reports => "reports",
            ServerOperation::CloseReport => "report_close",
        }
    }

    /// True if it changes nothing.
    pub fn is_read(&self) -> bool {
        self.method == Method::Get || self.operation == ServerOperation::Presence
    }

    /// True if its messages may be system messages.
    pub fn takes_kind(&self) -> bool {
        matches!(self.operation, ServerOperation::Command("send_private_message" | "send_group_message"))
    }

    /// The contract of its command.
    pub fn spec(&self) -> Option<&'static Spec> {
        let ServerOperation::Command(name) = self.operation else { return None };
        SPECS.iter().find(|spec| spec.name == name)
    }

    /// The names of the parameters in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(parameter)
    }

    /// The fields that it takes in the body or the query.
    pub fn fields(&self) -> Vec<Field> {
        let own = match self.operation {
            ServerOperation::Command(_) => self.spec().map_or(&[][..], |spec| spec.fields),
            ServerOperation::Sessions | ServerOperation::Kick => &[],
            ServerOperation::Presence => PRESENCE,
            ServerOperation::CreateUser => USER,
            ServerOperation::UpdateUser => USER_CHANGES,
            ServerOperation::Export => EXPORT,
            ServerOperation::Reports => REPORTS,
            ServerOperation::CloseReport => REPORT_CHANGES,
        };
        let is_in_path = |field: &Field| self.parameters().any(|name| field_of(name) == Some(field.name));
        let kind = self.takes_kind().then_some(&KIND);
        own.iter().filter(|field| !is_in_path(field)).chain(kind).copied().collect()
    }
}

/// The value of the field `kind` for a system message.
pub const SYSTEM: &str = "system";
/// The value of the field `kind` for a user's message.
pub const TEXT: &str = "text";

const KIND: Field = Field::default(
    "kind",
    Kind::Choice(&[TEXT, SYSTEM]),
    "\"text\"",
    "`system`: the message comes from the product, not from the user, and is shown without a sender. The user cannot edit it.",
);

const PRESENCE: &[Field] =
    &[Field::required("userIds", Kind::UserIds { most: MAX_PRESENCES }, "The users to look up.")];
const EXPORT: &[Field] = &[Field::optional("cursor", Kind::Cursor, "`nextCursor` of the previous answer.")];
const REPORTS: &[Field] = &[LIMIT, Field::optional("cursor", Kind::Cursor, "`nextCursor` of the previous answer.")];
const REPORT_CHANGES: &[Field] = &[Field::required(
    "state",
    Kind::Choice(ReportState::NAMES),
    "`resolved` if the report was justified, `dismissed` if not.",
)];
const DISPLAY_NAME: Kind = Kind::Text { min: 1, max: crate::limits::MAX_DISPLAY_NAME_CHARACTERS };
const USER_CHANGES: &[Field] = &[
    Field::optional("displayName", DISPLAY_NAME, "The new display name."),
    Field::optional(
        "isActive",
        Kind::Boolean,
        "`false` deactivates the account: its connections are closed, and it cannot sign in until this is `true` again.",
    ),
];
const USER: &[Field] = &[
    Field::required(
        "username",
        Kind::Username { min: crate::limits::MIN_USERNAME_CHARACTERS, max: crate::limits::MAX_USERNAME_CHARACTERS },
        "Letters, digits, `_`, `.` and `-`; not `everyone` or `all`; must not be taken in any letter case.",
    ),
    Field::optional("displayName", DISPLAY_NAME, "The username by default."),
];

/// The command's field that corresponds to a path parameter; `None` for the acting user.
pub fn field_of(parameter: &'static str) -> Option<&'static str> {
    match parameter {
        ACTING_USER => None,
        "memberId" | "blockedId" => Some("userId"),
        name => Some(name),
    }
}

fn parameter(segment: &'static str) -> Option<&'static str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// The result of looking up a path.
#[derive(Debug)]
pub enum ServerMatch<'a> {
    /// With the path's parameters as they were sent.
    Endpoint(&'static ServerEndpoint, Vec<(&'static str, &'a str)>),
    /// The path exists for other methods.
    OtherMethods(Vec<Method>),
    Nothing,
}

/// Finds the endpoint of a path after [`PREFIX`].
pub fn find<'a>(method: &str, path: &'a str) -> ServerMatch<'a> {
    let mut methods = Vec::new();
    for endpoint in ENDPOINTS {
        let Some(parameters) = matched(endpoint.path, path) else { continue };
        if endpoint.method.as_str() == method {
            return ServerMatch::Endpoint(endpoint, parameters);
        }
        methods.push(endpoint.method);
    }
    if methods.is_empty() { ServerMatch::Nothing } else { ServerMatch::OtherMethods(methods) }
}

fn matched<'a>(template: &'static str, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    let mut parameters = Vec::new();
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(expected), Some(given)) => match parameter(expected) {
                Some(name) if !given.is_empty() => parameters.push((name, given)),
                Some(_) => return None,
                None if expected == given => {}
                None => return None,
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_a_command_that_takes_what_its_path_says() {
        for endpoint in ENDPOINTS {
            if let ServerOperation::Command(name) = endpoint.operation {
                let spec = endpoint.spec().unwrap_or_else(|| panic!("{name} is not a command"));
                for field in endpoint.parameters().filter_map(field_of) {
                    assert!(spec.fields.iter().any(|known| known.name == field), "{name} takes no {field}");
                }
                assert!(!spec.replies.is_empty(), "{name} has no answer");
            }
            let same = |other: &&ServerEndpoint| (other.method, other.path) == (endpoint.method, endpoint.path);
            assert_eq!(ENDPOINTS.iter().filter(same).count(), 1, "{}", endpoint.path);
        }
    }

    #[test]
    fn paths_are_matched_as_a_whole() {
        let member = find("DELETE", "/users/1/groups/group_x/members/2");
        let ServerMatch::Endpoint(endpoint, parameters) = member else { panic!("{member:?}") };
        assert_eq!(endpoint.operation, ServerOperation::Command("remove_group_member"));
        assert_eq!(parameters, [("userId", "1"), ("groupId", "group_x"), ("memberId", "2")]);
        assert!(
            matches!(find("PUT", "/users/1/inbox"), ServerMatch::OtherMethods(methods) if methods == [Method::Get])
        );
        for path in ["", "/", "/users/", "/users//inbox", "/users/1/inbox/", "/users/1/groups/x/members/2/admin/3"] {
            assert!(matches!(find("GET", path), ServerMatch::Nothing), "{path}");
        }
    }
}
