//! Direct messages with and without a webhook that is told of each: alternately, because the machine changes more from
//! minute to minute than from one to the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::section::Section;
use super::setup::{Setup, Sizes};
use super::site::{DATABASE, Site};
use super::target::{Figure, at, median, number};

const ENDPOINT: &str = "bench";
/// Workers learn of an endpoint, and of its end, within 2 s.
const KNOWN_AFTER: Duration = Duration::from_secs(3);
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

pub fn measure(setup: &Setup) -> Result<Section> {
    let (sizes, rounds) = (&setup.sizes, setup.sizes.rounds);
    let site = Site::start(setup, 2 * sizes.pairs)?;
    let mut section = Section::new("Webhooks");
    let mut rows = Vec::new();
    let receiver = Receiver::start()?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let alone = closed_loop(&site, sizes, "no webhook")?;
        site.chatctl(&["webhook", "create", ENDPOINT, &receiver.url, "--events", "message.created"])?;
        thread::sleep(KNOWN_AFTER);
        let before = receiver.taken.load(Ordering::Relaxed);
        let told = closed_loop(&site, sizes, "one webhook")?;
        let waiting = waiting(&site)?;
        let drained = drain(&site)?;
        let taken = receiver.taken.load(Ordering::Relaxed) - before;
        ensure!(taken > 0, "nothing was delivered");
        site.chatctl(&["webhook", "remove", ENDPOINT])?;
        thread::sleep(KNOWN_AFTER);
        // The first round warms up.
        if round > 0 {
            let figures = [alone, told, 100.0 * told / alone, taken as f64, waiting as f64, drained.as_secs_f64()];
            rows.push(figures.map(number).to_vec());
            without.push(alone);
            with.push(told);
        }
    }
    let share = median(&mut with).zip(median(&mut without)).map(|(with, without)| 100.0 * with / without);
    section.figures = vec![Figure::at_least("throughput with one webhook", share, 70.0, "% of that without")];
    section.text(
        "A closed loop of direct messages without a webhook and with one that is told of each message, by turns, after a round that \
         warms up.",
    );
    let heads = ["messages/s without", "with one webhook", "%", "deliveries", "left at the end", "and gone, s later"];
    section.table(&heads, rows);
    Ok(section)
}

fn closed_loop(site: &Site, sizes: &Sizes, label: &str) -> Result<f64> {
    let args = ["--closed", sizes.window, "--duration", sizes.closed_for, "--warmup", "3s"];
    let result =
        site.loadtest(&format!("direct messages, closed loop, {label}"), "direct", 0..2 * sizes.pairs, &args)?;
    at(&result, "/per_second/acknowledged").context("no rate")
}

fn waiting(site: &Site) -> Result<u64> {
    Ok(site.postgres.query(DATABASE, "SELECT count(*) FROM webhook_deliveries")?.trim().parse()?)
}

/// Waits until everything was delivered.
fn drain(site: &Site) -> Result<Duration> {
    let began = Instant::now();
    while waiting(site)? > 0 {
        ensure!(began.elapsed() < DRAINED_WITHIN, "deliveries are left after {DRAINED_WITHIN:?}");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(began.elapsed())
}

/// Takes every delivery and keeps none, at as little cost as possible: it shares the machine with what is measured.
struct Receiver {
    url: String,
    taken: Arc<AtomicU64>,
}

impl Receiver {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("a port for the receiver")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counted = counted.clone();
                thread::spawn(move || drop(take(&stream, &counted)));
            }
        });
        Ok(Receiver { url, taken })
    }
}

fn take(mut stream: &TcpStream, taken: &AtomicU64) -> std::io::Result<()> {
    const LENGTH: &str = "content-length:";
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 0 {
        if line.get(..LENGTH.len()).is_some_and(|name| name.eq_ignore_ascii_case(LENGTH)) {
            length = line[LENGTH.len()..].trim().parse().unwrap_or(0);
        }
        if line.trim_end().is_empty() {
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
            taken.fetch_add(1, Ordering::Relaxed);
        }
        line.clear();
    }
    Ok(())
}
