//! `presence`: some accounts watch while others log in one after the other, and perhaps leave again; it measures the login,
//! and the time until all see it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::Stage;
use crate::connection::{Connection, Handler};
use crate::plan::Pace;
use crate::scan;

/// What is known of an account that logs in.
struct Mover {
    /// When `auth_success` came.
    online_us: Option<u64>,
    /// Which readers saw it come, by place.
    seen: Vec<bool>,
    /// Which readers saw it leave; empty if it stays.
    gone: Vec<bool>,
    /// Events that arrived before this side knew that the login had succeeded.
    early: u64,
}

struct Watch {
    stage: Rc<Stage>,
    watchers: usize,
    readers: usize,
    stay: Option<Duration>,
    movers: RefCell<HashMap<u64, Mover>>,
    connections: RefCell<Vec<Rc<Connection>>>,
}

pub async fn run(stage: &Rc<Stage>, watchers: usize, readers: usize, stay: Option<Duration>) -> Result<()> {
    let accounts = &stage.plan.accounts;
    ensure!(watchers < accounts.len(), "{} accounts leave nobody besides {watchers} watchers", accounts.len());
    let Pace::Rate(rate) = stage.plan.pace else { bail!("`presence` logs in at a rate") };
    let mover = |user: i64| {
        let gone = vec![false; if stay.is_some() { readers } else { 0 }];
        (user as u64, Mover { online_us: None, seen: vec![false; readers], gone, early: 0 })
    };
    let watch = Rc::new(Watch {
        stage: stage.clone(),
        watchers,
        readers,
        stay,
        movers: RefCell::new(accounts[watchers..].iter().map(|account| mover(account.user_id)).collect()),
        connections: RefCell::default(),
    });
    let handler: Rc<dyn Handler> = watch.clone();
    let _watching = stage.connect(0..watchers, &handler).await?;
    stage.ready().await?;
    let movers = accounts.len() - watchers;
    // Until as many leave as come.
    let warmup = if stay.is_some() { (stage.plan.warmup_ms as f64 / 1000.0 * rate) as usize } else { 0 };
    ensure!(warmup < movers, "{movers} accounts come and go, of which {warmup} within the warm-up");
    if warmup > 0 {
        watch.come(rate, 0..warmup, &handler).await?;
    }
    stage.begin_measuring();
    watch.come(rate, warmup..movers, &handler).await?;
    stage.end_measuring();
    stage.drain(|| watch.is_done()).await;
    watch.finish();
    Ok(())
}

impl Watch {
    /// Logs these movers in at `rate` per second.
    async fn come(self: &Rc<Self>, rate: f64, movers: Range<usize>, handler: &Rc<dyn Handler>) -> Result<()> {
        let end = Instant::now() + Duration::from_secs_f64((movers.len() as f64 - 0.5) / rate);
        let first = self.watchers + movers.start;
        self.stage
            .at_rate(rate, end, |number, due| {
                tokio::task::spawn_local(self.clone().log_in(first + number as usize, due, handler.clone()));
            })
            .await
    }

    async fn log_in(self: Rc<Self>, index: usize, due: Instant, handler: Rc<dyn Handler>) {
        let login = self.stage.log_in(index).await;
        let now = Instant::now();
        let user = self.stage.plan.accounts[index].user_id as u64;
        match login {
            Ok(login) => {
                self.stage.note_login(&login);
                self.note_online(user, due, now);
                let connection = Connection::start(index, login, handler);
                let Some(stay) = self.stay else { return self.connections.borrow_mut().push(connection) };
                tokio::time::sleep(stay).await;
                connection.drop_it();
            }
            Err(error) => {
                self.stage.tally.borrow_mut().failed(&format!("login: {error:#}"));
                self.movers.borrow_mut().remove(&user);
            }
        }
    }

    fn note_online(&self, user: u64, due: Instant, now: Instant) {
        let mut tally = self.stage.tally.borrow_mut();
        tally.add("logins", 1);
        tally.latencies("login_from_due").record(now - due);
        if let Some(mover) = self.movers.borrow_mut().get_mut(&user) {
            mover.online_us = Some(self.stage.us(now));
            // The event overtook the answer: as quick as can be measured.
            (0..mover.early).for_each(|_| tally.latencies("user_online").record_us(1));
        }
    }

    fn is_done(&self) -> bool {
        let movers = self.movers.borrow();
        movers.values().all(|mover| mover.online_us.is_some() && mover.unseen() == 0)
    }

    fn finish(&self) {
        let mut tally = self.stage.tally.borrow_mut();
        let movers = self.movers.borrow();
        tally.verdict.expected +=
            movers.values().map(|mover| mover.seen.len() + mover.gone.len()).sum::<usize>() as u64;
        let unseen: usize = movers.values().map(Mover::unseen).sum();
        tally.verdict.lost += unseen as u64;
        if unseen > 0 {
            tally.verdict.example(|| format!("{unseen} times a watcher did not see a user come or go"));
        }
    }

    fn came(&self, mover: &mut Mover, watcher: usize, at: Instant) {
        let mut tally = self.stage.tally.borrow_mut();
        if std::mem::replace(&mut mover.seen[watcher], true) {
            tally.verdict.duplicates += 1;
            return;
        }
        tally.add("delivered", 1);
        match mover.online_us {
            Some(online_us) => tally.latencies("user_online").record_us(self.stage.us(at).saturating_sub(online_us)),
            None => mover.early += 1,
        }
    }

    fn left(&self, mover: &mut Mover, watcher: usize) {
        let mut tally = self.stage.tally.borrow_mut();
        let is_new = mover.gone.get_mut(watcher).is_some_and(|gone| !std::mem::replace(gone, true));
        if is_new {
            tally.add("delivered", 1);
        } else {
            tally.verdict.duplicates += 1;
        }
    }
}

impl Mover {
    /// How often a watcher has not seen it come or go.
    fn unseen(&self) -> usize {
        self.seen.iter().chain(&self.gone).filter(|seen| !**seen).count()
    }
}

impl Handler for Watch {
    fn reads(&self, index: usize) -> bool {
        index < self.readers
    }

    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant) {
        let mut movers = self.movers.borrow_mut();
        for change in scan::each(text, b"{\"type\":\"user_o") {
            let mover = scan::number(change, b"\"userId\":").and_then(|user| movers.get_mut(&user));
            match (mover, scan::kind(change)) {
                (Some(mover), b"user_online") => self.came(mover, connection.index, at),
                (Some(mover), b"user_offline") => self.left(mover, connection.index),
                _ => {}
            }
        }
    }

    fn closed(&self, _connection: &Rc<Connection>, why: &str) {
        self.stage.lost_connection(why);
    }
}
