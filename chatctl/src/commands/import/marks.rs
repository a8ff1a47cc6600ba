//! What users did to messages and conversations: reactions, hidden messages, conversations put away, read marks.

use anyhow::{Context as _, Result};
use shared::held_ids;
use shared::ids::{ConversationId, GroupId};
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::groups::Known;
use super::source::Table;
use super::{Import, ids};
use crate::progress::Progress;

const REACTIONS: Table = Table {
    name: "message_reactions",
    columns: &[
        ("id", "bigint"),
        ("message_id", "text"),
        ("user_id", "text"),
        ("reaction", "text"),
        ("created_at", "timestamptz"),
    ],
};

const DELETIONS: Table = Table {
    name: "message_deletions",
    columns: &[("id", "bigint"), ("message_id", "text"), ("user_id", "text"), ("deleted_at", "timestamptz")],
};

const CLEARED: Table = Table {
    name: "conversation_deletions",
    columns: &[("id", "bigint"), ("conversation_id", "text"), ("user_id", "text"), ("deleted_at", "timestamptz")],
};

const CONVERSATIONS: Table = Table {
    name: "conversations",
    columns: &[("id", "bigint"), ("conversation_id", "text"), ("participant1_id", "text"), ("participant2_id", "text")],
};

/// The limit of the commands.
const MAX_REACTION_CHARACTERS: usize = 10;

