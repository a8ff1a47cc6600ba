//! The life of a process: its tasks, and its end in two stages. It does not know what the tasks do.
//!
//! 1. **Draining**: take nothing new, finish work in progress. Starts with SIGTERM or SIGINT, when a background task
//!    fails, or by [`Lifecycle::start_draining`].
//! 2. **Stopped**: everything ends at once. Starts when all work is finished, after the shutdown timeout, or with a second
//!    signal.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may take to end once stopped; then they are dropped.
pub const STOP_GRACE: Duration = Duration::from_secs(3);

/// Handle to the process's tasks and tokens. Cheap to clone.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

struct Inner {
    draining: CancellationToken,
    stopped: CancellationToken,
    /// The tasks that a drain waits for.
    work: TaskTracker,
    /// Tasks that serve the work, and therefore end after it.
    background: TaskTracker,
    /// Named tasks still running, to report which of them did not end.
    running: Mutex<Running>,
    shutdown_timeout: Duration,
}

#[derive(Default)]
struct Running {
    next: u64,
    names: BTreeMap<u64, &'static str>,
    /// The first failure: it started the drain and decides the exit code.
    failure: Option<ProcessFailure>,
}

/// Why a process ended before it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessFailure {
    #[error("task {name} failed: {reason}")]
    Task { name: &'static str, reason: String },
    #[error("did not finish in time; still running: {unfinished}")]
    Unfinished { unfinished: String },
    #[error("signals cannot be received: {reason}")]
    Signals { reason: String },
}

/// When a periodic task is due. A run that took longer than the period is followed by a whole period.
pub struct Ticks {
    interval: Interval,
    end: CancellationToken,
}

impl Ticks {
    fn new(period: Duration, end: CancellationToken) -> Self {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ticks { interval, end }
    }

    /// Waits for the next run; false once there are no more. Cancel safe.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.end.cancelled() => false,
            _ = self.interval.tick() => true,
        }
    }

    /// Schedules the next run after this time, and the following ones in the usual period.
    pub fn reset_after(&mut self, time: Duration) {
        self.interval.reset_after(time);
    }
}

