//! The queries of this worker: whose turn it is, and how many run at a time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use shared::config::WorkerSettings;
use shared::ids::UserId;
use shared::lifecycle::Lifecycle;
use tokio::sync::Semaphore;

use super::answer::{finish, reject, run};
use super::requests::Requests;
use crate::app::App;
use crate::consume::fair::{Bounds, FairQueue};
use crate::consume::under_way::Taken;

/// How many queries wait here for their turn; beyond that some are rejected.
const MAX_WAITING: usize = 2_000;
/// Session requests have their own places, which queries cannot take.
pub const SESSION_CONCURRENCY: usize = 2;
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// The queries of this worker: those that wait and those in progress.
pub struct Lane {
    app: Arc<App>,
    lifecycle: Lifecycle,
    stream: String,
    queue: Mutex<FairQueue<(Requests, Taken)>>,
    permits: Arc<Semaphore>,
    /// When the lane will be looked at again.
    looks_at: Mutex<Option<Instant>>,
}

impl Lane {
    pub fn new(app: Arc<App>, lifecycle: &Lifecycle) -> Self {
        let bounds = Bounds {
            waiting: MAX_WAITING,
            running_per_user: app.settings.query_concurrency_per_user,
            time_per_user: app.settings.query_time_per_user,
            own_wait: app.settings.common.backlog_max_age / 2,
        };
        Lane {
            lifecycle: lifecycle.clone(),
            stream: app.keys.queries(),
            queue: Mutex::new(FairQueue::new(bounds)),
            permits: Arc::new(Semaphore::new(concurrency(&app.settings))),
            looks_at: Mutex::default(),
            app,
        }
    }

    /// Adds a user's work, and begins what may begin.
    pub fn push(self: &Arc<Self>, user: UserId, work: Requests, taken: Taken) {
        let surplus = self.queue.lock().push(user, (work, taken), Instant::now());
        self.reject(surplus);
        self.dispatch();
    }

    fn reject(&self, surplus: impl IntoIterator<Item = (Requests, Taken)>) {
        for (work, taken) in surplus {
            let (app, stream) = (self.app.clone(), self.stream.clone());
            self.lifecycle.track(async move { finish(&app, stream, reject(&app, &work), taken).await });
        }
    }

    fn dispatch(self: &Arc<Self>) {
        let expired = self.queue.lock().expire(Instant::now());
        self.reject(expired);
        loop {
            // Under the lock: nothing may be added between the look at the queue and the permit's return.
            let mut queue = self.queue.lock();
            let Ok(permit) = self.permits.clone().try_acquire_owned() else { return };
            let Some((user, (work, taken))) = queue.begin(Instant::now()) else {
                let looks_at = queue.looks_at(Instant::now());
                drop(queue);
                return self.look_again(looks_at);
            };
            drop(queue);
            let lane = self.clone();
            self.lifecycle.track(async move {
                let took = run(lane.app.clone(), lane.stream.clone(), work, taken, permit).await;
                lane.queue.lock().finish(user, took, Instant::now());
                lane.dispatch();
            });
        }
    }

    /// Dispatches again at this time.
    fn look_again(self: &Arc<Self>, at: Option<Instant>) {
        let mut looks_at = self.looks_at.lock();
        let Some(at) = at.filter(|at| looks_at.is_none_or(|known| *at < known)) else { return };
        *looks_at = Some(at);
        drop(looks_at);
        let lane = self.clone();
        self.lifecycle.spawn_until_stopped("rested", async move {
            tokio::time::sleep_until(at.into()).await;
            lane.looks_at.lock().take_if(|known| *known == at);
            lane.dispatch();
            Ok::<(), Infallible>(())
        });
    }

    /// Waits until everything has been answered. Budgets no longer delay anything.
    pub async fn drain(self: &Arc<Self>) {
        while self.queue.lock().waiting() > 0 {
            self.queue.lock().forgive();
            self.dispatch();
            tokio::time::sleep(DRAIN_STEP).await;
        }
        let _queries = self.permits.acquire_many(concurrency(&self.app.settings) as u32).await;
    }
}

/// How many queries run at a time: few enough that pipelines and sessions still find a database connection.
fn concurrency(settings: &WorkerSettings) -> usize {
    let connections = settings.db_max_connections.saturating_sub(2 * settings.worker_pipelines) as usize;
    settings.query_concurrency.min(connections.saturating_sub(SESSION_CONCURRENCY)).max(1)
}
