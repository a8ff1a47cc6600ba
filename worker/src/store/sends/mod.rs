//! The group commit: one statement that checks, numbers and stores a batch of messages, in one round trip and one
//! transaction however large the batch is. Redelivered and repeated sends are recognised here. The statement here does
//! everything; most batches need less, and have a shorter one: a single direct message (`lone`), and several that are all
//! allowed (`direct`). A batch that theirs cannot store takes a second round trip.

mod direct;
mod lone;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::columns::{Column, Typed, raw};
use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events::message::MessageKind;
use shared::ids::{ConversationId, MessageId, UserId, WorkerId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::leases::Lease;
use super::session::{interval, milliseconds};

/// A message to store.
pub struct NewMessage {
    pub message: MessageId,
    pub conversation: ConversationId,
    pub partition: i32,
    pub sender: UserId,
    /// `None` in groups.
    pub recipient: Option<UserId>,
    pub kind: MessageKind,
    pub content: Vec<u8>,
    pub iv: Vec<u8>,
    pub mac: Vec<u8>,
    pub key_id: i16,
    pub reply_to: Option<MessageId>,
    /// A Postgres array literal of user ids; 0 stands for everyone.
    pub mentions: Option<String>,
    pub client_message_id: Option<String>,
    pub created_at: OffsetDateTime,
    /// Past its deadline: recognised if it was stored before, but not stored now.
    pub is_expired: bool,
    /// Sealed.
    pub metadata: Option<Vec<u8>>,
}

/// How long the statement may wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a lock that another session holds.
    pub lock: Duration,
    /// In total: nothing is stored later than this after the statement's arrival.
    pub whole: Duration,
}

/// The messages of a batch, column by column as the statement takes them, in the order in which they were sent.
#[derive(Default)]
pub struct SendRows {
    message_id: Vec<Uuid>,
    conversation_id: Vec<String>,
    partition: Vec<i32>,
    sender_id: Vec<i64>,
    recipient_id: Vec<Option<i64>>,
    kind: Vec<i16>,
    content: Vec<Vec<u8>>,
    iv: Vec<Vec<u8>>,
    mac: Vec<Vec<u8>>,
    key_id: Vec<i16>,
    reply_to: Vec<Option<Uuid>>,
    mentions: Vec<Option<String>>,
    client_message_id: Vec<Option<String>>,
    created_at: Vec<OffsetDateTime>,
    expired: Vec<bool>,
    /// Shorter than the others, or empty, when the last messages have none.
    metadata: Vec<Option<Vec<u8>>>,
}

impl SendRows {
    pub fn push(&mut self, new: NewMessage) {
        self.message_id.push(new.message.to_stored());
        self.conversation_id.push(new.conversation.to_stored());
        self.partition.push(new.partition);
        self.sender_id.push(new.sender.to_stored());
        self.recipient_id.push(new.recipient.to_stored());
        self.kind.push(new.kind.to_stored());
        self.content.push(new.content);
        self.iv.push(new.iv);
        self.mac.push(new.mac);
        self.key_id.push(new.key_id);
        self.reply_to.push(new.reply_to.to_stored());
        self.mentions.push(new.mentions);
        self.client_message_id.push(new.client_message_id);
        self.created_at.push(new.created_at);
        self.expired.push(new.is_expired);
        if new.metadata.is_some() {
            self.metadata.resize(self.message_id.len() - 1, None);
            self.metadata.push(new.metadata);
        }
    }
}

/// The statement's result for one row.
pub struct Verdict {
    pub kind: VerdictKind,
    pub sender_username: String,
    /// The stored number and time, from this statement or an earlier one.
    pub seq: i64,
    /// The conversation's version that this message made; unknown if an earlier release stored it.
    pub version: Option<i64>,
    pub created_at: Timestamp,
    /// For a repetition: the first message's id and conversation.
    pub first: Option<(MessageId, ConversationId)>,
    pub following: bool,
}

