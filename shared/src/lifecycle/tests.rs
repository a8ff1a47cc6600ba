//! Starting, draining and stopping, with tasks that fail, panic or do not end.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, sleep, timeout};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

fn start() -> (Lifecycle, mpsc::Sender<&'static str>, JoinHandle<Result<(), ProcessFailure>>) {
    let lifecycle = Lifecycle::new(TIMEOUT);
    let (signals, receiver) = mpsc::channel(4);
    let run = tokio::spawn(lifecycle.clone().run_until(receiver));
    (lifecycle, signals, run)
}

/// A task that ends when the token is cancelled.
async fn until(token: CancellationToken) -> Result<(), Infallible> {
    token.cancelled().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn nothing_ends_by_itself() {
    let (lifecycle, _signals, mut run) = start();
    lifecycle.spawn_work("brief", async { Ok::<(), Infallible>(()) });
    assert!(timeout(Duration::from_secs(3600), &mut run).await.is_err());
    assert!(!lifecycle.is_draining());
}

#[tokio::test(start_paused = true)]
async fn a_signal_drains_and_then_stops() {
    let (lifecycle, signals, run) = start();
    let work_done = Arc::new(AtomicBool::new(false));
    let (done, draining) = (work_done.clone(), lifecycle.draining());
    drop(lifecycle.track(async move {
        draining.cancelled().await;
        sleep(Duration::from_secs(5)).await;
        done.store(true, Ordering::SeqCst);
    }));
    lifecycle.spawn_work("accept", until(lifecycle.draining()));
    let (done, stopped) = (work_done.clone(), lifecycle.stopped());
    lifecycle.spawn("subscriber", async move {
        stopped.cancelled().await;
        // It serves the work, so it outlives it.
        if done.load(Ordering::SeqCst) { Ok(()) } else { Err("stopped before the work was done") }
    });
    let started = Instant::now();
    signals.send("SIGTERM").await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(()));
    assert!(work_done.load(Ordering::SeqCst));
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(lifecycle.work_in_progress(), 0);
    assert!(lifecycle.stopped().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_with_an_error_ends_the_process_in_order() {
    let (lifecycle, _signals, run) = start();
    lifecycle.spawn_work("accept", until(lifecycle.draining()));
    lifecycle.spawn("subscriber", async { Err("connection refused") });
    let failure = run.await.unwrap().unwrap_err();
    assert_eq!(failure, ProcessFailure::Task { name: "subscriber", reason: "connection refused".into() });
    assert_eq!(failure.to_string(), "task subscriber failed: connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_ends_the_process_in_order() {
    let (lifecycle, _signals, run) = start();
    let finished = Arc::new(AtomicBool::new(false));
    let (flag, draining) = (finished.clone(), lifecycle.draining());
    lifecycle.spawn_work("accept", async move {
        draining.cancelled().await;
        sleep(Duration::from_secs(1)).await;
        flag.store(true, Ordering::SeqCst);
        Ok::<(), Infallible>(())
    });
    lifecycle.spawn_work("consume", async {
        sleep(Duration::from_secs(60)).await;
        assert!(std::hint::black_box(false), "broken");
        Ok::<(), Infallible>(())
    });
    assert_eq!(run.await.unwrap(), Err(ProcessFailure::Task { name: "consume", reason: "it panicked".into() }));
    assert!(finished.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_dropped_is_dropped_at_once_and_in_silence() {
    let (lifecycle, signals, run) = start();
    lifecycle.spawn_until_stopped("watch", std::future::pending::<Result<(), Infallible>>());
    let started = Instant::now();
    signals.send("SIGTERM").await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(()));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_dropped_ends_the_process_when_it_fails_before() {
    let (lifecycle, _signals, run) = start();
    lifecycle.spawn_until_stopped("watch", async { Err("gave up") });
    let ended = timeout(TIMEOUT, run).await.unwrap().unwrap();
    assert_eq!(ended, Err(ProcessFailure::Task { name: "watch", reason: "gave up".into() }));
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_reported_and_one_while_draining_counts() {
    let (lifecycle, signals, run) = start();
    for (name, seconds) in [("second", 2), ("first", 1)] {
        let draining = lifecycle.draining();
        lifecycle.spawn_work(name, async move {
            draining.cancelled().await;
            sleep(Duration::from_secs(seconds)).await;
            Err("late")
        });
    }
    signals.send("SIGINT").await.unwrap();
    assert_eq!(run.await.unwrap(), Err(ProcessFailure::Task { name: "first", reason: "late".into() }));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_tracked_work_concerns_nobody_else() {
    let (lifecycle, signals, mut run) = start();
    let connection = lifecycle.track(async { assert!(std::hint::black_box(false), "broken") });
    assert!(connection.await.unwrap_err().is_panic());
    assert!(timeout(Duration::from_secs(60), &mut run).await.is_err());
    signals.send("SIGTERM").await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn draining_is_bounded_and_who_did_not_finish_is_named() {
    let (lifecycle, signals, run) = start();
    lifecycle.spawn_work("stuck", std::future::pending::<Result<(), Infallible>>());
    lifecycle.spawn_work("accept", until(lifecycle.draining()));
    let started = Instant::now();
    signals.send("SIGTERM").await.unwrap();
    let Err(ProcessFailure::Unfinished { unfinished }) = run.await.unwrap() else { unreachable!() };
    assert!(unfinished.ends_with("stuck"), "{unfinished}");
    assert!(!unfinished.contains("accept"), "{unfinished}");
    assert!(started.elapsed() >= TIMEOUT && started.elapsed() <= TIMEOUT + STOP_GRACE, "{:?}", started.elapsed());
    // It was dropped, not left behind.
    assert_eq!(lifecycle.work_in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_stops_at_once() {
    let (lifecycle, signals, run) = start();
    drop(lifecycle.track(std::future::pending::<()>()));
    lifecycle.spawn_work("heeds", until(lifecycle.stopped()));
    let started = Instant::now();
    signals.send("SIGTERM").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    signals.send("SIGTERM").await.unwrap();
    let Err(ProcessFailure::Unfinished { unfinished }) = run.await.unwrap() else { unreachable!() };
    assert!(unfinished.starts_with("2 pieces of work"), "{unfinished}");
    assert!(started.elapsed() <= Duration::from_secs(1) + STOP_GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_background_task_that_ignores_the_stop_is_dropped() {
    struct OnDrop(Arc<AtomicBool>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (lifecycle, signals, run) = start();
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = OnDrop(dropped.clone());
    lifecycle.spawn("deaf", async move {
        let _guard = guard;
        std::future::pending::<Result<(), Infallible>>().await
    });
    signals.send("SIGTERM").await.unwrap();
    assert_eq!(run.await.unwrap(), Ok(()));
    tokio::task::yield_now().await;
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn the_program_can_start_the_drain() {
    let (lifecycle, signals, run) = start();
    drop(signals);
    lifecycle.start_draining();
    assert_eq!(run.await.unwrap(), Ok(()));
}

/// Sends real signals to a separate process: this test program, started again with only the test below.
#[test]
fn sigterm_ends_a_real_process_in_order() {
    for (signal, tasks, code) in [("TERM", "good", 0), ("INT", "good", 0), ("TERM", "bad", 1)] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifecycle::tests::child_process", "--ignored", "--nocapture"])
            .env("LIFECYCLE_TEST_TASKS", tasks)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(std::io::BufRead::read_line(&mut output, &mut line).unwrap(), 0, "it ended too early");
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal} {tasks}");
    }
}

#[test]
#[ignore = "the child process of the test above"]
fn child_process() {
    let Ok(tasks) = std::env::var("LIFECYCLE_TEST_TASKS") else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(async {
        let lifecycle = Lifecycle::new(TIMEOUT);
        let draining = lifecycle.draining();
        lifecycle.spawn_work("task", async move {
            draining.cancelled().await;
            if tasks == "good" { Ok(()) } else { Err("bad") }
        });
        let mut run = tokio::spawn(lifecycle.run());
        // The handlers are installed at the first poll.
        assert!(timeout(Duration::from_millis(50), &mut run).await.is_err());
        println!("ready");
        run.await.unwrap()
    });
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
}
