//! `chatctl user erase`: removes a user's data from the chat.
//!
//! Each message of the user becomes a placeholder that keeps its place and number, so that other participants keep a
//! history without gaps, with their own messages in it. All other data of the user is deleted; `events` handles waiting
//! events about the user. Each step can be repeated, so an interrupted run is simply started again. The main backend's
//! tables are left alone unless requested.

mod events;

use anyhow::{Result, bail};
use serde_json::json;
use shared::crypto::Keyring;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::progress::Progress;
use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{audit, database};

const PLACEHOLDER: &[u8] = b"[message of a deleted account]";
const BATCH: i64 = 500;

/// Rows that go as they are, in batches of whole statements: `$1` is the user, `$2` the batch.
const DELETIONS: [(&str, &str); 12] = [
    (
        "reactions",
        "WITH gone AS (
             DELETE FROM message_reactions WHERE ctid IN (
                 SELECT ctid FROM message_reactions WHERE user_id = $1 LIMIT $2) RETURNING message_id
         ),
         versions AS (
             UPDATE conversations c SET version = version + 1
             WHERE conversation_id IN (SELECT p.conversation_id FROM gone JOIN private_messages p USING (message_id))
         )
         SELECT count(*) FROM gone",
    ),
    (
        "hidden messages",
        "WITH gone AS (DELETE FROM message_deletions WHERE ctid IN (
             SELECT ctid FROM message_deletions WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "waiting events",
        "WITH gone AS (DELETE FROM event_queue WHERE ctid IN (
             SELECT ctid FROM event_queue WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "memberships of communities",
        "WITH gone AS (DELETE FROM community_members WHERE ctid IN (
             SELECT ctid FROM community_members WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "progress",
        "WITH gone AS (DELETE FROM user_community_progress WHERE ctid IN (
             SELECT ctid FROM user_community_progress WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "challenges",
        "WITH gone AS (DELETE FROM community_challenge_events WHERE ctid IN (
             SELECT ctid FROM community_challenge_events WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "read positions",
        "WITH gone AS (DELETE FROM conversation_members WHERE ctid IN (
             SELECT ctid FROM conversation_members WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "sign-ins",
        "WITH gone AS (DELETE FROM sign_ins WHERE ctid IN (
             SELECT ctid FROM sign_ins WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "mutes and bans",
        "WITH gone AS (DELETE FROM group_sanctions WHERE ctid IN (
             SELECT ctid FROM group_sanctions WHERE user_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "reasons",
        "WITH gone AS (UPDATE group_sanctions SET reason = NULL WHERE ctid IN (
             SELECT ctid FROM group_sanctions WHERE imposed_by = $1 AND reason IS NOT NULL LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    (
        "reports",
        "WITH gone AS (DELETE FROM message_reports WHERE ctid IN (
             SELECT ctid FROM message_reports WHERE reporter_id = $1 OR sender_id = $1 LIMIT $2) RETURNING 1) SELECT count(*) FROM gone",
    ),
    ("status", "WITH gone AS (DELETE FROM user_status WHERE user_id = $1 AND $2 > 0 RETURNING 1) SELECT count(*) FROM gone"),
];

/// Erases the user's data; with `account` also the account, if this server keeps the accounts.
pub async fn run(settings: &Settings, user: &str, account: bool, confirmed: bool) -> Result<()> {
    let encryption = settings.encryption()?;
    let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
    let mut connection = database::connect(settings).await?;
    let user = database::get_id(&mut connection, user).await?;
    if !confirmed {
        bail!("this cannot be undone: give --yes to erase user {user}");
    }
    audit::record(&mut connection, "user erase", Some(user), json!({"state": "started"})).await?;
    let messages = erase_messages(&mut connection, &keyring, user).await?;
    print_line(&format!("messages: {messages}"))?;
    let groups = leave_groups(&mut connection, user).await?;
    print_line(&format!("groups: {groups}"))?;
    for (name, statement) in DELETIONS {
        let mut progress = Progress::new(name);
        loop {
            let gone: i64 = sqlx::query_scalar(statement).bind(user).bind(BATCH).fetch_one(&mut connection).await?;
            progress.add(gone.unsigned_abs());
            if gone < BATCH {
                break;
            }
        }
        print_line(&format!("{name}: {}", progress.count()))?;
    }
    let (told, unreadable) = events::erase(&mut connection, &keyring, user).await?;
    print_line(&format!("events: {told}"))?;
    let outcomes = events::forget_outcomes(&mut connection).await?;
    print_line(&format!("outcomes: {outcomes}"))?;
    if unreadable > 0 {
        bail!("{unreadable} events do not decrypt and may tell of user {user}; once their keys are given, repeat this");
    }
    let mut transaction = connection.begin().await?;
    if account {
        erase_account(&mut transaction, user).await?;
    }
    let details =
        json!({"state": "finished", "messages": messages, "groups": groups, "events": told, "account": account});
    audit::record(&mut transaction, "user erase", Some(user), details).await?;
    transaction.commit().await?;
    Ok(())
}

