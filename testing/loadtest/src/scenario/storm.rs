//! `storm`: many are cut off at once, miss some messages, and come back at once. How long until the last has everything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::task::JoinSet;

use super::{Connections, Stage};
use crate::connection::{Connection, Handler};
use crate::mark::Mark;
use crate::scan;
use crate::verify::Track;

const CONTENT_BYTES: usize = 100;
/// The time for gateways to notice that connections were cut, before anything is sent.
const NOTICE: Duration = Duration::from_secs(1);
/// Messages per second while they are away.
const WRITE_RATE: f64 = 2_000.0;

struct Storm {
    stage: Rc<Stage>,
    senders: usize,
    missed: u64,
    tracks: RefCell<Vec<Track>>,
    acknowledged: Cell<u64>,
    begin: Cell<Option<Instant>>,
    /// The last arrival of a missed message.
    last: Cell<Option<Instant>>,
}

/// The first `senders` accounts stay and write to the others, who are cut off.
pub async fn run(stage: &Rc<Stage>, missed: u32, senders: usize) -> Result<()> {
    let count = stage.plan.accounts.len();
    ensure!(senders > 0 && senders < count, "`storm` needs senders and receivers");
    let storm = Rc::new(Storm {
        stage: stage.clone(),
        senders,
        missed: missed.into(),
        tracks: RefCell::new(vec![Track::default(); count]),
        acknowledged: Cell::new(0),
        begin: Cell::new(None),
        last: Cell::new(None),
    });
    let handler: Rc<dyn Handler> = storm.clone();
    let connections = stage.connect(0..count, &handler).await?;
    stage.ready().await?;
    connections[senders..].iter().flatten().for_each(|connection| connection.drop_it());
    tokio::time::sleep(NOTICE).await;
    storm.write(&connections).await?;
    stage.begin_measuring();
    let _back = storm.come_back(&handler).await?;
    stage.drain(|| storm.missing() == 0).await;
    stage.end_measuring();
    storm.finish();
    Ok(())
}

impl Storm {
    async fn write(&self, connections: &Connections) -> Result<()> {
        let receivers = self.stage.plan.accounts.len() - self.senders;
        let total = receivers as u64 * self.missed;
        let end = Instant::now() + Duration::from_secs_f64((total as f64 - 0.5).max(0.0) / WRITE_RATE);
        let send = |number: u64, _due| {
            let receiver = self.senders + number as usize % receivers;
            let user = self.stage.plan.accounts[receiver].user_id;
            let mut command = Vec::with_capacity(256);
            let _ = write!(
                command,
                "{{\"type\":\"send_private_message\",\"recipientId\":\"{user}\",\"requestId\":{number},\"content\":\""
            );
            let number = number / receivers as u64 + 1;
            let mark = Mark { run: self.stage.plan.run, room: receiver as u32, slot: 0, number, due_us: 0 };
            mark.write(&mut command, CONTENT_BYTES);
            command.extend_from_slice(b"\"}");
            // The same receiver always gets the same sender, so they share one conversation.
            if let Some(Some(sender)) = connections.get(receiver % self.senders) {
                sender.send(&command);
            }
        };
        if self.missed > 0 {
            self.stage.at_rate(WRITE_RATE, end, send).await?;
        }
        self.stage.drain(|| self.acknowledged.get() == total).await;
        if self.acknowledged.get() < total {
            bail!("{} of {total} were accepted: {:?}", self.acknowledged.get(), self.stage.tally.borrow().refused);
        }
        Ok(())
    }

    /// Reconnects everybody at once.
    async fn come_back(&self, handler: &Rc<dyn Handler>) -> Result<Vec<Rc<Connection>>> {
        let begin = Instant::now();
        self.begin.set(Some(begin));
        let mut logins = JoinSet::new();
        for index in self.senders..self.stage.plan.accounts.len() {
            let (stage, handler) = (self.stage.clone(), handler.clone());
            logins.spawn_local(async move {
                let login = stage.log_in(index).await?;
                let (took, queued) = (begin.elapsed(), login.queued_events);
                // Read at once: the replay follows.
                anyhow::Ok((took, queued, Connection::start(index, login, handler)))
            });
        }
        let mut back = Vec::new();
        let mut last = Duration::ZERO;
        while let Some(login) = logins.join_next().await {
            let mut tally = self.stage.tally.borrow_mut();
            match login.context("a login")? {
                Ok((took, queued, connection)) => {
                    last = last.max(took);
                    tally.add("logins", 1);
                    tally.add("queued_events", queued);
                    tally.latencies("back").record(took);
                    back.push(connection);
                }
                Err(error) => tally.failed(&format!("login: {error:#}")),
            }
        }
        self.stage.tally.borrow_mut().seconds.insert("all_authenticated".into(), last.as_secs_f64());
        Ok(back)
    }

    fn missing(&self) -> u64 {
        let tracks = self.tracks.borrow();
        tracks[self.senders..].iter().map(|track| track.missing(self.missed, &BTreeSet::new())).sum()
    }

    fn finish(&self) {
        let mut tally = self.stage.tally.borrow_mut();
        let receivers = self.stage.plan.accounts.len() - self.senders;
        tally.verdict.expected += receivers as u64 * self.missed;
        tally.verdict.lost += self.missing();
        if let (Some(begin), Some(last)) = (self.begin.get(), self.last.get()) {
            tally.seconds.insert("all_replayed".into(), (last - begin).as_secs_f64());
        }
    }
}

impl Handler for Storm {
    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant) {
        match scan::kind(text) {
            b"message_sent" => self.acknowledged.set(self.acknowledged.get() + 1),
            b"error" => {
                self.stage.tally.borrow_mut().refused(scan::text(text, b"\"code\":").unwrap_or("no code"));
            }
            b"new_message" if connection.index >= self.senders => {
                let Some(mark) = Mark::find(text).filter(|mark| mark.run == self.stage.plan.run) else { return };
                let arrival = self.tracks.borrow_mut()[connection.index].arrived(mark.number);
                let mut tally = self.stage.tally.borrow_mut();
                tally.verdict.note(arrival, || format!("{mark:?} at account {}", connection.index));
                tally.add("delivered", 1);
                self.last.set(Some(at));
                if let Some(begin) = self.begin.get() {
                    tally.latencies("replay").record(at.saturating_duration_since(begin));
                }
            }
            _ => {}
        }
    }

    fn closed(&self, _connection: &Rc<Connection>, why: &str) {
        self.stage.lost_connection(why);
    }
}
