//! A pipeline's own session. The pool examines every session that is returned, which takes a round trip, a task and three
//! wake-ups for each batch; a pipeline keeps its session from one batch to the next instead.

use std::time::Duration;

use parking_lot::Mutex;

use super::session::{Database, PgSession};

/// After this time the session is returned, so that the pool examines it and applies its own limits.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A place for one session between its uses.
pub struct KeptSession {
    database: Database,
    /// False if the pool has fewer sessions than users: one that is kept would be missing elsewhere.
    is_kept: bool,
    kept: Mutex<Option<PgSession>>,
}

impl KeptSession {
    pub fn new(database: Database, is_kept: bool) -> Self {
        KeptSession { database, is_kept, kept: Mutex::new(None) }
    }

    /// Returns the kept session, or one of the pool if there is none, or if it is too old or may be faulty.
    ///
    /// # Errors
    /// When no session is free or can be opened in time.
    pub async fn take(&self) -> sqlx::Result<PgSession> {
        let kept = self.kept.lock().take();
        match kept.filter(|session| session.held_for() < KEPT_FOR && session.is_spared()) {
            Some(session) => Ok(session),
            None => self.database.acquire().await,
        }
    }

    /// Keeps a session that has just served without an error. One that is dropped instead is examined by the pool.
    pub fn keep(&self, session: PgSession) {
        if self.is_kept {
            *self.kept.lock() = Some(session);
        }
    }

    /// Returns the session to the pool.
    pub fn release(&self) {
        *self.kept.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::session;

    async fn backend(session: &mut PgSession) -> i32 {
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(session).await.unwrap()
    }

    #[tokio::test]
    async fn a_session_is_kept_until_sessions_like_it_are_faulty() {
        let (database, _others) = session::tests::database("keptsession", false).await;
        let kept = KeptSession::new(database.clone(), true);
        let mut session = kept.take().await.unwrap();
        let first = backend(&mut session).await;
        kept.keep(session);
        assert_eq!(database.num_idle(), 0, "it is not returned");
        let mut session = kept.take().await.unwrap();
        assert_eq!(backend(&mut session).await, first);
        kept.keep(session);
        database.observe_fault();
        let mut session = kept.take().await.unwrap();
        assert_ne!(backend(&mut session).await, first);
        kept.keep(session);
        kept.release();
        database.acquire().await.unwrap();
    }

    #[tokio::test]
    async fn where_sessions_are_few_they_are_shared() {
        let (database, _others) = session::tests::database("sharedsession", false).await;
        let [one, other] = [(); 2].map(|()| KeptSession::new(database.clone(), false));
        for place in [&one, &other, &one] {
            place.keep(place.take().await.unwrap());
        }
    }
}