/// Replaces content with placeholders, and removes events that show the old content.
async fn erase_messages(connection: &mut PgConnection, keyring: &Keyring, user: i64) -> Result<u64> {
    let mut progress = Progress::new("messages");
    let mut after = Uuid::nil();
    loop {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT message_id FROM private_messages
             WHERE message_id > $1 AND sender_id = $2 AND erased_at IS NULL ORDER BY message_id LIMIT $3",
        )
        .bind(after)
        .bind(user)
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = ids.last() else { return Ok(progress.count()) };
        after = *last;
        let sealed: Vec<_> = ids.iter().map(|id| keyring.seal(*id, PLACEHOLDER)).collect();
        let contents: Vec<&[u8]> = sealed.iter().map(|sealed| &sealed.ciphertext[..]).collect();
        let ivs: Vec<&[u8]> = sealed.iter().map(|sealed| &sealed.iv[..]).collect();
        let macs: Vec<&[u8]> = sealed.iter().map(|sealed| &sealed.mac[..]).collect();
        sqlx::query(
            "WITH erased AS (
                 UPDATE private_messages p
                 SET content = n.content, iv = n.iv, mac = n.mac, key_id = $1, mentions = NULL, client_message_id = NULL,
                     metadata = NULL, erased_at = now()
                 FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bytea[]) AS n (message_id, content, iv, mac)
                 WHERE p.message_id = n.message_id RETURNING p.conversation_id, p.message_id
             ),
             told AS (DELETE FROM event_log WHERE message_id = ANY($2) RETURNING event_id),
             waiting AS (DELETE FROM event_queue WHERE event_id IN (SELECT event_id FROM told)),
             shared AS (
                 UPDATE conversation_changes c SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL FROM erased e
                 WHERE c.conversation_id = e.conversation_id AND c.event_id IS NOT NULL AND c.about = e.message_id
             )
             UPDATE conversations SET version = version + 1 WHERE conversation_id IN (SELECT conversation_id FROM erased)",
        )
        .bind(keyring.newest_key_id())
        .bind(&ids)
        .bind(&contents)
        .bind(&ivs)
        .bind(&macs)
        .execute(&mut *connection)
        .await?;
        progress.add(ids.len() as u64);
    }
}

/// A group that the user owned goes to its longest-serving admin, or else member; one without other members is deleted.
async fn leave_groups(connection: &mut PgConnection, user: i64) -> Result<u64> {
    let groups: Vec<String> = sqlx::query_scalar("SELECT group_id FROM group_members WHERE user_id = $1")
        .bind(user)
        .fetch_all(&mut *connection)
        .await?;
    for group in &groups {
        let mut transaction = connection.begin().await?;
        // Members' commands hold a share lock on the group: the owner, and the members who may inherit, stay the same
        // until the end.
        sqlx::query("SELECT FROM group_chats WHERE group_id = $1 FOR UPDATE")
            .bind(group)
            .execute(&mut *transaction)
            .await?;
        let role: Option<String> =
            sqlx::query_scalar("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2 RETURNING role")
                .bind(group)
                .bind(user)
                .fetch_optional(&mut *transaction)
                .await?;
        sqlx::query(
            "WITH raised AS (
                 UPDATE conversations SET version = version + 1 WHERE conversation_id = $1 RETURNING version
             )
             INSERT INTO conversation_changes (conversation_id, version, kind) SELECT $1, version, 2 FROM raised",
        )
        .bind(group)
        .execute(&mut *transaction)
        .await?;
        if role.as_deref() == Some("owner") {
            let heir = sqlx::query(
                "UPDATE group_members SET role = 'owner', can_add_members = TRUE
                 WHERE group_id = $1 AND user_id = (SELECT user_id FROM group_members WHERE group_id = $1
                                                    ORDER BY role <> 'admin', joined_at, user_id LIMIT 1)",
            );
            if heir.bind(group).execute(&mut *transaction).await?.rows_affected() == 0 {
                sqlx::query("UPDATE group_chats SET deleted_at = coalesce(deleted_at, now()) WHERE group_id = $1")
                    .bind(group)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
    }
    Ok(groups.len() as u64)
}

/// The account keeps only its id, which messages refer to.
async fn erase_account(connection: &mut PgConnection, user: i64) -> Result<()> {
    for statement in [
        "UPDATE users_auth SET username = 'deleted-' || user_id, email = NULL, password_hash = NULL WHERE user_id = $1",
        "DELETE FROM user_profile_info AS p
         WHERE $1::bigint::text = coalesce(to_jsonb(p) ->> 'user_id', to_jsonb(p) ->> 'user_id_serial')",
        "DELETE FROM user_follows WHERE follower_id = $1 OR followee_id = $1",
        "DELETE FROM blocked_relationships WHERE blocker_id = $1 OR blocked_id = $1",
    ] {
        sqlx::query(statement).bind(user).execute(&mut *connection).await?;
    }
    Ok(())
}
