//! The protocol, command by command, between people on two gateways: the sender's answer and the others' events.
//! All tests of this module share one deployment, each with users of its own.

mod bounds;
mod codes;
mod communities;
mod direct;
mod errors;
mod groups;
mod http;
mod inbox;
mod moderation;
mod paging;
mod roles;
mod sessions;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, event_type};
use devstack::wait::SOON;
use e2e::{Deployment, Options, User};
use serde_json::Value;

/// How long to listen for an event that must not come; everything before it has already arrived on the same path.
const QUIET: Duration = Duration::from_millis(300);

/// The origin whose pages may connect and read answers.
const ORIGIN: &str = "https://app.example.org";

/// The shared deployment; the guardian of its folder ends it with the test program.
fn fleet() -> Result<&'static Deployment> {
    static FLEET: OnceLock<Result<Deployment, String>> = OnceLock::new();
    let fleet = FLEET.get_or_init(|| {
        let options = Options::default().with("BUILTIN_AUTH", "true").with("ALLOWED_ORIGINS", ORIGIN);
        let started = Deployment::start("protocol", options);
        started.map_err(|error| format!("{error:#}"))
    });
    fleet.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))
}

/// The JSON type of a field.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Str,
    Int,
    Bool,
    List,
    Map,
    /// RFC 3339 in UTC with milliseconds.
    Time,
}

type Fields<'a> = &'a [(&'a str, Kind)];

/// The fields of every message.
const MESSAGE: Fields = &[
    ("messageId", Kind::Str),
    ("conversationId", Kind::Str),
    ("seq", Kind::Int),
    ("senderId", Kind::Str),
    ("senderUsername", Kind::Str),
    ("content", Kind::Str),
    ("createdAt", Kind::Time),
    ("kind", Kind::Str),
];

fn has_fields(event: &Value, fields: Fields) -> Result<()> {
    for (name, kind) in fields {
        let value = &event[*name];
        let fits = match kind {
            Kind::Str => value.is_string(),
            Kind::Int => value.is_i64() || value.is_u64(),
            Kind::Bool => value.is_boolean(),
            Kind::List => value.is_array(),
            Kind::Map => value.is_object(),
            Kind::Time => value.as_str().is_some_and(is_time),
        };
        ensure!(fits, "`{name}` of {} is to be {kind:?}: {event}", event_type(event));
    }
    Ok(())
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

/// A user with a connection.
struct Person {
    user: User,
    client: Client,
}

impl Person {
    async fn connect(name: &str, gateway: usize) -> Result<Person> {
        let fleet = fleet()?;
        let user = fleet.user(name)?;
        let client = fleet.login(gateway, &user).await?;
        Ok(Person { user, client })
    }

    /// Connects another device of the same user.
    async fn device(&self, gateway: usize) -> Result<Person> {
        let client = fleet()?.login(gateway, &self.user).await?;
        Ok(Person { user: self.user.clone(), client })
    }

    fn id(&self) -> String {
        self.user.id.to_string()
    }

    /// Sends a command; its answer echoes the `requestId`, is of this type and has these fields.
    async fn ask(&mut self, command: Value, kind: &str, fields: Fields<'_>) -> Result<Value> {
        let answer = self.client.request(command.clone()).await.with_context(|| command.to_string())?;
        ensure!(event_type(&answer) == kind, "{command} is to be answered by {kind}: {answer}");
        has_fields(&answer, fields)?;
        Ok(answer)
    }

    /// Sends a command that must be rejected with this code.
    async fn refused(&mut self, command: Value, code: &str) -> Result<Value> {
        let answer = self.client.request(command.clone()).await.with_context(|| command.to_string())?;
        let fits = event_type(&answer) == "error" && answer["code"] == code;
        let shown: String = command.to_string().chars().take(300).collect();
        ensure!(fits, "{shown} is to be refused with {code}: {answer}");
        has_fields(&answer, &[("message", Kind::Str), ("details", Kind::Str), ("timestamp", Kind::Time)])?;
        Ok(answer)
    }

    /// Like `refused()`; the error must also name this field.
    async fn refused_field(&mut self, command: Value, code: &str, field: &str) -> Result<()> {
        let answer = self.refused(command.clone(), code).await?;
        ensure!(answer["field"] == field, "the refusal of {command} is to name {field}: {answer}");
        Ok(())
    }

    /// Waits for an event that is not an answer: of this type, with these fields and this value in one of them.
    async fn sees(&mut self, kind: &str, has: (&str, &Value), fields: Fields<'_>) -> Result<Value> {
        let event = self.client.expect(kind, |event| event[has.0] == *has.1, SOON).await;
        let event = event.with_context(|| format!("{} waits for {kind} with {} {}", self.user.name, has.0, has.1))?;
        ensure!(event.get("requestId").is_none(), "a broadcast carries no requestId: {event}");
        has_fields(&event, fields)?;
        Ok(event)
    }

    /// Like `sees()`, for an event that is replayed until it is delivered, and so has an id.
    async fn sees_durable(&mut self, kind: &str, has: (&str, &Value), fields: Fields<'_>) -> Result<Value> {
        let event = self.sees(kind, has, fields).await?;
        has_fields(&event, &[("eventId", Kind::Str)])?;
        Ok(event)
    }

    /// Returns all unread events except presence, after a moment of quiet.
    async fn unread(&mut self) -> Result<Vec<Value>> {
        self.client.expect_none("nothing of this name", |_| true, QUIET).await?;
        let mut events = self.client.drain();
        events.retain(|event| !matches!(event_type(event), "user_online" | "user_offline"));
        Ok(events)
    }
}

/// Makes every read of a table fail for a reason that retries do not fix, and the reverse.
pub const BREAK_GROUP_MEMBERS: &str = "ALTER TABLE group_members RENAME TO group_members_away;
    CREATE VIEW group_members AS SELECT * FROM group_members_away WHERE 1 / (SELECT 0) = 1;
    GRANT SELECT ON group_members TO PUBLIC";
pub const MEND_GROUP_MEMBERS: &str = "DROP VIEW group_members; ALTER TABLE group_members_away RENAME TO group_members";
