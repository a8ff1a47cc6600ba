//! Sessions with Postgres: the pool that hands them out, and the transactions on them. Every statement of the worker
//! passes through here, so that a faulty session that has to be replaced is noticed wherever it shows, and no session
//! of the same age is used again.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use metrics::Counter;
use shared::ids::Epoch;
use sqlx::pool::PoolConnection;
use sqlx::postgres::types::PgInterval;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTransactionManager, PgTypeInfo,
};
use sqlx::{Describe, Either, Execute, Executor, PgPool, Postgres, TransactionManager};

use super::epoch::CurrentEpoch;
use crate::error::Fault;

/// A duration as Postgres' settings take it. None may be 0, which means no limit.
pub fn milliseconds(duration: Duration) -> String {
    duration.as_millis().clamp(1, i32::MAX as u128).to_string()
}

pub fn interval(duration: Duration) -> PgInterval {
    PgInterval { months: 0, days: 0, microseconds: duration.as_micros().min(i64::MAX as u128) as i64 }
}

/// Sessions are not replaced more often; otherwise a fault that new ones also have would only make Postgres fork.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A server, as all pools of sessions with it see it.
#[derive(Debug)]
pub struct Server {
    options: PgConnectOptions,
    /// It only answers queries, and never begins an epoch.
    is_replica: bool,
    /// A pooler is in front of it.
    is_pooled: bool,
    /// The epoch that this worker is in.
    epoch: Arc<CurrentEpoch>,
    unreadable_rows: Counter,
    faults: Faults,
}

impl Server {
    pub fn new(options: PgConnectOptions, is_pooled: bool, epoch: Arc<CurrentEpoch>, unreadable_rows: Counter) -> Self {
        Server { options, is_replica: false, is_pooled, epoch, unreadable_rows, faults: Faults::default() }
    }

    pub fn replica(self) -> Self {
        Server { is_replica: true, ..self }
    }

    fn observe(&self, error: &sqlx::Error) {
        // What is wrong with a replica is logged where it is used.
        if self.faults.observe(error) && !self.is_replica {
            tracing::warn!(%error, "sessions with Postgres are ended, and new ones opened");
        }
    }
}

/// When a session was last found to be faulty. Sessions that were opened earlier are not used again, because what
/// happened to one (a table changed, the server became read-only, a pooler mixed up statements) happened to the others,
/// too.
#[derive(Debug)]
struct Faults {
    created: Instant,
    /// Nanoseconds since `created`.
    latest: AtomicU64,
}

impl Default for Faults {
    fn default() -> Self {
        Faults { created: Instant::now(), latest: AtomicU64::new(0) }
    }
}

impl Faults {
    fn now(&self) -> u64 {
        self.created.elapsed().as_nanos() as u64
    }

    /// True if sessions are ended because of this error.
    fn observe(&self, error: &sqlx::Error) -> bool {
        if Fault::of(error) != Fault::Session {
            return false;
        }
        let (now, latest) = (self.now(), self.latest.load(Ordering::Acquire));
        let ends = latest == 0 || now.saturating_sub(latest) > MIN_INTERVAL.as_nanos() as u64;
        if ends {
            self.latest.fetch_max(now, Ordering::AcqRel);
        }
        ends
    }

    /// True if a session of this age was opened after the last fault.
    fn spares(&self, age: Duration) -> bool {
        self.now().saturating_sub(age.as_nanos() as u64) >= self.latest.load(Ordering::Acquire)
    }
}

/// How sessions are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// A session is one backend of Postgres: statements stay prepared.
    Direct,
    /// Each transaction may get another backend, as from a pooler in transaction mode: nothing outlives a transaction,
    /// which begins with this statement.
    Pooled { begin: Arc<str> },
}

/// A bounded number of sessions.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    server: Arc<Server>,
    usage: Use,
}

