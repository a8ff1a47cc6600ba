//! `webhook_endpoints`, `webhook_deliveries` and `webhook_topics`: where backends receive events, which deliveries are
//! waiting, and which topics are being delivered or wait after a failure.

use std::time::Duration;

use shared::ids::{EventId, MessageId, UserId, WorkerId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::columns::{raw, typed};
use super::session::{PgSession, interval};

/// Counting stops here.
const MAX_COUNTED: i64 = 100_000;

/// An endpoint, its secrets still sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    pub endpoint_id: Uuid,
    pub name: String,
    pub url: String,
    pub events: Vec<String>,
    pub secrets: Vec<u8>,
}

pub async fn list_endpoints(db: &mut PgSession) -> sqlx::Result<Vec<EndpointRow>> {
    sqlx::query_as!(
        EndpointRow,
        "SELECT endpoint_id, name, url, events, secrets FROM webhook_endpoints ORDER BY created_at, endpoint_id"
    )
    .fetch_all(db)
    .await
}

/// Creates the endpoint of this name, or changes the existing one, which keeps its id.
pub async fn upsert_endpoint(db: &mut PgSession, endpoint: &EndpointRow) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_endpoints (endpoint_id, name, url, events, secrets) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (name) DO UPDATE SET url = excluded.url, events = excluded.events, secrets = excluded.secrets",
        endpoint.endpoint_id,
        endpoint.name,
        endpoint.url,
        &endpoint.events,
        endpoint.secrets
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes an endpoint; its waiting deliveries are deleted gradually.
pub async fn delete_endpoint(db: &mut PgSession, name: &str) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM webhook_endpoints WHERE name = $1", name).execute(db).await?;
    Ok(())
}

/// Events to deliver, column by column, in their order.
#[derive(Default)]
pub struct NewDeliveries {
    pub topics: Vec<String>,
    pub events: Vec<String>,
    pub event_ids: Vec<EventId>,
    pub abouts: Vec<Option<MessageId>>,
    pub bodies: Vec<Option<Vec<u8>>>,
}

/// Stores a delivery of each event for each endpoint that has subscribed to it.
pub async fn insert_deliveries(db: &mut PgSession, new: &NewDeliveries) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO webhook_deliveries (endpoint_id, topic, event, event_id, about, body)
         SELECT e.endpoint_id, n.topic, n.event, n.event_id, n.about, n.body
         FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::bytea[]) WITH ORDINALITY
             AS n (topic, event, event_id, about, body, ord)
         JOIN webhook_endpoints e ON n.event = ANY (e.events)
         ORDER BY n.ord",
        &new.topics,
        &new.events,
        &raw(&new.event_ids),
        &raw(&new.abouts) as &[Option<Uuid>],
        &new.bodies as &[Option<Vec<u8>>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A topic that only this worker delivers for a while.
pub struct Claim {
    pub topic: String,
    /// Failures since the last success.
    pub failures: i32,
}

/// The claimed topics, and how far the search went.
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// Where to continue; `None` after the first topic.
    pub next: Option<String>,
}

/// Comes after every topic.
pub const AFTER_ALL_TOPICS: &str = "~";

/// Claims up to `most` topics of an endpoint with waiting deliveries, for `time`. Looks at no more than `hops` topics
/// before `before`: a search costs the same however long the backlog is, and each topic gets its turn. Backwards, because
/// what was delivered leaves dead entries at the beginning of its topic's part of the index.
///
/// Neither this nor [`settle`] waits for the disk: a crash of the database that loses them repeats deliveries, each topic's
/// in its order, which receivers expect.
pub async fn claim_topics(
    db: &mut PgSession,
    endpoint: Uuid,
    before: &str,
    hops: i64,
    most: i64,
    time: Duration,
    owner: WorkerId,
) -> sqlx::Result<Claimed> {
    let rows = sqlx::query!(
        r#"WITH RECURSIVE walk AS (
               (SELECT d.topic, 1::bigint AS hop FROM webhook_deliveries d
                WHERE d.endpoint_id = $1 AND d.set_aside_at IS NULL AND d.topic < $2
                ORDER BY d.topic DESC, d.delivery_id DESC LIMIT 1)
               UNION ALL
               SELECT n.topic, w.hop + 1 FROM walk w CROSS JOIN LATERAL (
                   SELECT d.topic FROM webhook_deliveries d
                   WHERE d.endpoint_id = $1 AND d.set_aside_at IS NULL AND d.topic < w.topic
                   ORDER BY d.topic DESC, d.delivery_id DESC LIMIT 1
               ) n
               WHERE w.hop < $3
           ),
           free AS (
               SELECT w.topic FROM walk w WHERE NOT EXISTS (
                   SELECT FROM webhook_topics t WHERE t.endpoint_id = $1 AND t.topic = w.topic AND t.blocked_until > now())
               ORDER BY w.topic DESC LIMIT $4
           ),
           claimed AS (
               INSERT INTO webhook_topics AS t (endpoint_id, topic, blocked_until, owner)
               SELECT $1, topic, now() + $5::interval, $6 FROM free
               WHERE set_config('synchronous_commit', 'off', true) IS NOT NULL ORDER BY topic
               ON CONFLICT (endpoint_id, topic) DO UPDATE SET blocked_until = excluded.blocked_until, owner = excluded.owner
                   WHERE t.blocked_until <= now()
               RETURNING topic, failures
           )
           SELECT c.topic AS "topic?", c.failures AS "failures?", w.last, w.hops AS "hops!", (SELECT min(topic) FROM free) AS last_free,
               (SELECT count(*) FROM free) AS "free!"
           FROM (SELECT min(topic) AS last, count(*) AS hops FROM walk) w LEFT JOIN claimed c ON TRUE"#,
        endpoint,
        before,
        hops,
        most,
        interval(time),
        owner.0
    )
    .fetch_all(db)
    .await?;
    let next = rows.first().and_then(|row| match () {
        () if row.free >= most => row.last_free.clone(),
        () if row.hops >= hops => row.last.clone(),
        () => None,
    });
    let claims = rows.into_iter().filter_map(|row| Some(Claim { topic: row.topic?, failures: row.failures? }));
    Ok(Claimed { claims: claims.collect(), next })
}

