//! `docs/protocol.md`: the contract as a page for frontend developers. The prose is in `protocol_head.md`; all lists
//! are generated from the same data as the schemas.

use serde_json::{Map, Value};
use shared::commands::SPECS;
use shared::endpoints::{Auth, ENDPOINTS, Endpoint};
use shared::limits::Limits;
use shared::protocol::close::Reconnect;
use shared::protocol::spec::{Field, Kind, Requirement};
use shared::protocol::{CloseCode, ErrorCode, Spec};

use crate::events::{Delivery, Described, EVENTS};
use crate::{examples, json, objects, schema};

const WIDTH: usize = 110;

/// The chapters of commands: a heading, and the commands' names.
const CHAPTERS: &[(&str, &[&str])] = &[
    ("Session", &["authenticate", "ping", "test", "ack", "sync"]),
    (
        "Direct messages",
        &[
            "start_conversation",
            "send_private_message",
            "get_private_messages",
            "edit_message",
            "delete_message",
            "add_reaction",
            "remove_reaction",
            "delete_conversation",
            "get_conversations",
        ],
    ),
    ("Inbox", &["get_inbox", "set_conversation_settings"]),
    ("Users", &["find_users", "block_user", "unblock_user", "get_blocked_users", "get_sign_ins", "end_sign_in"]),
    (
        "Direct messages and groups",
        &["mark_message_read", "typing", "pin_message", "unpin_message", "get_pinned_messages"],
    ),
    (
        "Groups",
        &[
            "create_group",
            "send_group_message",
            "send_announcement",
            "get_group_messages",
            "edit_group_message",
            "delete_group_message",
            "add_group_reaction",
            "remove_group_reaction",
            "get_user_groups",
            "get_group_members",
            "get_group_info",
            "add_group_member",
            "remove_group_member",
            "leave_group",
            "resign_from_group",
            "promote_member",
            "demote_member",
            "transfer_ownership",
            "update_group_info",
            "delete_group",
        ],
    ),
    (
        "Moderation",
        &[
            "report_message",
            "mute_member",
            "unmute_member",
            "ban_member",
            "unban_member",
            "get_banned_members",
            "set_slow_mode",
        ],
    ),
    ("Communities", &["get_communities", "get_community_members", "get_community_progress"]),
    ("Presence", &["get_online_users"]),
];

/// The page.
pub fn protocol_markdown() -> String {
    let mut page = include_str!("protocol_head.md").to_owned();
    page.push_str("\n## Commands\n\n");
    page.push_str(
        "Every command may carry a `requestId`. In addition to its own errors, any command can be answered with \
         `VALIDATION_ERROR`, `AUTH_REQUIRED`, `RATE_LIMIT_EXCEEDED`, `SERVICE_UNAVAILABLE` or `INTERNAL_ERROR`.\n",
    );
    for (heading, names) in CHAPTERS {
        page.push_str(&format!("\n### {heading}\n"));
        for spec in names.iter().filter_map(|name| SPECS.iter().find(|spec| spec.name == *name)) {
            command(&mut page, spec);
        }
    }
    events(&mut page);
    message(&mut page);
    errors(&mut page);
    close_codes(&mut page);
    page.push_str("\n## HTTP\n\nErrors are `{\"status\": \"error\", \"code\", \"message\"}`, some with `field`, `retryAfter` or `errorId`.\n");
    ENDPOINTS.iter().for_each(|endpoint| http(&mut page, endpoint));
    page
}

/// True if each command is in a chapter.
pub fn is_complete() -> bool {
    let listed: Vec<&str> = CHAPTERS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    listed.len() == SPECS.len() && SPECS.iter().all(|spec| listed.contains(&spec.name))
}

fn command(page: &mut String, spec: &Spec) {
    page.push_str(&format!("\n#### `{}`\n\n{}", spec.name, spec.summary));
    if !spec.aliases.is_empty() {
        page.push_str(&format!(" Also: {}.", list(spec.aliases)));
    }
    page.push('\n');
    fields(page, spec.fields);
    code_block(page, examples::request(spec.name));
    match spec.replies.first() {
        Some(first) => {
            let mut others: Vec<&str> = spec.replies.iter().skip(1).copied().collect();
            if spec.name == "authenticate" {
                others.push("auth_error");
            }
            let others = match spec.name {
                "sync" => format!(", after {} for each conversation", list(&others)),
                _ if others.is_empty() => String::new(),
                _ => format!(" (or {})", list(&others)),
            };
            page.push_str(&format!("\nAnswer: `{first}`{others}\n"));
            code_block(page, &examples::reply(spec.name, first));
            // Other events have their own chapter.
            let is_answer = |event: &&Described| event.name == *first && event.delivery == Delivery::Answer;
            if let Some(event) = EVENTS.iter().find(is_answer) {
                let (schema, schemas) = frame(event);
                objects::table(page, &schema, &schemas);
            }
        }
        None => page.push_str("\nAnswer: none\n"),
    }
    if !spec.events.is_empty() {
        page.push_str(&format!("\nOthers get: {}\n", list(spec.events)));
    }
    if !spec.errors.is_empty() {
        let errors: Vec<&str> = spec.errors.iter().map(|code| code.as_str()).collect();
        page.push_str(&format!("\nErrors: {}\n", list(&errors)));
    }
}