impl Database {
    /// Opens sessions on demand. `settings` are set in each of them.
    pub fn new(server: Arc<Server>, pool: PgPoolOptions, settings: &[(&'static str, String)]) -> Self {
        let options = server.options.clone();
        let (options, usage) = if server.is_pooled {
            // Poolers reject settings that they cannot restore for the next client.
            let begin = settings
                .iter()
                .fold("BEGIN".to_owned(), |begin, (name, value)| format!("{begin}; SET LOCAL {name} = '{value}'"));
            (options.extra_float_digits(None).statement_cache_capacity(0), Use::Pooled { begin: begin.into() })
        } else {
            (options.options(settings.iter().map(|(name, value)| (*name, value.as_str()))), Use::Direct)
        };
        let (acquires, connects) = (server.clone(), server.clone());
        // Behind a pooler, a session may be in another history without being new, so only the heartbeat checks there.
        let looks = !server.is_pooled && !server.is_replica;
        let pool = pool
            // A broken session shows in the statement, which is then tried again; checking first would double the round
            // trips.
            .test_before_acquire(false)
            .before_acquire(move |_, meta| std::future::ready(Ok(acquires.faults.spares(meta.age))).boxed())
            .after_connect(move |connection, _| {
                let server = connects.clone();
                async move { if looks { server.epoch.check(connection).await } else { Ok(()) } }.boxed()
            })
            .connect_lazy_with(options);
        Database { pool, server, usage }
    }

    /// # Errors
    /// When no session is free or can be opened in time.
    pub async fn acquire(&self) -> sqlx::Result<PgSession> {
        let connection = self.pool.acquire().await.inspect_err(|error| self.server.observe(error))?;
        Ok(PgSession {
            connection,
            server: self.server.clone(),
            usage: self.usage.clone(),
            epoch: self.server.epoch.current(),
            is_in_transaction: false,
            acquired_at: Instant::now(),
        })
    }

    /// How to open a session outside the pool.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    pub fn is_pooled(&self) -> bool {
        self.usage != Use::Direct
    }

    pub fn size(&self) -> u32 {
        self.pool.size()
    }

    pub fn num_idle(&self) -> usize {
        self.pool.num_idle()
    }
}

/// A session, until it is dropped.
#[derive(Debug)]
pub struct PgSession {
    connection: PoolConnection<Postgres>,
    server: Arc<Server>,
    usage: Use,
    epoch: Epoch,
    is_in_transaction: bool,
    acquired_at: Instant,
}

impl PgSession {
    /// The time since it was acquired.
    pub fn held_for(&self) -> Duration {
        self.acquired_at.elapsed()
    }

    /// False if a session has been found to be faulty since this one was acquired.
    pub fn is_spared(&self) -> bool {
        self.server.faults.spares(self.held_for())
    }

    /// The epoch that this worker was in when it was acquired.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// True if nothing can be written.
    pub fn is_replica(&self) -> bool {
        self.server.is_replica
    }

    /// Closes a session that may never answer again. The pool would examine it, and wait.
    pub fn discard(mut self) {
        self.connection.close_on_drop();
    }

    /// # Errors
    /// Like any statement.
    pub async fn begin(&mut self) -> sqlx::Result<PgTransaction<'_>> {
        let begin = match &self.usage {
            Use::Direct => None,
            Use::Pooled { begin } => Some(begin.to_string().into()),
        };
        let began = begin_on(&mut self.connection, begin).await;
        began.inspect_err(|error| self.server.observe(error))?;
        self.is_in_transaction = true;
        Ok(PgTransaction { session: self })
    }

    pub fn count_unreadable(&self) {
        self.server.unreadable_rows.increment(1);
    }
}

/// sqlx counts a transaction once it has begun. If the caller gives up before that, the session would continue in a
/// transaction that nobody ends, and what it stores next would never be committed; therefore it is closed.
async fn begin_on(connection: &mut PoolConnection<Postgres>, statement: Option<Cow<'static, str>>) -> sqlx::Result<()> {
    struct Beginning<'s>(Option<&'s mut PoolConnection<Postgres>>);

    impl Drop for Beginning<'_> {
        fn drop(&mut self) {
            if let Some(connection) = self.0.take() {
                connection.close_on_drop();
            }
        }
    }

    let mut beginning = Beginning(Some(connection));
    let Some(connection) = beginning.0.as_mut() else { return Ok(()) };
    let began = PgTransactionManager::begin(connection, statement).await;
    beginning.0 = None;
    began
}

/// Rolls back what was not committed.
struct RollingBack<'s>(&'s mut PoolConnection<Postgres>);

impl Drop for RollingBack<'_> {
    fn drop(&mut self) {
        PgTransactionManager::start_rollback(self.0);
    }
}

/// A transaction; rolled back when it is dropped without a commit.
#[derive(Debug)]
pub struct PgTransaction<'s> {
    session: &'s mut PgSession,
}

impl PgTransaction<'_> {
    /// # Errors
    /// Like any statement; it is then unknown if the transaction was committed.
    pub async fn commit(self) -> sqlx::Result<()> {
        let PgSession { connection, server, is_in_transaction, .. } = &mut *self.session;
        PgTransactionManager::commit(connection).await.inspect_err(|error| server.observe(error))?;
        *is_in_transaction = false;
        Ok(())
    }
}

impl Drop for PgTransaction<'_> {
    fn drop(&mut self) {
        if std::mem::take(&mut self.session.is_in_transaction) {
            PgTransactionManager::start_rollback(&mut self.session.connection);
        }
    }
}

impl Deref for PgTransaction<'_> {
    type Target = PgSession;

    fn deref(&self) -> &PgSession {
        self.session
    }
}