/// A row about one user and something else.
#[derive(sqlx::FromRow)]
struct Reaction {
    id: i64,
    message_id: Option<String>,
    user_id: Option<String>,
    reaction: Option<String>,
    created_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Deletion {
    id: i64,
    message_id: Option<String>,
    user_id: Option<String>,
    deleted_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Cleared {
    id: i64,
    conversation_id: Option<String>,
    user_id: Option<String>,
    deleted_at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct Conversation {
    id: i64,
    conversation_id: Option<String>,
    participant1_id: Option<String>,
    participant2_id: Option<String>,
}

pub async fn run(import: &mut Import<'_>, groups: &Known) -> Result<()> {
    reactions(import).await?;
    deletions(import).await?;
    held_conversations(import).await?;
    cleared(import, groups).await?;
    read(import).await?;
    if !import.dry_run {
        // A first sign-in replays only what is unread.
        sqlx::query(DELIVERED).execute(&mut *import.target).await.context("what is delivered")?;
    }
    Ok(())
}

/// One reaction per user and message: the newest.
async fn reactions(import: &mut Import<'_>) -> Result<()> {
    if !import.source.has(REACTIONS.name).await? {
        return Ok(());
    }
    let mut progress = Progress::new("message_reactions");
    if !import.dry_run {
        sqlx::raw_sql(FOUND).execute(&mut *import.target).await?;
    }
    let mut after = 0;
    loop {
        let rows: Vec<Reaction> = import.source.page(&REACTIONS, after, import.batch).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        progress.add(rows.len() as u64);
        let mut source_ids = Vec::new();
        let (mut messages, mut users, mut reactions, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let message = row.message_id.as_deref().and_then(held_ids::message_id);
            let reaction = row.reaction.unwrap_or_default();
            let length = reaction.chars().count();
            match (message, ids::user(row.user_id.as_deref())) {
                (_, None) => import.report.note(REACTIONS.name, "the user id is not a number", row.id)?,
                (None, _) => import.report.note(REACTIONS.name, "without a message", row.id)?,
                _ if length == 0 || length > MAX_REACTION_CHARACTERS => {
                    import.report.note(REACTIONS.name, "empty or of more than 10 characters", row.id)?;
                }
                (Some(message), Some(user)) => {
                    source_ids.push(row.id);
                    messages.push(message.0);
                    users.push(user.0);
                    reactions.push(reaction);
                    times.push(row.created_at.unwrap_or(OffsetDateTime::UNIX_EPOCH));
                }
            }
        }
        if import.dry_run {
            import.report.imported(REACTIONS.name, source_ids.len() as u64);
            continue;
        }
        let missing: Vec<i64> = sqlx::query_scalar(
            "WITH found AS (
                 INSERT INTO found_reactions
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[])
                 RETURNING id, message_id
             )
             SELECT id FROM found f WHERE NOT EXISTS (SELECT FROM private_messages p WHERE p.message_id = f.message_id)
             ORDER BY id",
        )
        .bind(&source_ids)
        .bind(&messages)
        .bind(&users)
        .bind(&reactions)
        .bind(&times)
        .fetch_all(&mut *import.target)
        .await
        .context("reading reactions")?;
        import.report.imported(REACTIONS.name, (source_ids.len() - missing.len()) as u64);
        for id in missing {
            import.report.note(REACTIONS.name, "to a message that is not here", id)?;
        }
    }
    if !import.dry_run {
        sqlx::raw_sql(STORE_REACTIONS).execute(&mut *import.target).await.context("storing reactions")?;
    }
    Ok(())
}

const FOUND: &str = "
    DROP TABLE IF EXISTS found_reactions;
    CREATE TEMPORARY TABLE found_reactions
        (id BIGINT, message_id UUID, user_id BIGINT, reaction TEXT, created_at TIMESTAMPTZ)";

/// In conversations in which the new server has not written. The original deletes the rows of reactions that are taken back.
const STORE_REACTIONS: &str = "
    ANALYZE found_reactions;
    INSERT INTO message_reactions AS r (message_id, user_id, reaction, created_at)
    SELECT DISTINCT ON (f.message_id, f.user_id) f.message_id, f.user_id, f.reaction, f.created_at
    FROM found_reactions f
    JOIN private_messages p ON p.message_id = f.message_id
    JOIN conversations c ON c.conversation_id = p.conversation_id
    JOIN chat_import.conversations v ON v.conversation_id = c.conversation_id AND v.version = c.version
    ORDER BY f.message_id, f.user_id, f.created_at DESC, f.id DESC
    ON CONFLICT (message_id, user_id) DO UPDATE SET reaction = excluded.reaction, created_at = excluded.created_at
    WHERE (r.reaction, r.created_at) IS DISTINCT FROM (excluded.reaction, excluded.created_at);
    DELETE FROM message_reactions r
    USING chat_import.messages m, private_messages p, conversations c, chat_import.conversations v
    WHERE m.message_id = r.message_id AND p.message_id = r.message_id AND c.conversation_id = p.conversation_id
        AND v.conversation_id = c.conversation_id AND v.version = c.version
        AND NOT EXISTS (SELECT FROM found_reactions f WHERE f.message_id = r.message_id AND f.user_id = r.user_id);
    DROP TABLE found_reactions";

async fn deletions(import: &mut Import<'_>) -> Result<()> {
    if !import.source.has(DELETIONS.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Deletion> = import.source.page(&DELETIONS, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let (mut source_ids, mut messages, mut users, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let message = row.message_id.as_deref().and_then(held_ids::message_id);
            let (Some(message), Some(user)) = (message, ids::user(row.user_id.as_deref())) else {
                import.report.note(DELETIONS.name, "the user id is not a number", row.id)?;
                continue;
            };
            source_ids.push(row.id);
            messages.push(message.0);
            users.push(user.0);
            times.push(row.deleted_at.unwrap_or(OffsetDateTime::UNIX_EPOCH));
        }
        if import.dry_run {
            import.report.imported(DELETIONS.name, source_ids.len() as u64);
            continue;
        }
        let missing: Vec<i64> = sqlx::query_scalar(
            "WITH input AS MATERIALIZED (
                 SELECT i.*, p.conversation_id, p.seq
                 FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::timestamptz[])
                     AS i (id, message_id, user_id, deleted_at)
                 LEFT JOIN private_messages p ON p.message_id = i.message_id
             ), stored AS (
                 INSERT INTO message_deletions (user_id, conversation_id, seq, message_id, deleted_at)
                 SELECT DISTINCT ON (user_id, message_id) user_id, conversation_id, seq, message_id, deleted_at FROM input
                 WHERE seq IS NOT NULL
                 ON CONFLICT DO NOTHING
             )
             SELECT id FROM input WHERE seq IS NULL ORDER BY id",
        )
        .bind(&source_ids)
        .bind(&messages)
        .bind(&users)
        .bind(&times)
        .fetch_all(&mut *import.target)
        .await
        .context("storing deletions")?;
        import.report.imported(DELETIONS.name, (source_ids.len() - missing.len()) as u64);
        for id in missing {
            import.report.note(DELETIONS.name, "of a message that is not here", id)?;
        }
    }
}

