//! Bounds the hashing of passwords: a few at a time, a few waiting; further ones are rejected at once.

use std::sync::Arc;

use shared::protocol::Rejection;
use tokio::sync::Semaphore;

use crate::error::Failure;

/// One hash takes 19 MiB and tens of milliseconds.
const HASHES_AT_A_TIME: usize = 2;

/// How many requests may wait for one of these to end. Each takes up a place for queries meanwhile, so that later ones
/// are rejected.
const MAX_WAITING: usize = 1;

const RETRY_AFTER_SECONDS: u32 = 1;

/// Permission to hash.
#[derive(Clone)]
pub struct PasswordWork {
    places: Arc<Semaphore>,
    permits: Arc<Semaphore>,
}

impl Default for PasswordWork {
    fn default() -> Self {
        PasswordWork {
            places: Arc::new(Semaphore::new(HASHES_AT_A_TIME + MAX_WAITING)),
            permits: Arc::new(Semaphore::new(HASHES_AT_A_TIME)),
        }
    }
}

impl PasswordWork {
    /// Hashes or verifies on a thread for blocking work.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE`, at once, if too many are already waiting.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(Rejection::unavailable("Too many passwords wait to be checked", RETRY_AFTER_SECONDS).into());
        };
        let permit = self.permits.clone().acquire_owned().await.map_err(anyhow::Error::from)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((permit, place));
            done
        });
        Ok(done.await.map_err(anyhow::Error::from)?)
    }
}
