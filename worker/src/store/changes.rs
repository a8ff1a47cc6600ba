//! `conversation_changes`: what happened to a conversation other than new messages, for `sync`. The rows are written by
//! the statements that make the changes. [`super::shared_events`] holds what participants are told about them.

use super::columns::{Spelled, Typed, raw};
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::role::Role;
use std::time::Duration;

use crate::store::session::PgSession;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;
use uuid::Uuid;

/// The kind of a change; the numbers are stored in the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A message was edited, deleted, pinned, or got other reactions.
    Message,
    /// The displayed information of the conversation changed.
    Info,
    /// All messages up to a number were deleted.
    Emptied,
    /// Written by a later version.
    Unknown,
}

impl From<i16> for ChangeKind {
    fn from(stored: i16) -> Self {
        match stored {
            1 => ChangeKind::Message,
            2 => ChangeKind::Info,
            3 => ChangeKind::Emptied,
            _ => ChangeKind::Unknown,
        }
    }
}

/// What `sync` needs to know about a conversation.
pub struct Extent {
    pub conversation_id: ConversationId,
    pub last_seq: i64,
    pub version: i64,
    /// Changes up to this version may no longer be stored.
    pub changes_lost: i64,
    /// Messages up to this number are gone because of their age.
    pub expired_seq: i64,
    /// Some of them within the last week.
    pub expired_recently: bool,
    /// Messages up to this number are hidden from this user, since this version.
    pub cleared_seq: i64,
    pub cleared_version: i64,
    /// The user's own settings, since this version.
    pub muted_until: Option<OffsetDateTime>,
    pub pinned: bool,
    pub marked_unread: bool,
    pub settings_version: i64,
}

/// The extents of those conversations in which anything has happened.
pub async fn list_extents(
    db: &mut PgSession,
    user: UserId,
    conversations: &[ConversationId],
) -> sqlx::Result<Vec<Extent>> {
    sqlx::query_as!(
        Extent,
        r#"SELECT c.conversation_id AS "conversation_id: Typed<ConversationId>", c.last_seq, c.version, c.changes_lost,
               c.expired_seq, coalesce(c.expired_at > now() - interval '7 days', FALSE) AS "expired_recently!",
               coalesce(m.cleared_seq, 0) AS "cleared_seq!",
               coalesce(m.cleared_version, 0) AS "cleared_version!", m.muted_until AS "muted_until?",
               coalesce(m.pinned, FALSE) AS "pinned!", coalesce(m.marked_unread, FALSE) AS "marked_unread!",
               coalesce(m.settings_version, 0) AS "settings_version!"
           FROM unnest($2::text[]) AS i (conversation_id)
           JOIN conversations c ON c.conversation_id = i.conversation_id
           LEFT JOIN conversation_members m ON m.conversation_id = c.conversation_id AND m.user_id = $1"#,
        user.0,
        &raw(conversations)
    )
    .fetch_all(db)
    .await
}

/// One change.
pub struct Change {
    /// The position of its conversation among the requested ones, from 1.
    pub ord: i64,
    pub version: i64,
    pub kind: ChangeKind,
    pub seq: Option<i64>,
    pub message_id: Option<MessageId>,
}

/// The first `most` changes of each conversation after a version, in the order of the conversations, oldest first; the
/// arrays are parallel.
pub async fn list_changes(
    db: &mut PgSession,
    conversations: &[ConversationId],
    versions: &[i64],
    most: i64,
) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"SELECT i.ord AS "ord!", c.version, c.kind, c.seq, c.message_id AS "message_id!: Typed<Option<MessageId>>"
           FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS i (conversation_id, version, ord)
           CROSS JOIN LATERAL (
               SELECT c.version, c.kind, c.seq, c.message_id FROM conversation_changes c
               WHERE c.conversation_id = i.conversation_id AND c.version > i.version
               ORDER BY c.version LIMIT $3
           ) c
           ORDER BY i.ord, c.version"#,
        &raw(conversations),
        versions,
        most
    )
    .fetch_all(db)
    .await
}

/// A message that the user hid.
pub struct Hidden {
    pub ord: i64,
    pub seq: i64,
    pub message_id: MessageId,
}

/// Where to search for hidden messages: one conversation for each position of the lists.
#[derive(Default)]
pub struct HiddenSince {
    pub conversations: Vec<ConversationId>,
    pub versions: Vec<i64>,
    /// Above this number,
    pub after: Vec<i64>,
    /// and up to this one.
    pub up_to: Vec<i64>,
    /// True if the conversation has changed since the version.
    pub moved: Vec<bool>,
}

/// The first `most` messages of each conversation that the user hid at or after the version; if the conversation has
/// changed since, also those hidden within the last day. In the order of the conversations, oldest first.
///
/// Hiding raises no version, so a connected device that lost the event (while its gateway's subscription was interrupted) takes over
/// later versions without noticing. The last day is repeated for that device.
pub async fn list_hidden_since(
    db: &mut PgSession,
    user: UserId,
    asked: &HiddenSince,
    most: i64,
) -> sqlx::Result<Vec<Hidden>> {
    sqlx::query_as!(
        Hidden,
        r#"SELECT i.ord AS "ord!", d.seq, d.message_id
           FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bool[]) WITH ORDINALITY
               AS i (conversation_id, version, after, up_to, moved, ord)
           CROSS JOIN LATERAL (
               SELECT d.seq, d.message_id FROM message_deletions d
               WHERE d.user_id = $1 AND d.conversation_id = i.conversation_id AND d.seq > i.after AND d.seq <= i.up_to
                   AND (d.version >= i.version OR i.moved AND d.deleted_at > now() - interval '1 day')
               ORDER BY d.seq LIMIT $7
           ) d
           ORDER BY i.ord, d.seq"#,
        user.0,
        &raw(&asked.conversations),
        &asked.versions,
        &asked.after,
        &asked.up_to,
        &asked.moved,
        most
    )
    .fetch_all(db)
    .await
}

