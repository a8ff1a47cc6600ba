//! The HTTP endpoints outside the server API. Each is declared once, here: the gateway uses this list for routing,
//! authentication and body bounds, and the documents are generated from it.

use crate::limits::{
    MAX_ACCOUNT_BODY_BYTES, MAX_COMMUNITY_DESCRIPTION_CHARACTERS, MAX_COMMUNITY_MEMBERS, MAX_COMMUNITY_NAME_CHARACTERS,
    MAX_DISPLAY_NAME_CHARACTERS, MAX_EMAIL_CHARACTERS, MAX_FOREIGN_ID_CHARACTERS, MAX_PASSWORD_CHARACTERS,
    MAX_PICTURES, MAX_PICTURES_BODY_BYTES, MAX_URL_CHARACTERS, MAX_USERNAME_CHARACTERS, MAX_XP,
    MIN_PASSWORD_CHARACTERS, MIN_USERNAME_CHARACTERS,
};
use crate::protocol::spec::{Field, Kind, LIMIT, OFFSET};
pub use crate::server_api::Method;

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    Anybody,
    /// A user's token.
    User,
    /// `COMMUNITY_SYNC_TOKEN`.
    MainBackend,
}

/// The setting that turns an endpoint on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    Nothing,
    BuiltinAuth,
    CommunitySyncToken,
}

/// How large a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxBody {
    /// No body is read.
    Nothing,
    Bytes(usize),
    /// The setting `COMMUNITY_SYNC_MAX_PAYLOAD`.
    CommunitySync,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Health,
    Ready,
    Live,
    Metrics,
    Conversations,
    ProfilePictures,
    CommunityProgression,
    Register,
    Login,
    Logout,
}

impl Operation {
    /// True for the endpoints that report a server's state to operators: available on gateways and workers, not counted
    /// against an address, and also on `ADMIN_ADDR`.
    pub fn is_for_operators(self) -> bool {
        matches!(self, Operation::Health | Operation::Ready | Operation::Live | Operation::Metrics)
    }
}

#[derive(Debug)]
pub struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub operation: Operation,
    pub auth: Auth,
    pub requires: Requires,
    pub max_body: MaxBody,
    pub summary: &'static str,
    pub query: &'static [Field],
    pub body: &'static [Field],
    /// Error statuses that do not follow from the rest, with their meaning here.
    pub own_refusals: &'static [(u16, &'static str)],
    /// An example of the body.
    pub example: Option<&'static str>,
    /// An example of a JSON answer with status 200.
    pub answered: &'static str,
}

impl Endpoint {
    /// Error statuses in ascending order, with their meaning here.
    pub fn refusals(&self) -> Vec<(u16, &'static str)> {
        if self.operation.is_for_operators() {
            return Vec::new();
        }
        let mut refusals = self.own_refusals.to_vec();
        if !self.body.is_empty() {
            refusals.push((400, "`VALIDATION_ERROR` or `INVALID_JSON`."));
        } else if !self.query.is_empty() {
            refusals.push((400, "`VALIDATION_ERROR`."));
        }
        match self.auth {
            Auth::Anybody => {}
            Auth::User => refusals.push((
                401,
                "`TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, or `AUTH_FAILED` for a revoked token or one whose user does not exist.",
            )),
            Auth::MainBackend => refusals.push((401, "`TOKEN_MISSING` or `TOKEN_INVALID`.")),
        }
        if self.requires != Requires::Nothing {
            refusals.push((404, "The setting is missing."));
        }
        match self.max_body {
            MaxBody::Nothing => {}
            MaxBody::Bytes(_) => refusals.push((413, "`PAYLOAD_TOO_LARGE`: the body is too large.")),
            MaxBody::CommunitySync => {
                refusals.push((413, "`PAYLOAD_TOO_LARGE`: over 256 KiB (`COMMUNITY_SYNC_MAX_PAYLOAD`)."));
            }
        }
        refusals.push((429, "Too many requests from the address; `Retry-After` says when to try again."));
        refusals.push((503, "Temporarily unavailable; `Retry-After` says when to try again."));
        refusals.sort_unstable_by_key(|(status, _)| *status);
        refusals
    }
}