impl DerefMut for PgTransaction<'_> {
    fn deref_mut(&mut self) -> &mut PgSession {
        self.session
    }
}

/// A statement without a name, because another backend would not know it.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(&self) -> &'q str {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement<'q>> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

type Step = Either<PgQueryResult, PgRow>;

impl PgSession {
    fn run<'e, 'q: 'e, E: Execute<'q, Postgres> + 'q>(&'e mut self, query: E) -> BoxStream<'e, sqlx::Result<Step>> {
        let PgSession { connection, usage, is_in_transaction, .. } = self;
        match usage {
            Use::Direct => connection.fetch_many(query),
            Use::Pooled { .. } if *is_in_transaction => connection.fetch_many(Unnamed(query)),
            Use::Pooled { begin } => {
                let begin = begin.to_string();
                // Preparing and executing are two round trips, which only a transaction keeps on the same backend.
                let all = async move {
                    begin_on(connection, Some(begin.into())).await?;
                    let transaction = RollingBack(connection);
                    let steps: Vec<Step> = transaction.0.fetch_many(Unnamed(query)).try_collect().await?;
                    PgTransactionManager::commit(transaction.0).await?;
                    Ok(stream::iter(steps.into_iter().map(Ok)))
                };
                all.try_flatten_stream().boxed()
            }
        }
    }
}

impl<'c> Executor<'c> for &'c mut PgSession {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let server = self.server.clone();
        self.run(query).inspect_err(move |error| server.observe(error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // Read to the end, because a deferred constraint may fail after the row.
        let first =
            self.fetch_many(query).try_fold(None, |first, step| std::future::ready(Ok(first.or_else(|| step.right()))));
        first.boxed()
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement<'q>>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    impl Database {
        /// As after an error that only a new session mends.
        pub fn observe_fault(&self) {
            self.server.observe(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        }
    }

    #[test]
    fn a_fault_ends_sessions_older_than_it() {
        let faults = Faults::default();
        assert!(faults.spares(Duration::ZERO));
        faults.observe(&sqlx::Error::RowNotFound);
        assert!(faults.spares(Duration::ZERO), "that was not the session's");
        faults.observe(&sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert!(!faults.spares(Duration::from_secs(1)));
        assert!(faults.spares(Duration::ZERO));
    }

    /// A pool of one session, and another for what is beside it.
    pub async fn database(label: &'static str, pooled: bool) -> (Database, PgPool) {
        let url = tokio::task::spawn_blocking(move || devstack::testing::fresh_database(label).unwrap()).await.unwrap();
        let others = PgPool::connect(&url).await.unwrap();
        sqlx::migrate!("../migrations").run(&others).await.unwrap();
        let one = PgPoolOptions::new().max_connections(1);
        let server = Server::new(url.parse().unwrap(), pooled, Arc::default(), Counter::noop());
        (Database::new(Arc::new(server), one, &[]), others)
    }

    /// As for a pooler, where there is none: the backend lasts as long as the session.
    #[tokio::test]
    async fn statements_that_are_not_kept_leave_nothing_in_the_backend() {
        const MAX_GROWTH_BYTES: i64 = 256 * 1024;
        let (database, _others) = database("notkept", true).await;
        let mut session = database.acquire().await.unwrap();
        let mut sizes = Vec::new();
        for round in 0..600 {
            let look = sqlx::query_scalar::<_, i64>("SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts");
            sizes.push(look.fetch_one(&mut session).await.unwrap());
            let mut transaction = session.begin().await.unwrap();
            sqlx::query("SELECT $1::bigint FROM private_messages AS p JOIN conversations AS c USING (conversation_id)")
                .bind(round)
                .execute(&mut *transaction)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        }
        // Caches of the backend fill at first.
        let growth = sizes[599] - sizes[99];
        assert!(growth < MAX_GROWTH_BYTES, "{growth} bytes in 1,000 statements");
        let kept = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_prepared_statements");
        assert_eq!(kept.fetch_one(&mut session).await.unwrap(), 0);
    }

    /// Otherwise what the session stores afterwards is in a transaction that nobody commits.
    #[tokio::test]
    async fn a_session_given_up_while_a_transaction_begins_is_closed() {
        let (database, others) = database("givenup", false).await;
        let mut session = database.acquire().await.unwrap();
        // On a busy machine, Postgres answers an ordinary one before this process goes on.
        session.usage = Use::Pooled { begin: "BEGIN; SELECT pg_sleep(0.2)".into() };
        assert!(session.begin().now_or_never().is_none(), "nothing is begun without a round trip");
        drop(session);
        let mut session = database.acquire().await.unwrap();
        sqlx::query("CREATE TABLE kept ()").execute(&mut session).await.unwrap();
        sqlx::query("SELECT FROM kept").execute(&others).await.unwrap();
    }
}
