//! The HTTP endpoints: who may ask, with what, and what is answered.

use schemars::generate::SchemaGenerator;
use serde_json::{Value, json};
use shared::http::{CommunitySynced, ConversationList, Done, Health, Live, OriginalMetrics, Pictures, Ready, SignedIn};
use shared::limits::{
    MAX_COMMUNITY_DESCRIPTION_CHARACTERS, MAX_COMMUNITY_MEMBERS, MAX_COMMUNITY_NAME_CHARACTERS,
    MAX_DISPLAY_NAME_CHARACTERS, MAX_EMAIL_CHARACTERS, MAX_FOREIGN_ID_CHARACTERS, MAX_PASSWORD_CHARACTERS,
    MAX_PICTURES, MAX_URL_CHARACTERS, MAX_USERNAME_CHARACTERS, MAX_XP, MIN_PASSWORD_CHARACTERS,
    MIN_USERNAME_CHARACTERS,
};
use shared::protocol::spec::{Field, Kind, LIMIT, OFFSET};

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    Anybody,
    /// A user's token.
    User,
    /// `COMMUNITY_SYNC_TOKEN`.
    MainBackend,
}

pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
    pub auth: Auth,
    pub summary: &'static str,
    pub query: &'static [Field],
    pub body: &'static [Field],
    /// The schema of a 200, under a content type.
    pub answer: fn(&mut SchemaGenerator) -> Value,
    /// Whether 503 carries the same body.
    pub same_when_unavailable: bool,
    /// Statuses of refusals, with what they mean here.
    pub refusals: &'static [(u16, &'static str)],
    /// An example of the body.
    pub example: Option<&'static str>,
    /// An example of a 200 that is JSON.
    pub answered: &'static str,
}

const LIMITED: (u16, &str) = (429, "Too many requests from the address; `Retry-After` says when to try again.");
const UNAVAILABLE: (u16, &str) = (503, "Temporarily unavailable; `Retry-After` says when to try again.");
const INVALID: (u16, &str) = (400, "`VALIDATION_ERROR` or `INVALID_JSON`.");
const UNAUTHORISED: (u16, &str) = (
    401,
    "`TOKEN_MISSING`, `TOKEN_INVALID`, `TOKEN_EXPIRED`, or `AUTH_FAILED` for a revoked token or one whose user does not exist.",
);
const TOO_LARGE: (u16, &str) = (413, "`PAYLOAD_TOO_LARGE`: the body is too large.");

const FOREIGN_ID: Kind = Kind::ForeignId(MAX_FOREIGN_ID_CHARACTERS);
const SHORT_TEXT: Kind = Kind::Text { min: 0, max: MAX_FOREIGN_ID_CHARACTERS };
const XP: Kind = Kind::Integer { min: 0, max: MAX_XP };
const STREAK: Kind = Kind::Integer { min: 0, max: i32::MAX as i64 };