/// The result of looking up a path.
#[derive(Debug)]
pub enum EndpointMatch {
    Endpoint(&'static Endpoint),
    /// The path exists, but takes another method.
    OtherMethods(&'static Endpoint),
    Nothing,
}

/// Finds the endpoint of a whole path, which may end with a slash.
pub fn find(method: &str, path: &str) -> EndpointMatch {
    let path = path.strip_suffix('/').unwrap_or(path);
    let of_path = || ENDPOINTS.iter().filter(|endpoint| endpoint.path == path);
    match (of_path().find(|endpoint| endpoint.method.as_str() == method), of_path().next()) {
        (Some(endpoint), _) => EndpointMatch::Endpoint(endpoint),
        (None, Some(other)) => EndpointMatch::OtherMethods(other),
        (None, None) => EndpointMatch::Nothing,
    }
}

const FOREIGN_ID: Kind = Kind::ForeignId(MAX_FOREIGN_ID_CHARACTERS);
const SHORT_TEXT: Kind = Kind::Text { min: 0, max: MAX_FOREIGN_ID_CHARACTERS };
const XP: Kind = Kind::Integer { min: 0, max: MAX_XP };
const STREAK: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };

const COMMUNITY: &[Field] = &[
    Field::required("communityId", FOREIGN_ID, "The main backend's id of the community."),
    Field::required(
        "name",
        Kind::Words { max: MAX_COMMUNITY_NAME_CHARACTERS },
        "The name of the community and of its group.",
    ),
    Field::optional(
        "description",
        Kind::Text { min: 0, max: MAX_COMMUNITY_DESCRIPTION_CHARACTERS },
        "Unchanged if absent.",
    ),
    Field::optional("avatarUrl", Kind::Text { min: 0, max: MAX_URL_CHARACTERS }, "Unchanged if absent."),
    Field::optional(
        "defaultGroupId",
        Kind::ForeignId(255),
        "The id of an existing group, or any name used by another server; if absent, a group is created.",
    ),
    Field::optional("isActive", Kind::Boolean, "Unchanged if absent."),
];
const MEMBER: &[Field] = &[
    Field::required("userId", Kind::UserId, "Unknown users are skipped and listed."),
    Field::default("role", Kind::Choice(&["owner", "admin", "member"]), "\"member\"", "In any letter case."),
    Field::optional("isMuted", Kind::Boolean, "Whether the member mutes the community; unchanged if absent."),
];
const EVENT: &[Field] = &[
    Field::required("eventId", FOREIGN_ID, "A repetition changes nothing."),
    Field::required("userId", Kind::UserId, "The user who completed it; becomes a member."),
    Field::optional("communityId", FOREIGN_ID, "Only read without `community`."),
    Field::optional("challengeId", FOREIGN_ID, "The challenge."),
    Field::optional("challengeType", SHORT_TEXT, "Its type."),
    Field::default("xpAwarded", XP, "0", "Added to the total if there is no `progress`."),
    Field::optional("occurredAt", Kind::Time, "The current time if absent."),
    Field::optional("payload", Kind::AnyJson, "Passed on unchanged."),
];
const PROGRESS: &[Field] = &[
    Field::optional("communityId", FOREIGN_ID, "Only read without `community`."),
    Field::optional("userId", Kind::UserId, "The event's user by default; required without an event."),
    Field::optional("totalXp", XP, "Unchanged if absent."),
    Field::optional("dailyStreak", STREAK, "Unchanged if absent."),
    Field::optional("weeklyStreak", STREAK, "Unchanged if absent."),
    Field::optional("lastChallengeId", FOREIGN_ID, "If absent, taken from the event, or unchanged."),
    Field::optional("lastChallengeType", SHORT_TEXT, "If absent, taken from the event, or unchanged."),
    Field::optional("lastCompletedAt", Kind::Time, "If absent, taken from the event, or unchanged."),
];
const PICTURE: &[Field] = &[
    Field::required("type", Kind::Choice(&["user", "community"]), "The kind of id."),
    Field::required("id", FOREIGN_ID, "The id of a user or a community."),
];
const PASSWORD: Field = Field::required(
    "password",
    Kind::Text { min: MIN_PASSWORD_CHARACTERS, max: MAX_PASSWORD_CHARACTERS },
    "Stored as an Argon2id hash.",
);
const EMAIL: Field = Field::optional("email", Kind::Email { max: MAX_EMAIL_CHARACTERS }, "Must not be taken.");

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: Method::Get,
        path: "/health",
        operation: Operation::Health,
        auth: Auth::Anybody,
        requires: Requires::Nothing,
        max_body: MaxBody::Nothing,
        summary: "Reports the state of the server in numbers. On gateways and workers.",
        query: &[],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"status": "healthy", "timestamp": "2026-03-01T09:15:02.481Z", "uptime": 86400.5, "version": "0.2.0", "connections": {"active": 812, "peak": 1204, "limit": 50000}, "memory": {"rss": 41943040}, "database": {"connected": true, "poolSize": 10, "idleConnections": 8, "responseTime": 0.4}, "redis": {"connected": true, "responseTime": 0.2}, "fleet": {"gateways": 2, "workers": 2}, "metrics": {"messagesSent": 90210, "messagesReceived": 45105, "errors": 3, "averageResponseTime": 4.2}}"#,
    },
    Endpoint {
        method: Method::Get,
        path: "/ready",
        operation: Operation::Ready,
        auth: Auth::Anybody,
        requires: Requires::Nothing,
        max_body: MaxBody::Nothing,
        summary: "Reports whether the server accepts traffic; it does not while it drains. On gateways and workers.",
        query: &[],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"ready": true, "components": {"redis": true, "workers": true, "draining": false}, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: Method::Get,
        path: "/live",
        operation: Operation::Live,
        auth: Auth::Anybody,
        requires: Requires::Nothing,
        max_body: MaxBody::Nothing,
        summary: "Reports that the process is running, regardless of anything else. On gateways and workers.",
        query: &[],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"alive": true, "uptime": 86400.5, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: Method::Get,
        path: "/metrics",
        operation: Operation::Metrics,
        auth: Auth::Anybody,
        requires: Requires::Nothing,
        max_body: MaxBody::Nothing,
        summary: "Prometheus text; with `Accept: application/json` the original server's numbers. On gateways and workers.",
        query: &[],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"connections": 812, "messagesSent": 90210, "messagesReceived": 45105, "errors": 3, "startTime": 1772356502481, "activeUsers": 640, "peakConcurrentUsers": 1204, "averageResponseTime": 4.2, "totalDataTransferred": 73400320, "rateLimitHits": 7}"#,
    },
    Endpoint {
        method: Method::Get,
        path: "/api/conversations",
        operation: Operation::Conversations,
        auth: Auth::User,
        requires: Requires::Nothing,
        max_body: MaxBody::Nothing,
        summary: "Returns the caller's direct conversations, as `get_conversations` lists them.",
        query: &[LIMIT, OFFSET],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"status": "ok", "conversations": [{"conversationId": "conv_17_42", "participant": {"userId": "42", "username": "bob", "displayName": "Bob"}, "lastMessage": {"id": "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b", "content": "Are you coming on Thursday?", "senderId": "17", "timestamp": "2026-03-01T09:15:02.481Z"}, "unreadCount": 0}], "pagination": {"limit": 50, "offset": 0, "count": 1, "hasMore": false}, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: Method::Post,
        path: "/api/profile-pictures/batch",
        operation: Operation::ProfilePictures,
        auth: Auth::User,
        requires: Requires::Nothing,
        max_body: MaxBody::Bytes(MAX_PICTURES_BODY_BYTES),
        summary: "Returns the URLs of the pictures of up to 50 users and communities. The answer is cached for `PFP_CACHE_DURATION_MS` (5 minutes by default).",
        query: &[],
        body: &[Field::required(
            "items",
            Kind::List { of: &Kind::Object(PICTURE), most: MAX_PICTURES },
            "The answer has the same order.",
        )],
        own_refusals: &[],
        example: Some(r#"{"items": [{"type": "user", "id": "42"}, {"type": "community", "id": "c-7"}]}"#),
        answered: r#"{"status": "ok", "items": [{"type": "user", "id": "42", "hasPicture": true, "default": false, "url": "https://example.org/bob.png"}, {"type": "community", "id": "c-7", "hasPicture": false, "default": true}]}"#,
    },
    Endpoint {
        method: Method::Post,
        path: "/community/progression",
        operation: Operation::CommunityProgression,
        auth: Auth::MainBackend,
        requires: Requires::CommunitySyncToken,
        max_body: MaxBody::CommunitySync,
        summary: "Called by the main backend to report a community, its members, and what a member achieved. One \
                  transaction, idempotent by `eventId`; members online get `community_progress_update`. Requires \
                  `COMMUNITY_SYNC_TOKEN`; otherwise 404.",
        query: &[],
        body: &[
            Field::optional(
                "community",
                Kind::Object(COMMUNITY),
                "The community; without it, `event` or `progress` must contain `communityId`.",
            ),
            Field::optional(
                "members",
                Kind::List { of: &Kind::Object(MEMBER), most: MAX_COMMUNITY_MEMBERS },
                "Members to add, or whose role to change.",
            ),
            Field::default(
                "membersComplete",
                Kind::Boolean,
                "false",
                "`members` is the complete list: others are removed; from the group within seconds if they are many.",
            ),
            Field::optional("event", Kind::Object(EVENT), "A challenge that a member completed."),
            Field::optional("progress", Kind::Object(PROGRESS), "That member's current progress."),
        ],
        own_refusals: &[],
        example: Some(
            r#"{"community": {"communityId": "c-7", "name": "Runners"}, "members": [{"userId": 17, "role": "owner"}, {"userId": 42}], "event": {"eventId": "ev-1", "userId": 17, "challengeId": "ch-12", "challengeType": "daily", "xpAwarded": 20}}"#,
        ),
        answered: r#"{"status": "ok", "communityId": "c-7", "defaultGroupId": "group_0195a4c2-7f6e-7c31-9d5b-3f2a8e61c0b4", "event": {"eventId": "ev-1", "userId": "17", "challengeId": "ch-12", "challengeType": "daily", "xpAwarded": 20, "occurredAt": "2026-03-01T09:15:02.481Z", "payload": null}, "progress": {"communityId": "c-7", "userId": "17", "totalXp": 120, "dailyStreak": 3, "weeklyStreak": 1, "lastChallengeId": "ch-12", "lastChallengeType": "daily", "lastCompletedAt": "2026-03-01T09:15:02.481Z"}, "broadcast": {"delivered": 2}}"#,
    },
    Endpoint {
        method: Method::Post,
        path: "/api/auth/register",
        operation: Operation::Register,
        auth: Auth::Anybody,
        requires: Requires::BuiltinAuth,
        max_body: MaxBody::Bytes(MAX_ACCOUNT_BODY_BYTES),
        summary: "Creates an account and signs in. Requires `BUILTIN_AUTH=true`; otherwise 404.",
        query: &[],
        body: &[
            Field::required(
                "username",
                Kind::Username { min: MIN_USERNAME_CHARACTERS, max: MAX_USERNAME_CHARACTERS },
                "Letters, digits, `_`, `.` and `-`; not `everyone` or `all`; must not be taken in any letter case.",
            ),
            EMAIL,
            PASSWORD,
            Field::optional(
                "displayName",
                Kind::Text { min: 1, max: MAX_DISPLAY_NAME_CHARACTERS },
                "The username by default.",
            ),
        ],
        own_refusals: &[(409, "`VALIDATION_ERROR`: the username or the e-mail is taken.")],
        example: Some(r#"{"username": "alice", "email": "alice@example.org", "password": "correct horse battery"}"#),
        answered: r#"{"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxNyJ9.c2ln", "user": {"id": "17", "userId": "17", "username": "alice", "email": "alice@example.org", "displayName": "alice", "profileImage": null, "bio": null}}"#,
    },
    Endpoint {
        method: Method::Post,
        path: "/api/auth/login",
        operation: Operation::Login,
        auth: Auth::Anybody,
        requires: Requires::BuiltinAuth,
        max_body: MaxBody::Bytes(MAX_ACCOUNT_BODY_BYTES),
        summary: "Signs in. Within 15 minutes, at most 10 attempts for an account from one address, 50 from an address, \
                  and 100 for an account from addresses that it has not used before. Requires `BUILTIN_AUTH=true`; \
                  otherwise 404.",
        query: &[],
        body: &[
            Field::required("username", Kind::Text { min: 1, max: MAX_EMAIL_CHARACTERS }, "As it was registered."),
            Field::required("password", Kind::Text { min: 1, max: MAX_PASSWORD_CHARACTERS }, "The password."),
        ],
        own_refusals: &[(401, "`AUTH_FAILED`.")],
        example: Some(r#"{"username": "alice", "password": "correct horse battery"}"#),
        answered: r#"{"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxNyJ9.c2ln", "user": {"id": "17", "userId": "17", "username": "alice", "email": "alice@example.org", "displayName": "alice", "profileImage": null, "bio": null}}"#,
    },
    Endpoint {
        method: Method::Post,
        path: "/api/auth/logout",
        operation: Operation::Logout,
        auth: Auth::User,
        requires: Requires::BuiltinAuth,
        max_body: MaxBody::Nothing,
        summary: "Revokes the token; its connections are closed with 1008 within 5 s. Requires `BUILTIN_AUTH=true`; \
                  otherwise 404.",
        query: &[],
        body: &[],
        own_refusals: &[],
        example: None,
        answered: r#"{"status": "ok"}"#,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_with_their_methods_are_found() {
        for endpoint in ENDPOINTS {
            let same = |other: &&Endpoint| (other.method, other.path) == (endpoint.method, endpoint.path);
            assert_eq!(ENDPOINTS.iter().filter(same).count(), 1, "{}", endpoint.path);
            assert_eq!(endpoint.max_body == MaxBody::Nothing, endpoint.body.is_empty(), "{}", endpoint.path);
            let found = find(endpoint.method.as_str(), endpoint.path);
            assert!(
                matches!(found, EndpointMatch::Endpoint(found) if found.operation == endpoint.operation),
                "{found:?}"
            );
            assert!(matches!(find("PATCH", endpoint.path), EndpointMatch::OtherMethods(_)), "{}", endpoint.path);
            assert!(matches!(
                find(endpoint.method.as_str(), &format!("{}/", endpoint.path)),
                EndpointMatch::Endpoint(_)
            ));
            assert!(matches!(find(endpoint.method.as_str(), &format!("{}/x", endpoint.path)), EndpointMatch::Nothing));
        }
        assert!(matches!(find("GET", "/"), EndpointMatch::Nothing));
    }
}
