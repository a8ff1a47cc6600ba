//! Bounds the hashing of passwords: one at a time, three waiting; further ones are rejected at once. Users who log in
//! from where they did before have places of their own, which strangers cannot take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::protocol::Rejection;
use tokio::sync::{Semaphore, oneshot};

use crate::error::Failure;

/// For each kind of caller: one hash takes 19 MiB and keeps a processor busy for tens of milliseconds.
const HASHES_AT_A_TIME: usize = 1;

/// How many requests may wait for one of these to end. Each takes up a place for queries meanwhile, so that later ones
/// are rejected.
const MAX_WAITING: usize = 3;

const RETRY_AFTER_SECONDS: u32 = 1;
/// How much less of a busy processor strangers' hashes get than others' work: about a tenth.
const STRANGERS_NICENESS: i32 = 10;
/// After hashing for a stranger, a worker waits as long again before the next one, but no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// For whom a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who registers, or logs in from an address that the account was never used from.
    Stranger,
    /// A login from an address that the account was used from.
    Known,
}

/// Permission to hash.
#[derive(Default)]
pub struct PasswordWork {
    strangers: Places,
    known: Places,
}

struct Places {
    all: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            all: Arc::new(Semaphore::new(HASHES_AT_A_TIME + MAX_WAITING)),
            working: Arc::new(Semaphore::new(HASHES_AT_A_TIME)),
        }
    }
}

impl PasswordWork {
    /// Hashes or verifies on a thread of its own; for strangers it gives way to all other threads.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE`, at once, if too many are already waiting.
    pub async fn run<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let places = match caller {
            Caller::Stranger => &self.strangers,
            Caller::Known => &self.known,
        };
        let Ok(place) = places.all.clone().try_acquire_owned() else {
            return Err(Rejection::unavailable("Too many passwords wait to be checked", RETRY_AFTER_SECONDS).into());
        };
        let permit = places.working.clone().acquire_owned().await.map_err(anyhow::Error::from)?;
        let (end, ended) = oneshot::channel();
        let hash = move || {
            if caller == Caller::Stranger {
                // Of this thread only. If it is not allowed, the others wait a little longer.
                let _ = rustix::process::nice(STRANGERS_NICENESS);
            }
            let begun = Instant::now();
            // The request may be gone.
            let _ = end.send(work());
            if caller == Caller::Stranger {
                // However many ask, this worker is busy with them half of the time at most.
                std::thread::sleep(begun.elapsed().min(LONGEST_REST));
            }
            drop((permit, place));
        };
        std::thread::Builder::new().name("password".to_owned()).spawn(hash).map_err(anyhow::Error::from)?;
        Ok(ended.await.map_err(anyhow::Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn strangers_take_no_place_of_known_users() {
        let passwords = PasswordWork::default();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(parking_lot::Mutex::new(ended));
        let mut strangers: Vec<_> = (0..HASHES_AT_A_TIME + MAX_WAITING)
            .map(|_| {
                let ended = ended.clone();
                Box::pin(passwords.run(Caller::Stranger, move || ended.lock().recv().is_err()))
            })
            .collect();
        for stranger in &mut strangers {
            assert!(stranger.now_or_never().is_none(), "it works or waits");
        }
        let one_more = passwords.run(Caller::Stranger, || ()).await;
        assert!(matches!(one_more, Err(Failure::Reject(rejection)) if rejection.retry_after.is_some()));
        assert!(passwords.run(Caller::Known, || true).await.is_ok_and(|done| done));
        drop(end);
        for stranger in strangers {
            assert!(stranger.await.is_ok());
        }
    }
}
