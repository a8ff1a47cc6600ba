//! A streaming replica that answers queries in the primary's place, as long as nobody can tell the difference: it is used for a query only
//! if it has replayed everything that the primary had committed when the query began, in the same epoch. Otherwise, or if it fails, the
//! primary answers.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use shared::ids::Epoch;
use shared::telemetry::with_causes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::kept_session::KeptSession;
use super::session::{Database, PgSession};
use crate::breaker::Breaker;
use crate::error::Failure;
use crate::gathered::Gathered;

/// The longest wait for a session and for what it still has to replay, and for each answer about that.
const MAX_WAIT: Duration = Duration::from_millis(50);
/// The first pause between two looks at what was replayed; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest run of a query, and of each of its statements.
pub const MAX_RUN: Duration = Duration::from_secs(1);
/// The longest wait for the primary's position.
const MAX_POSITION_WAIT: Duration = Duration::from_secs(1);
/// After a failure the replica is not used for this time.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Why the primary answers a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The replica has not yet replayed what the primary had committed.
    Lagging,
    /// It is in another epoch, or not a replica.
    Diverged,
    /// It does not answer in time, or with an error.
    Failed,
    /// It is left alone after one of these.
    Paused,
    /// The primary did not say what it has committed.
    Unknown,
}

impl Fallback {
    /// One of `shared::metrics::worker::FALLBACKS`.
    pub fn as_str(self) -> &'static str {
        match self {
            Fallback::Lagging => "lagging",
            Fallback::Diverged => "diverged",
            Fallback::Failed => "failed",
            Fallback::Paused => "paused",
            Fallback::Unknown => "unknown",
        }
    }
}

pub struct Replica {
    database: Database,
    /// Of the primary.
    position: Gathered<Option<Position>>,
    breaker: Breaker,
    is_down: AtomicBool,
}

impl Replica {
    /// `control` opens sessions with the primary.
    pub fn new(database: Database, control: Database) -> Self {
        let session = Arc::new(KeptSession::new(control, true));
        let position = Gathered::new(move || {
            let session = session.clone();
            async move { read_position(&session).await }.boxed()
        });
        let breaker = Breaker::new(1, PAUSE_AFTER_FAILURE);
        Replica { database, position, breaker, is_down: AtomicBool::new(false) }
    }

    /// Returns a session that shows everything the primary had committed when this was called.
    ///
    /// # Errors
    /// If there is none within about 50 ms.
    pub async fn acquire(&self) -> Result<PgSession, Fallback> {
        if !self.breaker.may_ask() {
            return Err(Fallback::Paused);
        }
        let position = self.position.get().await.ok_or(Fallback::Unknown)?;
        match self.open_at(&position).await {
            Ok(session) => {
                self.breaker.succeeded();
                if self.is_down.swap(false, Ordering::Relaxed) {
                    tracing::info!("the replica answers queries again");
                }
                Ok(session)
            }
            Err(fallback) => {
                self.failed(fallback.as_str());
                Err(fallback)
            }
        }
    }

    async fn open_at(&self, position: &Position) -> Result<PgSession, Fallback> {
        let end = Instant::now() + MAX_WAIT;
        let database = self.database.clone();
        // One that opens too late for this query serves another.
        let opening = tokio::spawn(async move { database.acquire().await });
        let mut session = match timeout_at(end, opening).await {
            Ok(Ok(Ok(session))) => session,
            Ok(Ok(Err(error))) => return Err(self.failed_with(&error)),
            Ok(Err(_)) | Err(_) => return Err(Fallback::Failed),
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let progress = match timeout(MAX_WAIT, find_progress(&mut session, &position.lsn)).await {
                Ok(progress) => progress.map_err(|error| self.failed_with(&error))?,
                Err(_) => {
                    session.discard();
                    return Err(Fallback::Failed);
                }
            };
            if !progress.is_replica || progress.epoch != position.epoch || session.epoch() != position.epoch {
                return Err(Fallback::Diverged);
            }
            if progress.has_replayed {
                return Ok(session);
            }
            let next = Instant::now() + pause;
            if next >= end {
                return Err(Fallback::Lagging);
            }
            sleep_until(next).await;
            pause *= 2;
        }
    }

    /// Runs a query on one of these sessions, and returns its result.
    ///
    /// # Errors
    /// If the replica is at fault. The session must be discarded then.
    pub async fn run<T>(
        &self,
        query: impl Future<Output = Result<T, Failure>>,
    ) -> Result<Result<T, Failure>, Fallback> {
        match timeout(MAX_RUN, query).await {
            Ok(Err(Failure::Retry(error) | Failure::Fatal(error))) if error.is::<sqlx::Error>() => {
                self.failed(with_causes(&error));
            }
            Ok(result) => return Ok(result),
            Err(_) => self.failed("a query took too long"),
        }
        Err(Fallback::Failed)
    }

    fn failed_with(&self, error: &sqlx::Error) -> Fallback {
        self.failed(error);
        Fallback::Failed
    }

    fn failed(&self, reason: impl Display) {
        self.breaker.failed();
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(%reason, "the replica cannot be used; the primary answers queries");
        }
    }
}

/// How far the primary is, in which epoch.
#[derive(Clone)]
struct Position {
    lsn: String,
    epoch: Epoch,
}

async fn read_position(kept: &KeptSession) -> Option<Position> {
    let mut session = kept.take().await.ok()?;
    match timeout(MAX_POSITION_WAIT, find_position(&mut session)).await {
        Ok(Ok(position)) => {
            kept.keep(session);
            position
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "the primary's position could not be read");
            None
        }
        Err(_) => {
            session.discard();
            None
        }
    }
}

/// What is visible was written before this position; commits that do not wait for the disk are visible before they are flushed. None after a
/// promotion, until a new session has begun an epoch on the new timeline (see `store_place()` in migration 0008).
async fn find_position(db: &mut PgSession) -> sqlx::Result<Option<Position>> {
    sqlx::query_as!(
        Position,
        r#"SELECT epoch, (CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn()
                               ELSE pg_current_wal_flush_lsn() END)::text AS "lsn!"
           FROM store_epoch WHERE split_part(place, '/', 2) = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"#
    )
    .fetch_optional(db)
    .await
}

struct Progress {
    epoch: Epoch,
    is_replica: bool,
    has_replayed: bool,
}

async fn find_progress(db: &mut PgSession, lsn: &str) -> sqlx::Result<Progress> {
    sqlx::query_as!(
        Progress,
        r#"SELECT epoch, pg_is_in_recovery() AS "is_replica!",
                  COALESCE(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) AS "has_replayed!"
           FROM store_epoch"#,
        lsn
    )
    .fetch_one(db)
    .await
}