fn fields(page: &mut String, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    page.push_str("\n| field | | value | |\n|---|---|---|---|\n");
    for field in fields {
        row(page, field.name, field);
        nested(page, field.name, &field.kind);
    }
}

/// The fields of an object, under its name.
fn nested(page: &mut String, name: &str, kind: &Kind) {
    match kind {
        Kind::Object(inner) => inner.iter().for_each(|field| row(page, &format!("{name}.{}", field.name), field)),
        Kind::List { of, .. } => nested(page, &format!("{name}[]"), of),
        _ => {}
    }
}

fn row(page: &mut String, name: &str, field: &Field) {
    let presence = match field.requirement {
        Requirement::Required => "required".to_owned(),
        Requirement::Optional => String::new(),
        Requirement::Default(default) => format!("default `{default}`"),
        Requirement::InsteadOf(other) => format!("instead of `{other}`"),
        Requirement::AtLeastOne => "at least one".to_owned(),
    };
    page.push_str(&format!("| `{name}` | {presence} | {} | {} |\n", value(&field.kind), field.about));
}

fn value(kind: &Kind) -> String {
    let limits = Limits::default();
    let range = |min: i64, max: i64| match (min, max) {
        (min, i64::MAX) => format!("integer, at least {min}"),
        (min, max) => format!("integer, {min} to {max}"),
    };
    match kind {
        Kind::UserId => "user id".to_owned(),
        Kind::MessageId => "message id".to_owned(),
        Kind::GroupId => "group id".to_owned(),
        Kind::ConversationId => "conversation id".to_owned(),
        Kind::DirectConversationId => "id of a direct conversation".to_owned(),
        Kind::ForeignId(max) => format!("integer, or string of 1 to {max} characters"),
        Kind::Content => format!("string of 1 to {} characters, not blank", limits.message_characters),
        Kind::Text { min, max } | Kind::Username { min, max } => format!("string of {min} to {max} characters"),
        Kind::Words { max } => format!("string of 1 to {max} characters, not blank"),
        Kind::Email { max } => format!("e-mail address of at most {max} characters"),
        Kind::AnyString => "string".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer { min, max } => range(*min, *max),
        Kind::MemberCount => range(1, i64::from(limits.group_members)),
        Kind::Time => "time, RFC 3339".to_owned(),
        Kind::TimeOrNull => "time, RFC 3339, or null".to_owned(),
        Kind::Cursor => "`nextCursor` of an earlier answer".to_owned(),
        Kind::Choice(names) => list(names),
        Kind::UserIds { most } => format!("list of at most {most} user ids"),
        Kind::Positions { most, has_versions: true } => {
            format!("object: conversation id → `{{seq, version}}` or `seq`, at most {most}")
        }
        Kind::Positions { most, has_versions: false } => format!("object: conversation id → `seq`, at most {most}"),
        Kind::EventIds { most } => format!("list of at most {most} event ids"),
        Kind::AnyJson => "any JSON".to_owned(),
        Kind::Metadata { most_bytes, or_null } => {
            format!("object of at most {most_bytes} bytes as compact JSON{}", if *or_null { ", or null" } else { "" })
        }
        Kind::Object(_) => "object".to_owned(),
        Kind::List { most, .. } => format!("list of at most {most}"),
    }
}

