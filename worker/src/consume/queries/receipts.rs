//! Receipts, which nobody waits for. However long it takes to record them, they have one of the places of sessions at most,
//! and neither sessions nor queries wait for it.

use std::sync::Arc;

use shared::lifecycle::Lifecycle;
use tokio::sync::Semaphore;

use super::answer::{finish, run};
use super::requests::Requests;
use crate::app::App;
use crate::consume::under_way::Taken;

/// How many parts, each read at once, wait for their turn; further ones are dropped, since a lost cursor only causes
/// repetitions.
const MAX_WAITING: usize = 64;

pub struct Receipts {
    app: Arc<App>,
    lifecycle: Lifecycle,
    waiting: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
}

impl Receipts {
    /// `sessions` are the places of sessions.
    pub fn new(app: Arc<App>, lifecycle: &Lifecycle, sessions: Arc<Semaphore>) -> Self {
        let [waiting, turn] = [MAX_WAITING, 1].map(|places| Arc::new(Semaphore::new(places)));
        Receipts { app, lifecycle: lifecycle.clone(), waiting, turn, sessions }
    }

    /// Records them when their turn comes.
    pub fn push(&self, work: Requests, taken: Taken) {
        let (app, stream) = (self.app.clone(), self.app.keys.queries());
        let (turn, sessions) = (self.turn.clone(), self.sessions.clone());
        let waiting = self.waiting.clone().try_acquire_owned();
        // Entries that wait would close the lane for everybody when they are old.
        taken.begin();
        self.lifecycle.track(async move {
            let Ok(_waiting) = waiting else {
                tracing::warn!("receipts were dropped, because too many wait to be recorded");
                return finish(&app, stream, Vec::new(), taken).await;
            };
            let Ok(_turn) = turn.acquire().await else { return };
            let Ok(place) = sessions.acquire_owned().await else { return };
            run(app, stream, work, taken, place).await;
        });
    }

    /// Waits until all are recorded.
    pub async fn drain(&self) {
        let _all = self.waiting.acquire_many(MAX_WAITING as u32).await;
    }
}