/// Ids that clients made up are also in `conversations`.
async fn held_conversations(import: &mut Import<'_>) -> Result<()> {
    if !import.source.has(CONVERSATIONS.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Conversation> = import.source.page(&CONVERSATIONS, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let mut held = Vec::new();
        for row in rows {
            let participants = ids::user(row.participant1_id.as_deref()).zip(ids::user(row.participant2_id.as_deref()));
            let id = row.conversation_id.unwrap_or_default();
            match participants {
                Some((one, other)) if one != other && ids::is_own_making(&id) => {
                    held.push((id, ConversationId::direct(one, other).to_string()));
                }
                Some(_) => {}
                None => import.report.note(CONVERSATIONS.name, "a participant id is not a number", row.id)?,
            }
        }
        if !import.dry_run {
            super::held::write_held_conversations(import.target, &held).await?;
        }
    }
}

/// A conversation that a user put away is hidden up to the time of that.
async fn cleared(import: &mut Import<'_>, groups: &Known) -> Result<()> {
    if !import.source.has(CLEARED.name).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let rows: Vec<Cleared> = import.source.page(&CLEARED, after, import.batch).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id;
        let (mut held, mut users, mut times, mut source_ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let id = row.conversation_id.unwrap_or_default();
            let (Some(user), Some(deleted_at)) = (ids::user(row.user_id.as_deref()), row.deleted_at) else {
                import.report.note(CLEARED.name, "the user id is not a number, or without a time", row.id)?;
                continue;
            };
            let ours = match groups.get(&id) {
                Some(group) => GroupId(*group).to_string(),
                None => id.parse::<ConversationId>().map_or(id, |id| id.to_string()),
            };
            held.push(ours);
            users.push(user.0);
            times.push(deleted_at);
            source_ids.push(row.id);
        }
        if import.dry_run {
            import.report.imported(CLEARED.name, source_ids.len() as u64);
            continue;
        }
        let missing: Vec<i64> = sqlx::query_scalar(
            "WITH input AS MATERIALIZED (
                 SELECT i.id, i.user_id, i.deleted_at, coalesce(h.conversation_id, i.conversation_id) AS conversation_id
                 FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[])
                     AS i (id, conversation_id, user_id, deleted_at)
                 LEFT JOIN held_conversation_ids h ON h.held_id = i.conversation_id
             ), moved AS (
                 UPDATE conversation_members m SET cleared_seq = greatest(m.cleared_seq, hidden.seq)
                 FROM (SELECT user_id, conversation_id, max(deleted_at) AS deleted_at FROM input GROUP BY 1, 2) n
                 JOIN conversations c ON c.conversation_id = n.conversation_id
                 JOIN chat_import.conversations v ON v.conversation_id = c.conversation_id AND v.version = c.version
                 CROSS JOIN LATERAL (
                     SELECT coalesce(max(p.seq), 0) AS seq FROM private_messages p
                     WHERE p.conversation_id = n.conversation_id AND p.created_at <= n.deleted_at
                 ) hidden
                 WHERE m.user_id = n.user_id AND m.conversation_id = n.conversation_id
             )
             SELECT i.id FROM input i WHERE NOT EXISTS (
                 SELECT FROM conversation_members m WHERE m.user_id = i.user_id AND m.conversation_id = i.conversation_id)
             ORDER BY i.id",
        )
        .bind(&source_ids)
        .bind(&held)
        .bind(&users)
        .bind(&times)
        .fetch_all(&mut *import.target)
        .await
        .context("storing what was put away")?;
        import.report.imported(CLEARED.name, (source_ids.len() - missing.len()) as u64);
        for id in missing {
            import.report.note(CLEARED.name, "of a conversation without messages, or somebody else's", id)?;
        }
    }
}

