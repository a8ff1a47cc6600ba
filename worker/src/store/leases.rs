//! `workers` and `partition_leases`: who is alive, and who may write to which partition.

use shared::ids::{UserId, WorkerId};
use std::time::Duration;

use crate::store::session::PgSession;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;

/// The right to apply the commands of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub partition: i32,
    /// Rises with each change of owner.
    pub epoch: i64,
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: duration.as_micros().min(i64::MAX as u128) as i64 }
}

/// Makes the rows of partitions `0..partitions` where they are missing.
pub async fn insert_partitions(db: &mut PgSession, partitions: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO partition_leases (partition) SELECT generate_series(0, $1::int - 1) ON CONFLICT DO NOTHING",
        partitions
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A sign of life of this worker; forgets workers that gave none for ten times `ttl`.
pub async fn update_heartbeat(db: &mut PgSession, worker: WorkerId, ttl: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "WITH forgotten AS (
             DELETE FROM workers WHERE heartbeat_at < now() - $2::interval * 10 AND worker_id <> $1
         )
         INSERT INTO workers (worker_id, heartbeat_at) VALUES ($1, now())
         ON CONFLICT (worker_id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at",
        worker.0,
        interval(ttl)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes without changing anything: whether this worker can.
pub async fn update_probe(db: &mut PgSession, worker: WorkerId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE workers SET heartbeat_at = heartbeat_at WHERE worker_id = $1", worker.0).execute(db).await?;
    Ok(())
}

/// Prolongs the leases that this worker still owns; returns them, with this worker's rank among the live workers (from 0)
/// and their number.
pub async fn update_owned(db: &mut PgSession, worker: WorkerId, ttl: Duration) -> sqlx::Result<Owned> {
    let owned = sqlx::query_as!(
        Lease,
        "UPDATE partition_leases SET expires_at = now() + $2::interval WHERE owner = $1 RETURNING partition, epoch",
        worker.0,
        interval(ttl)
    )
    .fetch_all(&mut *db)
    .await?;
    let fleet = sqlx::query!(
        r#"SELECT count(*) AS "live!", count(*) FILTER (WHERE worker_id < $1) AS "rank!"
           FROM workers WHERE heartbeat_at > now() - $2::interval"#,
        worker.0,
        interval(ttl)
    )
    .fetch_one(db)
    .await?;
    Ok(Owned { leases: owned, live_workers: fleet.live, rank: fleet.rank })
}

pub struct Owned {
    pub leases: Vec<Lease>,
    pub live_workers: i64,
    pub rank: i64,
}

/// A lease taken over.
pub struct Takeover {
    pub lease: Lease,
    /// When the lease of an owner ran out that did not give it back.
    pub abandoned_at: Option<OffsetDateTime>,
}

/// Takes up to `count` partitions below `partitions` that nobody owns or whose lease ran out. A row that the old owner's
/// commit still holds is left for the next time, so that one stuck transaction holds up nothing else.
pub async fn update_unowned(
    db: &mut PgSession,
    worker: WorkerId,
    partitions: i32,
    count: i64,
    ttl: Duration,
) -> sqlx::Result<Vec<Takeover>> {
    let rows = sqlx::query!(
        r#"UPDATE partition_leases AS l
         SET owner = $1, epoch = l.epoch + 1, expires_at = now() + $4::interval
         FROM (SELECT partition, CASE WHEN owner IS NOT NULL THEN expires_at END AS abandoned_at FROM partition_leases
               WHERE partition < $2 AND (owner IS NULL OR expires_at < now())
               ORDER BY partition LIMIT $3 FOR UPDATE SKIP LOCKED) AS free
         WHERE l.partition = free.partition
         RETURNING l.partition, l.epoch, free.abandoned_at AS "abandoned_at?""#,
        worker.0,
        partitions,
        count,
        interval(ttl)
    )
    .fetch_all(db)
    .await?;
    let taken = |partition, epoch, abandoned_at| Takeover { lease: Lease { partition, epoch }, abandoned_at };
    Ok(rows.into_iter().map(|row| taken(row.partition, row.epoch, row.abandoned_at)).collect())
}

/// Gives leases back, for others to take at once.
pub async fn delete_owned(db: &mut PgSession, worker: WorkerId, partitions: &[i32]) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE partition_leases SET owner = NULL, expires_at = '-infinity' WHERE owner = $1 AND partition = ANY($2)",
        worker.0,
        partitions
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes this worker off the list, so that the others spread its partitions at once.
pub async fn delete_worker(db: &mut PgSession, worker: WorkerId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM workers WHERE worker_id = $1", worker.0).execute(db).await?;
    Ok(())
}

/// What decides whether a command may be applied at all.
pub struct Precondition {
    /// The lease still holds, locked against a takeover until the end of the transaction.
    pub is_held: bool,
    /// The caller's account exists.
    pub caller_exists: bool,
}

pub async fn get_precondition(
    db: &mut PgSession,
    worker: WorkerId,
    lease: Lease,
    caller: UserId,
) -> sqlx::Result<Precondition> {
    let row = sqlx::query!(
        r#"SELECT partition, EXISTS (SELECT FROM users_auth WHERE user_id = $4) AS "caller_exists!"
           FROM partition_leases WHERE partition = $1 AND epoch = $2 AND owner = $3 FOR SHARE"#,
        lease.partition,
        lease.epoch,
        worker.0,
        caller.0
    )
    .fetch_optional(db)
    .await?;
    Ok(Precondition { is_held: row.is_some(), caller_exists: row.is_some_and(|row| row.caller_exists) })
}