/// A waiting delivery, its body still sealed.
pub struct DeliveryRow {
    pub delivery_id: i64,
    pub topic: String,
    pub event: String,
    pub event_id: EventId,
    pub about: Option<MessageId>,
    pub body: Option<Vec<u8>>,
    pub happened_at: OffsetDateTime,
    pub after_user: UserId,
}

/// The first `limit` deliveries of each of these topics, in order.
pub async fn list_first(
    db: &mut PgSession,
    endpoint: Uuid,
    topics: &[String],
    limit: i64,
) -> sqlx::Result<Vec<DeliveryRow>> {
    let rows = sqlx::query!(
        r#"SELECT d.delivery_id, d.topic, d.event, d.event_id, d.about, d.body, d.happened_at, d.after_user
           FROM unnest($2::text[]) AS c (topic)
           CROSS JOIN LATERAL (
               SELECT * FROM webhook_deliveries d
               WHERE d.endpoint_id = $1 AND d.topic = c.topic AND d.set_aside_at IS NULL ORDER BY d.delivery_id LIMIT $3
           ) d
           ORDER BY d.topic, d.delivery_id"#,
        endpoint,
        topics,
        limit
    )
    .fetch_all(db)
    .await?;
    let row = rows.into_iter().map(|row| DeliveryRow {
        delivery_id: row.delivery_id,
        topic: row.topic,
        event: row.event,
        event_id: EventId(row.event_id),
        about: row.about.map(MessageId),
        body: row.body,
        happened_at: row.happened_at,
        after_user: UserId(row.after_user),
    });
    Ok(row.collect())
}

/// The results of delivering some topics, column by column.
#[derive(Default)]
pub struct Results {
    pub delivered: Vec<i64>,
    pub failed: Vec<i64>,
    pub errors: Vec<String>,
    /// Topics without a failure: any worker may claim them at once.
    pub freed: Vec<String>,
    /// Topics that have to wait, and for how many milliseconds.
    pub blocked: Vec<String>,
    pub pauses_ms: Vec<i64>,
    /// How many of each one's failures count.
    pub failures: Vec<i32>,
}