fn events(page: &mut String) {
    page.push_str("\n## Events\n");
    let chapters = [
        ("Messages", Delivery::Message, "Stored for users who are not connected. `messageId` identifies repetitions."),
        (
            "Durable events",
            Delivery::Durable,
            "Stored for users who are not connected. `eventId` identifies repetitions; the direct answer to the user who \
             caused the event does not have it.",
        ),
        ("Ephemeral events", Delivery::Ephemeral, "Users who are not connected miss them."),
    ];
    for (heading, delivery, about) in chapters {
        page.push_str(&format!("\n### {heading}\n\n{about}\n"));
        EVENTS.iter().filter(|event| event.delivery == delivery).for_each(|event| self::event(page, event));
    }
    page.push_str("\n### About the connection\n");
    let is_about_the_connection = |name: &str| {
        matches!(name, "connected" | "auth_error" | "error" | "session_conflict")
            || crate::events::is_part_of_sync(name)
    };
    EVENTS.iter().filter(|event| is_about_the_connection(event.name)).for_each(|event| self::event(page, event));
}

fn event(page: &mut String, event: &Described) {
    let (schema, schemas) = frame(event);
    let summary = schema["description"].as_str().unwrap_or_default();
    page.push_str(&format!("\n#### `{}`\n\n{summary}\n", event.name));
    match event.delivery {
        Delivery::Message => page.push_str("\nIts fields are those of [the message object](#the-message-object).\n"),
        _ => objects::table(page, &schema, &schemas),
    }
    code_block(page, examples::event(event.name));
}

/// The schema of an event's frame, with those that it refers to.
fn frame(event: &Described) -> (Value, Map<String, Value>) {
    let mut generator = schema::generator();
    let schema = event.frame_schema(&mut generator);
    (schema, schema::components(&mut generator))
}

fn message(page: &mut String) {
    page.push_str("\n## The message object\n\nLive events, pages of history and replays contain the same object.\n");
    let mut generator = schema::generator();
    let schema = schema::inline::<shared::events::message::Message>(&mut generator);
    objects::table(page, &schema, &schema::components(&mut generator));
    page.push_str("\n## Other objects\n");
    let mut generator = schema::generator();
    EVENTS.iter().for_each(|event| drop(event.frame_schema(&mut generator)));
    let schemas = schema::components(&mut generator);
    for (name, schema) in objects::chapters(&schemas) {
        let about = schema["description"].as_str().unwrap_or_default();
        page.push_str(&format!("\n### {name}\n\n{about}\n"));
        objects::table(page, schema, &schemas);
    }
}

fn errors(page: &mut String) {
    page.push_str("\n## Errors\n\nCodes of `error`:\n\n| code | when |\n|---|---|\n");
    code_rows::<ErrorCode>(page);
    page.push_str("\nCodes of `auth_error`:\n\n| code | when |\n|---|---|\n");
    code_rows::<shared::events::session::AuthErrorCode>(page);
}

fn code_rows<T: schemars::JsonSchema>(page: &mut String) {
    let schema = schema::inline::<T>(&mut schema::generator());
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        let code = variant["const"].as_str().unwrap_or_default();
        let about = variant["description"].as_str().unwrap_or_default();
        page.push_str(&format!("| `{code}` | {about} |\n"));
    }
}

fn close_codes(page: &mut String) {
    page.push_str("\n## Close codes\n\n| code | why | reconnect |\n|---|---|---|\n");
    for code in CloseCode::ALL {
        let reconnect = match code.reconnect() {
            Reconnect::Yes => "yes, after an increasing random delay",
            Reconnect::AfterChange => "only after a change, because otherwise the same would happen again",
        };
        page.push_str(&format!("| {} | {} | {reconnect} |\n", *code as u16, code.about()));
    }
}

fn http(page: &mut String, endpoint: &Endpoint) {
    let method = endpoint.method.as_str();
    page.push_str(&format!("\n#### `{method} {}`\n\n{}", endpoint.path, endpoint.summary));
    page.push_str(match endpoint.auth {
        Auth::Anybody => "\n",
        Auth::User => " Requires `Authorization: Bearer` with the token of a user.\n",
        Auth::MainBackend => " Requires `Authorization: Bearer` with that secret.\n",
    });
    fields(page, endpoint.query);
    fields(page, endpoint.body);
    if let Some(example) = endpoint.example.and_then(|example| serde_json::from_str(example).ok()) {
        code_block(page, &example);
    }
    if let Ok(answer) = serde_json::from_str(endpoint.answered) {
        page.push_str("\nAnswer:\n");
        code_block(page, &answer);
    }
    let refusals = endpoint.refusals();
    if !refusals.is_empty() {
        page.push_str("\nErrors:\n\n");
        refusals.iter().for_each(|(status, about)| page.push_str(&format!("- {status}: {about}\n")));
    }
}

fn code_block(page: &mut String, value: &Value) {
    page.push_str(&format!("\n```json\n{}```\n", json::print(value, WIDTH)));
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