/// Everything up to the newest message marked as read counts as read.
async fn read(import: &mut Import<'_>) -> Result<()> {
    if import.dry_run {
        return Ok(());
    }
    // One row for each direction of a conversation in which anything was read.
    let table = import.source.table("private_messages");
    let query = format!(
        "SELECT DISTINCT ON (sender_id, recipient_id) sender_id::text, recipient_id::text, message_id::text, created_at::timestamptz
         FROM {table} WHERE is_read AND recipient_id IS NOT NULL AND message_id IS NOT NULL AND created_at IS NOT NULL
         ORDER BY sender_id, recipient_id, created_at DESC, id DESC"
    );
    type Newest = (Option<String>, Option<String>, String, OffsetDateTime);
    let rows: Vec<Newest> =
        sqlx::query_as(&query).fetch_all(&mut import.source.connection).await.context("reading what is read")?;
    for chunk in rows.chunks(usize::try_from(import.batch)?) {
        let (mut readers, mut conversations) = (Vec::new(), Vec::new());
        let (mut messages, mut times): (Vec<Uuid>, Vec<OffsetDateTime>) = (Vec::new(), Vec::new());
        for (sender, recipient, message, created_at) in chunk {
            // Messages in groups have a group as their recipient.
            let (Some(sender), Some(reader)) = (ids::user(sender.as_deref()), ids::user(recipient.as_deref())) else {
                continue;
            };
            let Some(message) = held_ids::message_id(message).filter(|_| sender != reader) else { continue };
            readers.push(reader.0);
            conversations.push(ConversationId::direct(sender, reader).to_string());
            messages.push(message.0);
            times.push(*created_at);
        }
        sqlx::query(
            "UPDATE conversation_members m SET read_seq = greatest(m.read_seq, newest.seq)
             FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::timestamptz[]) AS n (user_id, conversation_id, message_id, at)
             JOIN conversations c ON c.conversation_id = n.conversation_id
             JOIN chat_import.conversations v ON v.conversation_id = c.conversation_id AND v.version = c.version
             CROSS JOIN LATERAL (
                 SELECT coalesce(
                     (SELECT p.seq FROM private_messages p WHERE p.message_id = n.message_id),
                     (SELECT max(p.seq) FROM private_messages p
                      WHERE p.conversation_id = n.conversation_id AND p.created_at < n.at), 0) AS seq
             ) newest
             WHERE m.user_id = n.user_id AND m.conversation_id = n.conversation_id",
        )
        .bind(&readers)
        .bind(&conversations)
        .bind(&messages)
        .bind(&times)
        .execute(&mut *import.target)
        .await
        .context("storing what is read")?;
    }
    Ok(())
}

/// Up to the first unread message of others; everything if nothing is unread.
const DELIVERED: &str = "
    UPDATE conversation_members m SET delivered_seq = coalesce(
        (SELECT min(p.seq) - 1 FROM private_messages p
         WHERE p.conversation_id = m.conversation_id AND p.seq > greatest(m.read_seq, m.cleared_seq) AND p.sender_id <> m.user_id),
        c.last_seq)
    FROM conversations c
    JOIN chat_import.conversations v ON v.conversation_id = c.conversation_id AND v.version = c.version
    WHERE c.conversation_id = m.conversation_id AND c.conversation_id LIKE 'conv\\_%'";