/// Deletes what was delivered, records what was not, and releases the topics.
pub async fn settle(db: &mut PgSession, endpoint: Uuid, owner: WorkerId, results: &Results) -> sqlx::Result<()> {
    // Rows are locked in the order of their keys, as in a claim.
    sqlx::query!(
        "WITH delivered AS (DELETE FROM webhook_deliveries WHERE delivery_id = ANY($1)),
         failed AS (
             UPDATE webhook_deliveries d SET attempts = d.attempts + 1, last_error = f.error
             FROM unnest($2::bigint[], $3::text[]) AS f (delivery_id, error) WHERE d.delivery_id = f.delivery_id
         ),
         ours AS MATERIALIZED (
             SELECT t.topic FROM webhook_topics t
             WHERE t.endpoint_id = $4 AND t.owner = $5 AND t.topic = ANY($6::text[] || $7::text[])
                 AND set_config('synchronous_commit', 'off', true) IS NOT NULL
             ORDER BY t.topic FOR UPDATE
         ),
         freed AS (
             DELETE FROM webhook_topics t USING ours
             WHERE t.endpoint_id = $4 AND t.topic = ours.topic AND t.topic = ANY($6::text[])
         )
         UPDATE webhook_topics t
         SET blocked_until = now() + make_interval(secs => b.pause_ms / 1000.0), failures = b.failures, owner = NULL
         FROM unnest($7::text[], $8::bigint[], $9::int[]) AS b (topic, pause_ms, failures)
         JOIN ours ON ours.topic = b.topic COLLATE \"C\"
         WHERE t.endpoint_id = $4 AND t.topic = ours.topic",
        &results.delivered,
        &results.failed,
        &results.errors,
        endpoint,
        owner.0,
        &results.freed,
        &results.blocked,
        &results.pauses_ms,
        &results.failures
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records up to which user a multi-part delivery was delivered.
pub async fn update_part(db: &mut PgSession, delivery_id: i64, after_user: UserId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE webhook_deliveries SET after_user = $2 WHERE delivery_id = $1", delivery_id, after_user.0)
        .execute(db)
        .await?;
    Ok(())
}

/// The users who should learn of a message even if they are not connected, with ids after `after`, in their order:
/// participants who did not write, read or receive it, and have not muted the conversation.
pub async fn list_push_candidates(
    db: &mut PgSession,
    message: MessageId,
    after: UserId,
    limit: i64,
) -> sqlx::Result<Vec<UserId>> {
    let users = sqlx::query_scalar!(
        r"SELECT m.user_id FROM private_messages p
          JOIN conversation_members m ON m.conversation_id = p.conversation_id
          WHERE p.message_id = $1 AND m.user_id > $2 AND m.user_id <> p.sender_id
              AND m.read_seq < p.seq AND m.delivered_seq < p.seq
              AND (m.muted_until IS NULL OR m.muted_until <= now())
              AND (m.conversation_id NOT LIKE 'group\_%' OR EXISTS (
                  SELECT FROM group_members g WHERE g.group_id = m.conversation_id AND g.user_id = m.user_id))
          ORDER BY m.user_id LIMIT $3",
        message.0,
        after.0,
        limit
    )
    .fetch_all(db)
    .await?;
    typed(users)
}

/// Those of these users who were last seen longer ago than `age`, and when.
pub async fn list_returning(
    db: &mut PgSession,
    users: &[UserId],
    age: Duration,
) -> sqlx::Result<Vec<(UserId, OffsetDateTime)>> {
    let rows = sqlx::query!(
        "SELECT user_id, last_seen_at FROM user_status
         WHERE user_id = ANY($1) AND NOT online AND last_seen_at < now() - $2::interval",
        &raw(users),
        interval(age)
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), row.last_seen_at)).collect())
}

/// Sets aside up to `limit` deliveries that have waited for longer than `age`; returns how many.
pub async fn update_set_aside(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "UPDATE webhook_deliveries SET set_aside_at = now() WHERE delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries
             WHERE set_aside_at IS NULL AND waiting_since < now() - $1::interval
             ORDER BY waiting_since LIMIT $2 FOR UPDATE SKIP LOCKED)",
        interval(age),
        limit
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes up to `limit` deliveries that were set aside longer ago than `age`; returns how many.
pub async fn delete_set_aside(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "DELETE FROM webhook_deliveries WHERE delivery_id IN (
             SELECT delivery_id FROM webhook_deliveries WHERE set_aside_at < now() - $1::interval
             ORDER BY set_aside_at LIMIT $2)",
        interval(age),
        limit
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes up to `limit` deliveries, and topics, of deleted endpoints; returns how many deliveries.
pub async fn delete_orphans(db: &mut PgSession, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "WITH topics AS (
             DELETE FROM webhook_topics t WHERE NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.endpoint_id = t.endpoint_id)
         )
         DELETE FROM webhook_deliveries WHERE delivery_id IN (
             SELECT d.delivery_id FROM webhook_deliveries d
             WHERE NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.endpoint_id = d.endpoint_id) LIMIT $1)",
        limit
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The waiting deliveries, for metrics.
pub struct Backlog {
    pub waiting: i64,
    pub oldest_seconds: f64,
    pub set_aside: i64,
}

pub async fn get_backlog(db: &mut PgSession) -> sqlx::Result<Backlog> {
    sqlx::query_as!(
        Backlog,
        r#"SELECT (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE set_aside_at IS NULL LIMIT $1) w) AS "waiting!",
               coalesce(extract(epoch FROM now() - (
                   SELECT waiting_since FROM webhook_deliveries WHERE set_aside_at IS NULL ORDER BY waiting_since LIMIT 1
               )), 0)::float8 AS "oldest_seconds!",
               (SELECT count(*) FROM (SELECT FROM webhook_deliveries WHERE set_aside_at IS NOT NULL LIMIT $1) s) AS "set_aside!""#,
        MAX_COUNTED
    )
    .fetch_one(db)
    .await
}
