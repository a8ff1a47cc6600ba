//! `chatctl trace`: the life of one message from the stores, without its content. If OpenTelemetry traces are collected
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`), those show how long each step took; this shows where a message is, traced or not.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use shared::ids::MessageId;
use shared::wire::peek_envelope;
use sqlx::PgConnection;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use crate::database;
use crate::fleet::FleetClient;
use crate::settings::Settings;
use crate::terminal::print_line;

/// How many members and entries are looked at.
const MAX_MEMBERS: i64 = 100;
const MAX_ENTRIES: u64 = 10_000;

/// What happened to the message and since then, in order.
const LIFE: &str = "
    SELECT format('%s  stored as number %s of %s, sent by user %s', to_char(p.created_at, 'YYYY-MM-DD HH24:MI:SS.MS'),
        p.seq, p.conversation_id, p.sender_id), p.created_at AS at, 0 AS version
      FROM private_messages p WHERE p.message_id = $1
    UNION ALL
    SELECT format('%s  changed: version %s of %s', to_char(c.at, 'YYYY-MM-DD HH24:MI:SS.MS'), c.version, c.conversation_id),
        c.at, c.version
      FROM conversation_changes c WHERE c.message_id = $1
    UNION ALL
    SELECT format('%s  deleted for everyone, or applied before: its id is kept', to_char(a.applied_at, 'YYYY-MM-DD HH24:MI:SS.MS')),
        a.applied_at, 0
      FROM applied_commands a WHERE a.command_id = $1
    UNION ALL
    SELECT format('%s  hidden by user %s', to_char(d.deleted_at, 'YYYY-MM-DD HH24:MI:SS.MS'), d.user_id), d.deleted_at, 0
      FROM message_deletions d WHERE d.message_id = $1
    ORDER BY 2, 3";

/// Who has it: a delivered number at or above the message's means that it was written to one of the user's sockets.
const MEMBERS: &str = "
    SELECT format('user %s: %s%s%s', m.user_id,
        CASE WHEN m.delivered_seq >= p.seq THEN 'delivered' ELSE 'not delivered' END,
        CASE WHEN m.read_seq >= p.seq THEN ', read' ELSE '' END,
        CASE WHEN m.cleared_seq >= p.seq THEN ', put away' ELSE '' END)
    FROM private_messages p JOIN conversation_members m USING (conversation_id)
    WHERE p.message_id = $1 AND m.user_id <> p.sender_id
    ORDER BY m.user_id LIMIT $2";

/// The changes that recipients have not received yet.
const WAITING: &str = "
    SELECT (SELECT count(*) FROM event_log l JOIN event_queue q USING (event_id)
            WHERE l.message_id = $1 AND q.delivered_at IS NULL)
        + (SELECT count(*) FROM private_messages p JOIN due_events d ON d.conversation_id = p.conversation_id AND d.about = $1
           WHERE p.message_id = $1)";

#[derive(Debug, Args)]
pub struct TraceArguments {
    /// `msg_{uuid}`, or the bare UUID.
    message: MessageId,
}

impl TraceArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let id = self.message.0;
        if let Some(timestamp) = id.get_timestamp() {
            let (seconds, nanos) = timestamp.to_unix();
            let at = OffsetDateTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            print_line(&format!("{} {}  taken by a gateway, by its clock", at.date(), at.time()))?;
        }
        let mut connection = database::connect(settings).await?;
        let life: Vec<(String,)> = sqlx::query_as(&first_column(LIFE)).bind(id).fetch_all(&mut connection).await?;
        if life.is_empty() {
            print_line("it is not in the database")?;
        }
        for (line,) in &life {
            print_line(line)?;
        }
        let members: Vec<(String,)> =
            sqlx::query_as(MEMBERS).bind(id).bind(MAX_MEMBERS).fetch_all(&mut connection).await?;
        for (line,) in &members {
            print_line(line)?;
        }
        if members.len() as i64 == MAX_MEMBERS {
            print_line(&format!("… of the members, only the first {MAX_MEMBERS} are shown"))?;
        }
        let waiting: i64 = sqlx::query_scalar(WAITING).bind(id).fetch_one(&mut connection).await?;
        if waiting > 0 {
            print_line(&format!("{waiting} events about it wait for their recipients"))?;
        }
        underway(settings, &mut connection, id).await
    }
}

/// Only the lines of a query that also returns what it is ordered by.
fn first_column(query: &str) -> String {
    format!("SELECT line FROM ({query}) AS life (line, at, version)")
}

/// Reports if it waits in its partition's stream, or is a dead letter.
async fn underway(settings: &Settings, connection: &mut PgConnection, id: Uuid) -> Result<()> {
    let owners = database::list_partition_owners(connection).await?;
    if owners.is_empty() {
        return print_line("no worker has made partitions yet");
    }
    let partition = u32::from(MessageId(id).route_hint()) % owners.len() as u32;
    let fleet = FleetClient::connect(settings).await?;
    let stream = fleet.keys.partition(partition);
    let entries: Vec<(String, HashMap<String, bytes::Bytes>)> = fleet.entries(&stream, MAX_ENTRIES).await?;
    let is_it = |entry: &bytes::Bytes| peek_envelope(entry).is_ok_and(|envelope| envelope.id == id);
    match entries.iter().find(|(_, fields)| fields.values().any(is_it)) {
        Some((entry, _)) => print_line(&format!("it waits in {stream} as {entry}, behind what came before"))?,
        None => print_line(&format!("nothing of it waits in {stream}, of {} entries", entries.len()))?,
    }
    for stored in fleet.dead_letters().list(None, "+", MAX_ENTRIES).await? {
        if stored.letter.envelope().is_ok_and(|envelope| envelope.id == id) {
            print_line(&format!("it is dead letter {}: {}", stored.id, stored.letter.reason))?;
        }
    }
    Ok(())
}