impl Lifecycle {
    /// `shutdown_timeout`: how long draining may take.
    pub fn new(shutdown_timeout: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                draining: CancellationToken::new(),
                stopped: CancellationToken::new(),
                work: TaskTracker::new(),
                background: TaskTracker::new(),
                running: Mutex::default(),
                shutdown_timeout,
            }),
        }
    }

    /// Cancelled when no new work may be taken.
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Cancelled when everything must end.
    pub fn stopped(&self) -> CancellationToken {
        self.inner.stopped.clone()
    }

    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Ticks at the beginning of each period, the first one immediately, until a drain.
    pub fn every(&self, period: Duration) -> Ticks {
        Ticks::new(period, self.draining())
    }

    /// Like [`Self::every`], but until [`Self::stopped`].
    pub fn every_until_stopped(&self, period: Duration) -> Ticks {
        Ticks::new(period, self.stopped())
    }

    /// Has the same effect as a first signal.
    pub fn start_draining(&self) {
        self.inner.draining.cancel();
    }

    /// Starts a background task that serves the others (a subscriber, a sampler). It may run until [`Self::stopped`]; a
    /// drain does not wait for it. If it panics or returns an error, that is logged, and the process drains and fails.
    pub fn spawn<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        self.supervise(&self.inner.background, name, task);
    }

    /// Like [`Self::spawn`], for a task that may be dropped at any point after [`Self::stopped`] (an endless watch, an
    /// errand).
    pub fn spawn_until_stopped<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let stopped = self.stopped();
        self.spawn(name, async move { stopped.run_until_cancelled_owned(task).await.unwrap_or(Ok(())) });
    }

    /// Starts a task that takes in or does work (an accept loop, a consumer). It has to end by itself after
    /// [`Self::draining`], and the drain waits for it. Its failure fails the process like that of [`Self::spawn`].
    pub fn spawn_work<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        self.supervise(&self.inner.work, name, task);
    }

    /// Starts work whose failure does not affect anything else (a connection, a request). A drain waits for it; a panic
    /// in it is logged by the panic hook and has no other effect. It has to end by itself once [`Self::stopped`] is
    /// cancelled.
    pub fn track<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.work.spawn(task)
    }

    /// The number of tasks in progress, from [`Self::spawn_work`] and [`Self::track`] together.
    pub fn work_in_progress(&self) -> usize {
        self.inner.work.len()
    }

    /// Waits until a signal or a failure, then runs both stages of the end. Called at the end of `main`.
    /// The exit code is 0 after an orderly end and 1 after a failure.
    pub async fn run(self) -> ExitCode {
        let ended = match shutdown_signals() {
            Ok(signals) => self.run_until(signals).await,
            Err(error) => {
                self.start_draining();
                self.inner.stopped.cancel();
                Err(ProcessFailure::Signals { reason: error.to_string() })
            }
        };
        match ended {
            Ok(()) => {
                tracing::info!("stopped cleanly");
                ExitCode::SUCCESS
            }
            Err(error) => {
                tracing::error!(%error, "ended with a failure");
                ExitCode::FAILURE
            }
        }
    }

    /// Like [`Self::run`], with signals from another source: each item is the name of one.
    ///
    /// # Errors
    /// When a task failed, or did not end in time.
    pub async fn run_until(self, mut signals: mpsc::Receiver<&'static str>) -> Result<(), ProcessFailure> {
        let inner = &self.inner;
        tokio::select! {
            () = inner.draining.cancelled() => tracing::info!("draining"),
            signal = next_signal(&mut signals) => tracing::info!(signal, "draining"),
        }
        inner.draining.cancel();

        inner.work.close();
        let drained = tokio::select! {
            () = inner.work.wait() => true,
            () = inner.stopped.cancelled() => false,
            signal = next_signal(&mut signals) => {
                tracing::warn!(signal, "stopping at once");
                false
            }
            () = tokio::time::sleep(inner.shutdown_timeout) => {
                tracing::warn!(timeout_seconds = inner.shutdown_timeout.as_secs_f64(), "draining took too long");
                false
            }
        };
        let unfinished = if drained { None } else { Some(self.unfinished()) };
        inner.stopped.cancel();

        inner.background.close();
        let all_ended = async {
            inner.work.wait().await;
            inner.background.wait().await;
        };
        let ended = tokio::time::timeout(STOP_GRACE, all_ended).await;
        // Supervised tasks have been dropped by now if necessary; what remains is tracked work that ignores the stop.
        let unfinished = unfinished.or_else(|| ended.is_err().then(|| self.unfinished()));
        match (inner.running.lock().failure.take(), unfinished) {
            (Some(failure), _) => Err(failure),
            (None, Some(unfinished)) => Err(ProcessFailure::Unfinished { unfinished }),
            (None, None) => Ok(()),
        }
    }

    fn supervise<F, E>(&self, tracker: &TaskTracker, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let running = RunningGuard::new(self.clone(), name);
        let stopped = self.stopped();
        tracker.spawn(async move {
            // A separate task, so that a panic ends in its handle and not here.
            let mut task = tokio::spawn(task);
            let ended = tokio::select! {
                ended = &mut task => Some(ended),
                () = stopped.cancelled() => tokio::time::timeout(STOP_GRACE / 2, &mut task).await.ok(),
            };
            let reason = match ended {
                Some(Ok(Ok(()))) => None,
                Some(Ok(Err(error))) => Some(error.to_string()),
                Some(Err(error)) if error.is_panic() => Some("it panicked".to_owned()),
                Some(Err(_)) => None,
                None => {
                    tracing::warn!(task = name, "did not end when stopped, and was dropped");
                    task.abort();
                    None
                }
            };
            if let Some(reason) = reason {
                running.lifecycle.fail(name, reason);
            }
        });
    }

    fn fail(&self, name: &'static str, reason: String) {
        tracing::error!(task = name, reason, "a background task failed");
        let mut running = self.inner.running.lock();
        running.failure.get_or_insert(ProcessFailure::Task { name, reason });
        drop(running);
        self.start_draining();
    }

    fn unfinished(&self) -> String {
        let names: Vec<&str> = self.inner.running.lock().names.values().copied().collect();
        format!("{} pieces of work; named tasks: {}", self.inner.work.len(), names.join(", "))
    }
}

/// Keeps a task's name among the running ones as long as it lives, however it ends.
struct RunningGuard {
    lifecycle: Lifecycle,
    id: u64,
}

impl RunningGuard {
    fn new(lifecycle: Lifecycle, name: &'static str) -> Self {
        let mut running = lifecycle.inner.running.lock();
        let id = running.next;
        running.next += 1;
        running.names.insert(id, name);
        drop(running);
        Self { lifecycle, id }
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.lifecycle.inner.running.lock().names.remove(&self.id);
    }
}

/// Waits for the next signal; never returns if there can be no more.
async fn next_signal(signals: &mut mpsc::Receiver<&'static str>) -> &'static str {
    match signals.recv().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

fn shutdown_signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                Some(()) = terminate.recv() => "SIGTERM",
                Some(()) = interrupt.recv() => "SIGINT",
                else => return,
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Builds the runtime with this many threads, or for 0 one per processor.
///
/// # Errors
/// When the system cannot create threads.
pub fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

#[cfg(test)]
mod tests;
