//! `chatctl verify`: checks that the stored data is consistent. For use after a restore, and whenever a store has
//! misbehaved. Reads only.
//!
//! Everything is read in one snapshot, so that servers may continue to write.

use anyhow::{Result, bail};
use clap::Args;
use shared::crypto::Keyring;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::database;
use crate::progress::Progress;
use crate::sealed::{BLOBS, Blob};
use crate::settings::Settings;
use crate::terminal::print_line;

/// How many rows are named per finding.
const MAX_NAMED: usize = 10;
const BATCH: i64 = 1000;

/// A rule, and a query that returns a line of text for each violation.
const RULES: [(&str, &str); 10] = [
    (
        "every message belongs to a conversation, under a number that it has given out",
        "SELECT format('message %s: number %s of %s, which has given out %s', p.message_id, p.seq, p.conversation_id,
             coalesce(c.last_seq::text, 'none'))
         FROM private_messages p LEFT JOIN conversations c USING (conversation_id)
         WHERE p.seq < 1 OR c.last_seq IS NULL OR p.seq > c.last_seq",
    ),
    // Numbers of messages that were deleted for everyone stay unused, so only the count reveals gaps.
    (
        "no message is missing: each conversation has as many as it counts",
        "SELECT format('%s: %s of %s messages', c.conversation_id, count(p.message_id), c.message_count)
         FROM conversations c LEFT JOIN private_messages p USING (conversation_id)
         WHERE NOT EXISTS (SELECT FROM conversation_purges w WHERE w.conversation_id = c.conversation_id)
         GROUP BY c.conversation_id HAVING count(p.message_id) <> c.message_count",
    ),
    (
        "nobody has received, read or cleared what was never sent",
        "SELECT format('user %s in %s: beyond %s', m.user_id, m.conversation_id, coalesce(c.last_seq, 0))
         FROM conversation_members m LEFT JOIN conversations c USING (conversation_id)
         WHERE greatest(m.delivered_seq, m.read_seq, m.cleared_seq) > coalesce(c.last_seq, 0)",
    ),
    (
        "nobody has been told of a change that was never made",
        "SELECT format('user %s in %s: beyond version %s', m.user_id, m.conversation_id, coalesce(c.version, 0))
         FROM conversation_members m LEFT JOIN conversations c USING (conversation_id)
         WHERE greatest(m.delivered_version, upper(m.delivered_beyond) - 1) > coalesce(c.version, 0)",
    ),
    (
        "members belong to a group that exists",
        "SELECT format('user %s in %s', m.user_id, m.group_id)
         FROM group_members m WHERE NOT EXISTS (SELECT FROM group_chats g WHERE g.group_id = m.group_id)",
    ),
    (
        "a group that has members has an owner",
        "SELECT g.group_id FROM group_chats g JOIN group_members m USING (group_id)
         WHERE g.deleted_at IS NULL AND g.community_id IS NULL
         GROUP BY g.group_id HAVING count(*) FILTER (WHERE m.role = 'owner') = 0",
    ),
    (
        "messages of a group belong to a group that exists",
        "SELECT DISTINCT p.conversation_id FROM private_messages p
         WHERE p.recipient_id IS NULL AND NOT EXISTS (SELECT FROM group_chats g WHERE g.group_id = p.conversation_id)
           AND NOT EXISTS (SELECT FROM conversation_purges w WHERE w.conversation_id = p.conversation_id)",
    ),
    (
        "reactions belong to a message",
        "SELECT format('of user %s to %s', r.user_id, r.message_id)
         FROM message_reactions r WHERE NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = r.message_id)",
    ),
    (
        "what users deleted for themselves is a message",
        "SELECT format('of user %s: %s', d.user_id, d.message_id)
         FROM message_deletions d WHERE NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = d.message_id)",
    ),
    (
        "events that wait for a user are stored",
        "SELECT format('%s for user %s', q.event_id, q.user_id)
         FROM event_queue q WHERE NOT EXISTS (SELECT FROM event_log l WHERE l.event_id = q.event_id)",
    ),
];

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Skip decrypting every row, which needs the keys and takes about a minute per million.
    #[arg(long)]
    skip_decrypting: bool,
}