const COMMUNITY: &[Field] = &[
    Field::required("communityId", FOREIGN_ID, "The main backend's."),
    Field::required("name", Kind::Words { max: MAX_COMMUNITY_NAME_CHARACTERS }, "Also the group's."),
    Field::optional(
        "description",
        Kind::Text { min: 0, max: MAX_COMMUNITY_DESCRIPTION_CHARACTERS },
        "Absent, it stays.",
    ),
    Field::optional("avatarUrl", Kind::Text { min: 0, max: MAX_URL_CHARACTERS }, "Absent, it stays."),
    Field::optional(
        "defaultGroupId",
        Kind::ForeignId(255),
        "That of an existing group, or any name of another server's; absent, one is made.",
    ),
    Field::optional("isActive", Kind::Boolean, "Absent, it stays."),
];
const MEMBER: &[Field] = &[
    Field::required("userId", Kind::UserId, "Unknown users are skipped and listed."),
    Field::default("role", Kind::Choice(&["owner", "admin", "member"]), "\"member\"", "In any letter case."),
    Field::optional("isMuted", Kind::Boolean, "Whether the member mutes the community; absent, it stays."),
];
const EVENT: &[Field] = &[
    Field::required("eventId", FOREIGN_ID, "A repetition changes nothing again."),
    Field::required("userId", Kind::UserId, "Whose event it is; becomes a member."),
    Field::optional("communityId", FOREIGN_ID, "Only read where there is no `community`."),
    Field::optional("challengeId", FOREIGN_ID, "The challenge."),
    Field::optional("challengeType", SHORT_TEXT, "Its type."),
    Field::default("xpAwarded", XP, "0", "Added to the total when there is no `progress`."),
    Field::optional("occurredAt", Kind::Time, "Absent, it is now."),
    Field::optional("payload", Kind::AnyJson, "Passed on as it is."),
];
const PROGRESS: &[Field] = &[
    Field::optional("communityId", FOREIGN_ID, "Only read where there is no `community`."),
    Field::optional("userId", Kind::UserId, "The event's when there is one; else required."),
    Field::optional("totalXp", XP, "Absent, it stays."),
    Field::optional("dailyStreak", STREAK, "Absent, it stays."),
    Field::optional("weeklyStreak", STREAK, "Absent, it stays."),
    Field::optional("lastChallengeId", FOREIGN_ID, "Absent, the event's, or it stays."),
    Field::optional("lastChallengeType", SHORT_TEXT, "Absent, the event's, or it stays."),
    Field::optional("lastCompletedAt", Kind::Time, "Absent, the event's, or it stays."),
];
const PICTURE: &[Field] = &[
    Field::required("type", Kind::Choice(&["user", "community"]), "What the id is of."),
    Field::required("id", FOREIGN_ID, "A user's or a community's."),
];
const PASSWORD: Field = Field::required(
    "password",
    Kind::Text { min: MIN_PASSWORD_CHARACTERS, max: MAX_PASSWORD_CHARACTERS },
    "Stored by Argon2id.",
);
const EMAIL: Field = Field::optional("email", Kind::Email { max: MAX_EMAIL_CHARACTERS }, "Free as yet.");