/// A group as one of its members sees it.
pub struct GroupState {
    pub group_id: GroupId,
    pub name: String,
    pub description: String,
    pub created_by: UserId,
    pub max_members: i32,
    pub created_at: time::OffsetDateTime,
    pub member_count: i64,
    pub role: Role,
    pub slow_mode_seconds: i32,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
    /// The member's own mute, if one is in effect, its reason sealed under its id.
    pub mute_id: Option<Uuid>,
    pub mute_ends_at: Option<OffsetDateTime>,
    pub mute_reason: Option<Vec<u8>>,
}

/// Those of these groups in which the user is a member.
pub async fn list_groups(db: &mut PgSession, user: UserId, groups: &[GroupId]) -> sqlx::Result<Vec<GroupState>> {
    sqlx::query_as!(
        GroupState,
        r#"SELECT g.group_id AS "group_id: Typed<GroupId>", g.name, g.description, g.created_by, g.max_members, g.created_at, g.slow_mode_seconds, g.metadata, m.role AS "role: Typed<Role>",
               s.sanction_id AS "mute_id?", s.ends_at AS "mute_ends_at?", s.reason AS "mute_reason?",
               (SELECT count(*) FROM group_members n WHERE n.group_id = g.group_id) AS "member_count!"
           FROM group_chats g
           JOIN group_members m ON m.group_id = g.group_id AND m.user_id = $1
           LEFT JOIN group_sanctions s ON s.group_id = g.group_id AND s.kind = 'mute' AND s.user_id = $1
               AND (s.ends_at IS NULL OR s.ends_at > now())
           WHERE g.group_id = ANY($2) AND g.deleted_at IS NULL"#,
        user.0,
        &raw(groups)
    )
    .fetch_all(db)
    .await
}

/// A conversation with changes, and which of them exceed the number that is kept.
pub struct Surplus {
    pub conversation_id: Spelled,
    pub up_to: Option<i64>,
    /// True if the conversation no longer exists.
    pub is_gone: bool,
}

/// The next `limit` conversations with changes; those beyond the newest `kept` of each are surplus.
pub async fn list_surplus(db: &mut PgSession, after: &Spelled, limit: i64, kept: i64) -> sqlx::Result<Vec<Surplus>> {
    // Skips from one conversation to the next with the index, however many changes lie in between.
    sqlx::query_as!(
        Surplus,
        r#"WITH RECURSIVE walked AS (
               (SELECT conversation_id, 1::bigint AS place FROM conversation_changes
                WHERE conversation_id > $1 ORDER BY conversation_id LIMIT 1)
               UNION ALL
               SELECT next.conversation_id, w.place + 1
               FROM walked w
               CROSS JOIN LATERAL (
                   SELECT c.conversation_id FROM conversation_changes c
                   WHERE c.conversation_id > w.conversation_id ORDER BY c.conversation_id LIMIT 1
               ) next
               WHERE w.place < $2
           )
           SELECT w.conversation_id AS "conversation_id!",
               (SELECT c.version FROM conversation_changes c WHERE c.conversation_id = w.conversation_id
                ORDER BY c.version DESC OFFSET $3 LIMIT 1) AS up_to,
               NOT EXISTS (SELECT FROM conversations c WHERE c.conversation_id = w.conversation_id) AS "is_gone!"
           FROM walked w ORDER BY w.place"#,
        after.0,
        limit,
        kept
    )
    .fetch_all(db)
    .await
}

/// Deletes up to `limit` changes of a conversation up to a version that are older than `age`, and records that they are
/// lost; returns how many. Those whose event is still kept stay, unless they go `with_events`.
pub async fn delete_old(
    db: &mut PgSession,
    conversation: &Spelled,
    up_to: i64,
    age: Duration,
    with_events: bool,
    limit: i64,
) -> sqlx::Result<i64> {
    let microseconds = age.as_micros().min(i64::MAX as u128) as i64;
    sqlx::query_scalar!(
        r#"WITH chosen AS MATERIALIZED (
               SELECT version FROM conversation_changes
               WHERE conversation_id = $1 AND version <= $2 AND at <= now() - $3::interval AND ($5 OR event_id IS NULL)
               ORDER BY version LIMIT $4
           ),
           gone AS (
               DELETE FROM conversation_changes
               WHERE conversation_id = $1 AND version IN (SELECT version FROM chosen)
           ),
           lost AS (
               UPDATE conversations SET changes_lost = greatest(changes_lost, (SELECT max(version) FROM chosen))
               WHERE conversation_id = $1 AND EXISTS (SELECT FROM chosen)
           )
           SELECT count(*) AS "count!" FROM chosen"#,
        conversation.0,
        up_to,
        PgInterval { months: 0, days: 0, microseconds },
        limit,
        with_events
    )
    .fetch_one(db)
    .await
}
