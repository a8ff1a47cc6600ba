//! `workers` and `partition_leases`: who is alive, and who may write to which partition.

use shared::ids::{UserId, WorkerId};
use std::time::Duration;

use super::session::{PgSession, interval, milliseconds};
use time::OffsetDateTime;

/// The right to apply the commands of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub partition: i32,
    /// Increases with each change of owner.
    pub epoch: i64,
}

/// Inserts the missing rows of partitions `0..partitions`.
pub async fn insert_partitions(db: &mut PgSession, partitions: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO partition_leases (partition) SELECT generate_series(0, $1::int - 1) ON CONFLICT DO NOTHING",
        partitions
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Records this worker's heartbeat; forgets workers without one for ten times `ttl`.
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

/// Writes without changing anything, to check that this worker can write.
pub async fn update_probe(db: &mut PgSession, worker: WorkerId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE workers SET heartbeat_at = heartbeat_at WHERE worker_id = $1", worker.0).execute(db).await?;
    Ok(())
}

/// Extends the leases that this worker still owns; returns them, with this worker's rank among the live workers (from
/// 0) and their number.
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

/// A lease that was taken over.
pub struct Takeover {
    pub lease: Lease,
    /// When the lease expired, if its owner did not give it back.
    pub abandoned_at: Option<OffsetDateTime>,
}

/// Takes up to `count` partitions below `partitions` that have no owner or whose lease expired. A row that the old
/// owner's commit still locks is left for the next time, so that one stuck transaction does not delay the others.
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

/// Gives leases back, so that others can take them at once.
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

/// Removes this worker from the list, so that the others distribute its partitions at once.
pub async fn delete_worker(db: &mut PgSession, worker: WorkerId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM workers WHERE worker_id = $1", worker.0).execute(db).await?;
    Ok(())
}

/// The conditions that decide if a command may be applied at all.
pub struct Precondition {
    /// True if the lease is still held; it is locked against a takeover until the end of the transaction.
    pub is_held: bool,
    /// The caller's account exists.
    pub caller_exists: bool,
}

/// Also sets how long each statement of this transaction waits for a lock.
pub async fn get_precondition(
    db: &mut PgSession,
    worker: WorkerId,
    lease: Lease,
    caller: UserId,
    lock_patience: Duration,
) -> sqlx::Result<Precondition> {
    let row = sqlx::query!(
        r#"SELECT partition, EXISTS (SELECT FROM users_auth WHERE user_id = $4) AS "caller_exists!"
           FROM partition_leases
           WHERE partition = $1 AND epoch = $2 AND owner = $3 AND (SELECT set_config('lock_timeout', $5, true)) IS NOT NULL
           FOR SHARE"#,
        lease.partition,
        lease.epoch,
        worker.0,
        caller.0,
        milliseconds(lock_patience)
    )
    .fetch_optional(db)
    .await?;
    Ok(Precondition { is_held: row.is_some(), caller_exists: row.is_some_and(|row| row.caller_exists) })
}