impl Verdict {
    /// True if it is the first message of a conversation with a user whom the sender does not follow.
    pub fn begins_with_stranger(&self) -> bool {
        self.kind == VerdictKind::Stored && self.seq == 1 && !self.following
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictKind {
    Stored,
    /// This command was applied before.
    Applied,
    /// The sender used this `clientMessageId` before.
    Duplicate,
    /// Applied before, and the message deleted since.
    Removed,
    LeaseLost,
    Expired,
    UnknownSender,
    UnknownRecipient,
    Blocked,
    NotFollowing,
    NotMember,
    NotAllowed,
    /// For so many seconds, if the mute ends by itself.
    Muted {
        wait_seconds: Option<u32>,
    },
    /// In slow mode.
    TooSoon {
        wait_seconds: Option<u32>,
    },
}

impl VerdictKind {
    fn parse(text: &str) -> Self {
        match text {
            "stored" => Self::Stored,
            "applied" => Self::Applied,
            "duplicate" => Self::Duplicate,
            "removed" => Self::Removed,
            "expired" => Self::Expired,
            "unknown_sender" => Self::UnknownSender,
            "unknown_recipient" => Self::UnknownRecipient,
            "blocked" => Self::Blocked,
            "not_following" => Self::NotFollowing,
            "not_member" => Self::NotMember,
            "not_allowed" => Self::NotAllowed,
            with_wait => Self::parse_with_wait(with_wait),
        }
    }

    /// A kind and the seconds, which may be absent.
    fn parse_with_wait(text: &str) -> Self {
        let (kind, seconds) = text.split_once(' ').unwrap_or((text, ""));
        let wait_seconds = seconds.parse().ok();
        match kind {
            "muted" => Self::Muted { wait_seconds },
            "too_soon" => Self::TooSoon { wait_seconds },
            // Anything else would be a fault in the statement: fail closed, as if another worker had to do it.
            _ => Self::LeaseLost,
        }
    }
}

/// The session settings for planning the statement: it is planned once, whatever the tables contain. Planning it each
/// time takes longer than executing it, and a plan made for empty tables scans large ones completely later. Every
/// lookup is by a key (`OFFSET 0` keeps the planner from joining in other ways), so only joins within the batch are
/// left, which should be hash joins.
pub const PLANNING: [(&str, &str); 4] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_nestloop", "off"),
];

/// Checks and stores the batch. Returns a verdict per row, in the rows' order. No two rows may have the same id, or the
/// same sender and `clientMessageId`.
///
/// # Errors
/// A unique violation when another partition stored the same `clientMessageId` at the same moment; the next attempt
/// finds it. `lock_not_available` or `query_canceled` when it would have taken more than this patience; then nothing is
/// stored.
pub async fn insert_messages(
    db: &mut PgSession,
    worker: WorkerId,
    leases: &[Lease],
    enforce_following: bool,
    rows: &SendRows,
    patience: Patience,
) -> sqlx::Result<Vec<Verdict>> {
    if let Some(verdict) = lone::insert(db, worker, leases, enforce_following, rows, patience).await? {
        return Ok(vec![verdict]);
    }
    if rows.message_id.len() > 1
        && let Some(verdicts) = direct::insert(db, worker, leases, enforce_following, rows, patience).await?
    {
        return Ok(verdicts);
    }
    let partitions: Vec<i32> = leases.iter().map(|lease| lease.partition).collect();
    let epochs: Vec<i64> = leases.iter().map(|lease| lease.epoch).collect();
    let verdicts = sqlx::query!(
        r#"
        WITH input AS MATERIALIZED (
            SELECT * FROM unnest(
                $1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[], $8::bytea[],
                $9::bytea[], $10::smallint[], $11::uuid[], $12::text[], $13::text[], $14::timestamptz[], $15::boolean[],
                $22::bytea[]
            ) WITH ORDINALITY AS i (
                message_id, conversation_id, partition, sender_id, recipient_id, kind, content, iv,
                mac, key_id, reply_to, mentions, client_message_id, created_at, expired, metadata, ord
            )
        ),
        -- From here on, and for this transaction.
        patience AS MATERIALIZED (SELECT set_config('lock_timeout', $20, true) AS lock_timeout),
        -- A takeover of a partition waits for this lock, or was first and makes the row vanish from here.
        fence AS MATERIALIZED (
            SELECT held.partition FROM unnest($16::int[], $17::bigint[]) AS held (partition, epoch)
            CROSS JOIN LATERAL (
                SELECT FROM partition_leases l
                WHERE l.partition = held.partition AND l.epoch = held.epoch AND l.owner = $18
                FOR SHARE
            ) l
            WHERE (SELECT lock_timeout FROM patience) IS NOT NULL
        ),
        facts AS MATERIALIZED (
            SELECT i.*, sender.username AS sender_username,
                coalesce(applied.seq, first.seq) AS stored_seq,
                coalesce(applied.created_at, first.created_at) AS stored_at, applied.version AS stored_version,
                first.message_id AS first_message_id, first.conversation_id AS first_conversation_id,
                i.recipient_id IS NULL OR follow.found IS NOT NULL AS following,
                CASE
                    WHEN fence.partition IS NULL THEN 'lease_lost'
                    WHEN applied.message_id IS NOT NULL THEN 'applied'
                    WHEN first.message_id IS NOT NULL THEN 'duplicate'
                    WHEN removed.found IS NOT NULL THEN 'removed'
                    WHEN i.expired THEN 'expired'
                    WHEN sender.user_id IS NULL THEN 'unknown_sender'
                    WHEN i.recipient_id IS NULL THEN
                        CASE
                            WHEN member.slow_mode_seconds IS NULL THEN 'not_member'
                            WHEN i.kind = 2 AND member.role = 'member' THEN 'not_allowed'
                            -- The product's words, not the member's.
                            WHEN i.kind = 3 THEN 'stored'
                            WHEN member.mute IS NOT NULL AND member.role <> 'owner' THEN member.mute
                            WHEN member.slow_mode_seconds > 0 AND member.role = 'member'
                                THEN chat_take_turn(i.conversation_id, i.sender_id, member.slow_mode_seconds)
                            ELSE 'stored'
                        END
                    WHEN recipient.user_id IS NULL THEN 'unknown_recipient'
                    WHEN blocking.found IS NOT NULL OR blocked.found IS NOT NULL THEN 'blocked'
                    WHEN $19 AND follow.found IS NULL THEN 'not_following'
                    ELSE 'stored'
                END AS verdict
            FROM input i
            LEFT JOIN fence ON fence.partition = i.partition
            LEFT JOIN LATERAL (
                SELECT p.message_id, p.seq, p.version, p.created_at FROM private_messages p
                WHERE p.message_id = i.message_id OFFSET 0
            ) applied ON true
            LEFT JOIN LATERAL (
                SELECT p.message_id, p.conversation_id, p.seq, p.created_at FROM private_messages p
                WHERE p.sender_id = i.sender_id AND p.client_message_id = i.client_message_id
                    AND p.message_id <> i.message_id
                OFFSET 0
            ) first ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found FROM applied_commands a WHERE a.command_id = i.message_id OFFSET 0
            ) removed ON true
            LEFT JOIN LATERAL (
                SELECT u.user_id, u.username FROM users_auth u WHERE u.user_id = i.sender_id OFFSET 0
            ) sender ON true
            LEFT JOIN LATERAL (
                SELECT u.user_id FROM users_auth u WHERE u.user_id = i.recipient_id OFFSET 0
            ) recipient ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found FROM user_follows f
                WHERE f.follower_id = i.sender_id AND f.followee_id = i.recipient_id OFFSET 0
            ) follow ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found FROM blocked_relationships b
                WHERE b.blocker_id = i.sender_id AND b.blocked_id = i.recipient_id OFFSET 0
            ) blocking ON true
            LEFT JOIN LATERAL (
                SELECT 1 AS found FROM blocked_relationships b
                WHERE b.blocker_id = i.recipient_id AND b.blocked_id = i.sender_id OFFSET 0
            ) blocked ON true
            LEFT JOIN LATERAL (
                SELECT m.role,
                    -- None of a deleted group.
                    (SELECT g.slow_mode_seconds FROM group_chats g
                     WHERE g.group_id = m.group_id AND g.deleted_at IS NULL) AS slow_mode_seconds,
                    (SELECT 'muted ' || coalesce(ceil(extract(epoch FROM s.ends_at - now()))::bigint::text, '')
                     FROM group_sanctions s
                     WHERE s.group_id = m.group_id AND s.kind = 'mute' AND s.user_id = m.user_id
                         AND (s.ends_at IS NULL OR s.ends_at > now())) AS mute
                FROM group_members m
                WHERE i.recipient_id IS NULL AND m.group_id = i.conversation_id AND m.user_id = i.sender_id
                OFFSET 0
            ) member ON true
        ),
        accepted AS MATERIALIZED (
            SELECT f.*, row_number() OVER (PARTITION BY conversation_id ORDER BY ord) AS place,
                count(*) OVER conversation AS messages, max(created_at) OVER conversation AS newest_at
            FROM facts f WHERE verdict = 'stored' WINDOW conversation AS (PARTITION BY conversation_id)
        ),
        numbered AS (
            INSERT INTO conversations AS c (conversation_id, last_seq, message_count, version, last_message_at)
            SELECT conversation_id, messages, messages, 1 + messages, newest_at FROM accepted WHERE place = 1
            ORDER BY conversation_id
            ON CONFLICT (conversation_id) DO UPDATE SET
                last_seq = c.last_seq + excluded.last_seq,
                message_count = c.message_count + excluded.message_count,
                version = c.version + excluded.message_count,
                last_message_at = greatest(c.last_message_at, excluded.last_message_at)
            RETURNING c.conversation_id, c.last_seq, c.version
        ),
        started AS (
            INSERT INTO conversation_members (user_id, conversation_id)
            SELECT DISTINCT participant, a.conversation_id
            FROM accepted a
            JOIN numbered n ON n.conversation_id = a.conversation_id AND n.last_seq = a.messages
            CROSS JOIN LATERAL unnest(ARRAY[a.sender_id, a.recipient_id]) AS participant
            WHERE a.recipient_id IS NOT NULL
            ON CONFLICT DO NOTHING
        ),
        stored AS (
            INSERT INTO private_messages (
                message_id, conversation_id, seq, sender_id, recipient_id, kind, content, iv, mac, key_id,
                reply_to_message_id, mentions, client_message_id, created_at, version, metadata
            )
            SELECT a.message_id, a.conversation_id, n.last_seq - a.messages + a.place, a.sender_id, a.recipient_id, a.kind,
                a.content, a.iv, a.mac, a.key_id, a.reply_to, a.mentions::bigint[], a.client_message_id, a.created_at,
                n.version - a.messages + a.place, a.metadata
            FROM accepted a JOIN numbered n ON n.conversation_id = a.conversation_id
            -- `now()` is when the transaction began, before all waiting.
            RETURNING message_id, seq, version, CASE WHEN clock_timestamp() > now() + $21 THEN chat_reject_late() END
        )
        SELECT f.verdict AS "verdict!", coalesce(f.sender_username, '')::text AS "sender_username!",
            coalesce(stored.seq, f.stored_seq, 0) AS "seq!", coalesce(stored.version, f.stored_version) AS version,
            coalesce(f.stored_at, f.created_at) AS "created_at!",
            f.first_message_id AS "first_message_id?", f.first_conversation_id AS "first_conversation_id?: Typed<ConversationId>",
            f.following AS "following!"
        FROM facts f LEFT JOIN stored ON stored.message_id = f.message_id
        ORDER BY f.ord
        "#,
        &rows.message_id,
        &rows.conversation_id,
        &rows.partition,
        &rows.sender_id,
        &rows.recipient_id as &[Option<i64>],
        &rows.kind,
        &rows.content,
        &rows.iv,
        &rows.mac,
        &rows.key_id,
        &rows.reply_to as &[Option<Uuid>],
        &rows.mentions as &[Option<String>],
        &rows.client_message_id as &[Option<String>],
        &rows.created_at,
        &rows.expired,
        &partitions,
        &epochs,
        worker.0,
        enforce_following,
        milliseconds(patience.lock),
        interval(patience.whole),
        &rows.metadata as &[Option<Vec<u8>>],
    )
    .fetch_all(db)
    .await?;
    Ok(verdicts
        .into_iter()
        .map(|row| Verdict {
            kind: VerdictKind::parse(&row.verdict),
            sender_username: row.sender_username,
            seq: row.seq,
            version: row.version,
            created_at: row.created_at.into(),
            first: row.first_message_id.map(MessageId).zip(row.first_conversation_id.map(Into::into)),
            following: row.following,
        })
        .collect())
}

/// Those of these senders, recipients and conversations that are with strangers: the conversation has no message yet,
/// and the sender does not follow the recipient.
pub async fn list_strangers(
    db: &mut PgSession,
    senders: &[UserId],
    recipients: &[UserId],
    conversations: &[ConversationId],
) -> sqlx::Result<Vec<(UserId, ConversationId)>> {
    let rows = sqlx::query!(
        r#"SELECT s.sender_id AS "sender_id!", s.conversation_id AS "conversation_id!: Typed<ConversationId>"
           FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS s (sender_id, recipient_id, conversation_id)
           WHERE NOT EXISTS (SELECT FROM conversations c WHERE c.conversation_id = s.conversation_id AND c.last_seq > 0)
               AND NOT EXISTS (SELECT FROM user_follows f
                               WHERE f.follower_id = s.sender_id AND f.followee_id = s.recipient_id)"#,
        &raw(senders),
        &raw(recipients),
        &raw(conversations)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.sender_id), row.conversation_id.into())).collect())
}