impl VerifyArguments {
    /// Prints a line per rule.
    ///
    /// # Errors
    /// When a rule is broken; the rows are named on stderr.
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let keyring = if self.skip_decrypting {
            None
        } else {
            let encryption = settings.encryption()?;
            Some(tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??)
        };
        let mut connection = database::connect(settings).await?;
        let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut broken = 0;
        for (rule, query) in RULES {
            let found: Vec<String> = sqlx::query_scalar(&format!("SELECT found FROM ({query}) AS broken (found)"))
                .fetch_all(&mut *snapshot)
                .await?;
            broken += tell(rule, &found)?;
        }
        if let Some(keyring) = keyring {
            broken += tell("every message decrypts", &unreadable_messages(&mut snapshot, &keyring).await?)?;
            let mut unreadable = Vec::new();
            for blob in &BLOBS {
                unreadable.extend(unreadable_blobs(&mut snapshot, &keyring, blob).await?);
            }
            broken += tell("every event, outcome and metadata decrypts", &unreadable)?;
        }
        if broken > 0 {
            bail!("{broken} rules are broken");
        }
        Ok(())
    }
}

/// Prints the result of a rule; returns 1 if it is broken.
fn tell(rule: &str, found: &[String]) -> Result<usize> {
    if found.is_empty() {
        print_line(&format!("ok      {rule}"))?;
        return Ok(0);
    }
    print_line(&format!("BROKEN  {rule}: {} times", found.len()))?;
    found.iter().take(MAX_NAMED).for_each(|row| eprintln!("        {row}"));
    if found.len() > MAX_NAMED {
        eprintln!("        and {} more", found.len() - MAX_NAMED);
    }
    Ok(1)
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    message_id: Uuid,
    key_id: i16,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    content: Vec<u8>,
}

async fn unreadable_messages(db: &mut PgConnection, keyring: &Keyring) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut progress = Progress::new("private_messages");
    let mut after = Uuid::nil();
    loop {
        let rows: Vec<MessageRow> = sqlx::query_as(
            "SELECT message_id, key_id, iv, mac, content FROM private_messages
             WHERE message_id > $1 ORDER BY message_id LIMIT $2",
        )
        .bind(after)
        .bind(BATCH)
        .fetch_all(&mut *db)
        .await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = last.message_id;
        for row in &rows {
            if let Err(error) = keyring.open(row.message_id, row.key_id, &row.iv, row.mac.as_deref(), &row.content) {
                found.push(format!("message {}, key {}: {error}", row.message_id, row.key_id));
            }
        }
        progress.add(rows.len() as u64);
    }
}

async fn unreadable_blobs(db: &mut PgConnection, keyring: &Keyring, blob: &Blob) -> Result<Vec<String>> {
    let Blob { table, column, key, .. } = *blob;
    let select = format!(
        "SELECT {}, {column} FROM {table} WHERE {key} > {} AND {column} IS NOT NULL ORDER BY {key} LIMIT $2",
        blob.id(),
        blob.key_of("$1::uuid")
    );
    let mut found = Vec::new();
    let mut progress = Progress::new(table);
    let mut after = Uuid::nil();
    loop {
        let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(&select).bind(after).bind(BATCH).fetch_all(&mut *db).await?;
        let Some((last, _)) = rows.last() else { return Ok(found) };
        after = *last;
        for (row, sealed) in &rows {
            if let Err(error) = blob.reseal(keyring, *row, sealed) {
                found.push(format!("{table}.{column} {row}: {error}"));
            }
        }
        progress.add(rows.len() as u64);
    }
}
