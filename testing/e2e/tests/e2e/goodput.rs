//! At ten times the capacity, the throughput stays the same, and accepted commands are completed in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, event_type};
use devstack::Server;
use e2e::{Deployment, Options};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

const CLIENTS: usize = 40;
/// Long enough for the backlog to pass its bound, and for gateways to reject and accept again several times.
const MEASURED: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(5);
/// Accepted commands are completed within this time or rejected then; those in progress at its end may take a little
/// longer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
const UNDER_WAY: Duration = Duration::from_secs(2);

/// The worker has a twentieth of a processor, so that this machine can offer ten times what it does.
const PERIOD: Duration = Duration::from_millis(100);
const SHARE: Duration = Duration::from_millis(5);
const LOOK_PAUSE: Duration = Duration::from_micros(500);

/// Stops the worker in each period once it has had its share. The share is processor time: with a share of wall-clock
/// time, the worker would get less whenever other processes, such as the load generator, keep the processors busy.
struct Throttle {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Server>>,
}

impl Throttle {
    fn new(mut worker: Server) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                while !ended.load(Ordering::Relaxed) {
                    let (began, before) = (Instant::now(), processor_time(&worker));
                    while processor_time(&worker) < before + SHARE && began.elapsed() < PERIOD {
                        std::thread::sleep(LOOK_PAUSE);
                    }
                    if worker.pause().is_err() {
                        break;
                    }
                    std::thread::sleep(PERIOD.saturating_sub(began.elapsed()));
                    if worker.resume().is_err() {
                        break;
                    }
                }
                worker
            }
        });
        Throttle { ended, thread: Some(thread) }
    }

    fn end(mut self) -> Result<Server> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.take().context("the thread")?.join().ok().context("the thread panicked")
    }
}

/// Returns the processor time of all its threads so far.
fn processor_time(server: &Server) -> Duration {
    let Some(pid) = server.pid() else { return Duration::ZERO };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[derive(Clone, Copy)]
enum Pace {
    /// A number of unanswered commands at a time.
    Closed(usize),
    /// One command in each interval.
    Open(Duration),
}

#[derive(Default)]
struct Tally {
    acknowledged: Vec<Duration>,
    refused: usize,
    /// The number of commands sent, however they were answered.
    offered: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.acknowledged.extend(other.acknowledged);
        self.refused += other.refused;
        self.offered += other.offered;
    }

    fn goodput(&self) -> f64 {
        self.acknowledged.len() as f64 / MEASURED.as_secs_f64()
    }
}

/// Sends one client's share of the load; counts answers within the measured time.
async fn offer(client: &mut Client, recipient: i64, pace: Pace) -> Result<Tally> {
    let from = Instant::now() + WARM_UP;
    let until = from + MEASURED;
    let mut tally = Tally::default();
    let mut sent: HashMap<String, Instant> = HashMap::new();
    let mut number = 0_u64;
    let mut ticks = tokio::time::interval(match pace {
        Pace::Closed(_) => Duration::from_millis(1),
        Pace::Open(each) => each,
    });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let window_open = matches!(pace, Pace::Closed(window) if sent.len() < window);
        let due = matches!(pace, Pace::Open(_));
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(until) => return Ok(tally),
            event = client.recv() => count(&event?, &mut sent, &mut tally, from)?,
            _ = ticks.tick(), if window_open || due => {
                let id = format!("g{number}");
                number += 1;
                let send = json!({"type": "send_message", "recipientId": recipient, "content": "x", "requestId": id});
                sent.insert(id, Instant::now());
                client.send(send).await?;
                tally.offered += usize::from(Instant::now() >= from);
            }
        }
    }
}

fn count(event: &Value, sent: &mut HashMap<String, Instant>, tally: &mut Tally, from: Instant) -> Result<()> {
    let Some(at) = event["requestId"].as_str().and_then(|id| sent.remove(id)) else { return Ok(()) };
    let is_measured = Instant::now() >= from;
    match event_type(event) {
        "message_sent" if is_measured => tally.acknowledged.push(at.elapsed()),
        "message_sent" => {}
        "error" => {
            let is_refusal =
                event["code"] == "SERVICE_UNAVAILABLE" && event["retryAfter"].as_u64().is_some_and(|s| s > 0);
            ensure!(is_refusal, "neither done nor refused: {event}");
            tally.refused += usize::from(is_measured);
        }
        _ => {}
    }
    Ok(())
}

async fn load(clients: &mut [Client], recipient: i64, pace: Pace) -> Result<Tally> {
    let shares = clients.iter_mut().map(|client| offer(client, recipient, pace));
    let mut total = Tally::default();
    for tally in futures_util::future::try_join_all(shares).await? {
        total.add(tally);
    }
    Ok(total)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_ten_times_the_load_the_fleet_keeps_its_peak_goodput() -> Result<()> {
    let _machine = e2e::MACHINE.lock().await;
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    let options = options
        .with("PARTITIONS", "4")
        .with("BACKLOG_MAX_AGE", "1s")
        .with("COMMAND_TIMEOUT", "5s")
        .with("MESSAGE_RATE_LIMIT", "1000000");
    let mut deployment = Deployment::start("goodput", options)?;
    let recipient = deployment.user("away")?;
    let mut clients = Vec::new();
    for user in deployment.many_users("sender", CLIENTS)? {
        clients.push(deployment.login(0, &user).await?);
    }
    let throttle = Throttle::new(deployment.fleet.workers.remove(0));

    let peak = load(&mut clients, recipient.id, Pace::Closed(16)).await?;
    let tenfold = peak.goodput() * 10.0;
    let overload =
        load(&mut clients, recipient.id, Pace::Open(Duration::from_secs_f64(CLIENTS as f64 / tenfold))).await?;
    deployment.fleet.workers.insert(0, throttle.end()?);

    let offered = overload.offered as f64 / MEASURED.as_secs_f64();
    let slowest = overload.acknowledged.iter().max().copied().unwrap_or_default();
    println!(
        "peak {:.0}/s; of {offered:.0}/s offered {:.0}/s done, {} refused; the slowest took {slowest:?}",
        peak.goodput(),
        overload.goodput(),
        overload.refused
    );
    ensure!(offered > 5.0 * peak.goodput(), "no overload: {offered:.0}/s offered at a peak of {:.0}/s", peak.goodput());
    ensure!(overload.refused > 0, "nothing was refused");
    ensure!(overload.goodput() > 0.8 * peak.goodput(), "{:.0}/s of {:.0}/s", overload.goodput(), peak.goodput());
    ensure!(slowest < COMMAND_TIMEOUT + UNDER_WAY, "a command that was accepted took {slowest:?}");
    Ok(())
}