fn json_answer(schema: Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "get",
        path: "/health",
        auth: Auth::Anybody,
        summary: "How the server is, with numbers. On gateways and workers.",
        query: &[],
        body: &[],
        answer: |generator| json_answer(crate::schema::inline::<Health>(generator)),
        same_when_unavailable: true,
        refusals: &[],
        example: None,
        answered: r#"{"status": "healthy", "timestamp": "2026-03-01T09:15:02.481Z", "uptime": 86400.5, "version": "0.1.0", "connections": {"active": 812, "peak": 1204, "limit": 50000}, "memory": {"rss": 41943040}, "database": {"connected": true, "poolSize": 10, "idleConnections": 8, "responseTime": 0.4}, "redis": {"connected": true, "responseTime": 0.2}, "fleet": {"gateways": 2, "workers": 2}, "metrics": {"messagesSent": 90210, "messagesReceived": 45105, "errors": 3, "averageResponseTime": 4.2}}"#,
    },
    Endpoint {
        method: "get",
        path: "/ready",
        auth: Auth::Anybody,
        summary: "Whether the server wants traffic; not while it drains. On gateways and workers.",
        query: &[],
        body: &[],
        answer: |generator| json_answer(crate::schema::inline::<Ready>(generator)),
        same_when_unavailable: true,
        refusals: &[],
        example: None,
        answered: r#"{"ready": true, "components": {"redis": true, "workers": true, "draining": false}, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: "get",
        path: "/live",
        auth: Auth::Anybody,
        summary: "That the process runs; depends on nothing else. On gateways and workers.",
        query: &[],
        body: &[],
        answer: |generator| json_answer(crate::schema::inline::<Live>(generator)),
        same_when_unavailable: false,
        refusals: &[],
        example: None,
        answered: r#"{"alive": true, "uptime": 86400.5, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: "get",
        path: "/metrics",
        auth: Auth::Anybody,
        summary: "Prometheus text; with `Accept: application/json` the original server's numbers. On gateways and workers.",
        query: &[],
        body: &[],
        answer: |generator| {
            let mut content = json_answer(crate::schema::inline::<OriginalMetrics>(generator));
            content["text/plain"] = json!({"schema": {"type": "string"}});
            content
        },
        same_when_unavailable: false,
        refusals: &[],
        example: None,
        answered: r#"{"connections": 812, "messagesSent": 90210, "messagesReceived": 45105, "errors": 3, "startTime": 1772356502481, "activeUsers": 640, "peakConcurrentUsers": 1204, "averageResponseTime": 4.2, "totalDataTransferred": 73400320, "rateLimitHits": 7}"#,
    },
    Endpoint {
        method: "get",
        path: "/api/conversations",
        auth: Auth::User,
        summary: "One's direct conversations, as `get_conversations` lists them.",
        query: &[LIMIT, OFFSET],
        body: &[],
        answer: |generator| json_answer(crate::schema::inline::<ConversationList>(generator)),
        same_when_unavailable: false,
        refusals: &[(400, "`VALIDATION_ERROR`."), UNAUTHORISED, LIMITED, UNAVAILABLE],
        example: None,
        answered: r#"{"status": "ok", "conversations": [{"conversationId": "conv_17_42", "participant": {"userId": "42", "username": "bob", "displayName": "Bob"}, "lastMessage": {"id": "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b", "content": "Are you coming on Thursday?", "senderId": "17", "timestamp": "2026-03-01T09:15:02.481Z"}, "unreadCount": 0}], "pagination": {"limit": 50, "offset": 0, "count": 1}, "timestamp": "2026-03-01T09:15:02.481Z"}"#,
    },
    Endpoint {
        method: "post",
        path: "/api/profile-pictures/batch",
        auth: Auth::User,
        summary: "Returns the addresses of the pictures of up to 50 users and communities. The answer is cached for `PFP_CACHE_DURATION_MS` (5 minutes by default).",
        query: &[],
        body: &[Field::required(
            "items",
            Kind::List { of: &Kind::Object(PICTURE), most: MAX_PICTURES },
            "Answered in this order.",
        )],
        answer: |generator| json_answer(crate::schema::inline::<Pictures>(generator)),
        same_when_unavailable: false,
        refusals: &[INVALID, UNAUTHORISED, TOO_LARGE, LIMITED, UNAVAILABLE],
        example: Some(r#"{"items": [{"type": "user", "id": "42"}, {"type": "community", "id": "c-7"}]}"#),
        answered: r#"{"status": "ok", "items": [{"type": "user", "id": "42", "hasPicture": true, "default": false, "url": "https://example.org/bob.png"}, {"type": "community", "id": "c-7", "hasPicture": false, "default": true}]}"#,
    },
    Endpoint {
        method: "post",
        path: "/community/progression",
        auth: Auth::MainBackend,
        summary: "The main backend tells of a community, its members, and what one of them achieved. One transaction, \
                  idempotent by `eventId`; members online get `community_progress_update`. Only with \
                  `COMMUNITY_SYNC_TOKEN` set; else 404.",
        query: &[],
        body: &[
            Field::optional(
                "community",
                Kind::Object(COMMUNITY),
                "The community; without it `event` or `progress` has its `communityId`.",
            ),
            Field::optional(
                "members",
                Kind::List { of: &Kind::Object(MEMBER), most: MAX_COMMUNITY_MEMBERS },
                "Added, or given another role.",
            ),
            Field::default(
                "membersComplete",
                Kind::Boolean,
                "false",
                "`members` is the whole list: others are removed.",
            ),
            Field::optional("event", Kind::Object(EVENT), "A challenge that a member completed."),
            Field::optional("progress", Kind::Object(PROGRESS), "Where that member stands now."),
        ],
        answer: |generator| json_answer(crate::schema::inline::<CommunitySynced>(generator)),
        same_when_unavailable: false,
        refusals: &[
            INVALID,
            (401, "`TOKEN_MISSING` or `TOKEN_INVALID`."),
            (404, "The setting is not set."),
            (413, "`PAYLOAD_TOO_LARGE`: over 256 KiB (`COMMUNITY_SYNC_MAX_PAYLOAD`)."),
            LIMITED,
            UNAVAILABLE,
        ],
        example: Some(
            r#"{"community": {"communityId": "c-7", "name": "Runners"}, "members": [{"userId": 17, "role": "owner"}, {"userId": 42}], "event": {"eventId": "ev-1", "userId": 17, "challengeId": "ch-12", "challengeType": "daily", "xpAwarded": 20}}"#,
        ),
        answered: r#"{"status": "ok", "communityId": "c-7", "defaultGroupId": "group_0195a4c2-7f6e-7c31-9d5b-3f2a8e61c0b4", "event": {"eventId": "ev-1", "userId": "17", "challengeId": "ch-12", "challengeType": "daily", "xpAwarded": 20, "occurredAt": "2026-03-01T09:15:02.481Z", "payload": null}, "progress": {"communityId": "c-7", "userId": "17", "totalXp": 120, "dailyStreak": 3, "weeklyStreak": 1, "lastChallengeId": "ch-12", "lastChallengeType": "daily", "lastCompletedAt": "2026-03-01T09:15:02.481Z"}, "broadcast": {"delivered": 2}}"#,
    },
    Endpoint {
        method: "post",
        path: "/api/auth/register",
        auth: Auth::Anybody,
        summary: "Makes an account and signs in. Only with `BUILTIN_AUTH=true`; else 404.",
        query: &[],
        body: &[
            Field::required(
                "username",
                Kind::Username { min: MIN_USERNAME_CHARACTERS, max: MAX_USERNAME_CHARACTERS },
                "Letters, digits, `_`, `.` and `-`; not `everyone` or `all`; free as yet, whatever the letter case.",
            ),
            EMAIL,
            PASSWORD,
            Field::optional(
                "displayName",
                Kind::Text { min: 1, max: MAX_DISPLAY_NAME_CHARACTERS },
                "Else the username.",
            ),
        ],
        answer: |generator| json_answer(crate::schema::inline::<SignedIn>(generator)),
        same_when_unavailable: false,
        refusals: &[
            INVALID,
            (409, "`VALIDATION_ERROR`: the username or the e-mail is taken."),
            TOO_LARGE,
            LIMITED,
            UNAVAILABLE,
        ],
        example: Some(r#"{"username": "alice", "email": "alice@example.org", "password": "correct horse battery"}"#),
        answered: r#"{"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxNyJ9.c2ln", "user": {"id": "17", "userId": "17", "username": "alice", "email": "alice@example.org", "displayName": "alice", "profileImage": null, "bio": null}}"#,
    },
    Endpoint {
        method: "post",
        path: "/api/auth/login",
        auth: Auth::Anybody,
        summary: "Signs in. Ten tries per account and fifty per address in 15 minutes. Only with `BUILTIN_AUTH=true`; else 404.",
        query: &[],
        body: &[
            Field::required("username", Kind::Text { min: 1, max: MAX_EMAIL_CHARACTERS }, "As it was registered."),
            Field::required("password", Kind::Text { min: 1, max: MAX_PASSWORD_CHARACTERS }, "The password."),
        ],
        answer: |generator| json_answer(crate::schema::inline::<SignedIn>(generator)),
        same_when_unavailable: false,
        refusals: &[INVALID, (401, "`AUTH_FAILED`."), TOO_LARGE, LIMITED, UNAVAILABLE],
        example: Some(r#"{"username": "alice", "password": "correct horse battery"}"#),
        answered: r#"{"token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxNyJ9.c2ln", "user": {"id": "17", "userId": "17", "username": "alice", "email": "alice@example.org", "displayName": "alice", "profileImage": null, "bio": null}}"#,
    },
    Endpoint {
        method: "post",
        path: "/api/auth/logout",
        auth: Auth::User,
        summary: "Revokes the token; its connections are closed with 1008 within 5 s. Only with `BUILTIN_AUTH=true`; else 404.",
        query: &[],
        body: &[],
        answer: |generator| json_answer(crate::schema::inline::<Done>(generator)),
        same_when_unavailable: false,
        refusals: &[UNAUTHORISED, LIMITED, UNAVAILABLE],
        example: None,
        answered: r#"{"status": "ok"}"#,
    },
];
