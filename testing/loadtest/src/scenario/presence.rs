//! `presence`: some accounts watch while others log in one after the other; it measures the login, and the time until
//! all see it.

use std::cell::RefCell;
use std::collections::HashMap;
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
    /// Which watchers saw it, by place.
    seen: Vec<bool>,
    /// Events that arrived before this side knew that the login had succeeded.
    early: u64,
}

struct Watch {
    stage: Rc<Stage>,
    watchers: usize,
    movers: RefCell<HashMap<u64, Mover>>,
    connections: RefCell<Vec<Rc<Connection>>>,
}

pub async fn run(stage: &Rc<Stage>, watchers: usize) -> Result<()> {
    let accounts = &stage.plan.accounts;
    ensure!(watchers < accounts.len(), "{} accounts leave nobody besides {watchers} watchers", accounts.len());
    let Pace::Rate(rate) = stage.plan.pace else { bail!("`presence` logs in at a rate") };
    let mover = |user: i64| (user as u64, Mover { online_us: None, seen: vec![false; watchers], early: 0 });
    let watch = Rc::new(Watch {
        stage: stage.clone(),
        watchers,
        movers: RefCell::new(accounts[watchers..].iter().map(|account| mover(account.user_id)).collect()),
        connections: RefCell::default(),
    });
    let handler: Rc<dyn Handler> = watch.clone();
    let _watching = stage.connect(0..watchers, &handler).await?;
    stage.ready().await?;
    stage.begin_measuring();
    let movers = accounts.len() - watchers;
    let end = Instant::now() + Duration::from_secs_f64((movers as f64 - 0.5) / rate);
    stage
        .at_rate(rate, end, |number, due| {
            let (watch, handler) = (watch.clone(), handler.clone());
            tokio::task::spawn_local(watch.log_in(watchers + number as usize, due, handler));
        })
        .await?;
    stage.drain(|| watch.is_done()).await;
    stage.end_measuring();
    watch.finish();
    Ok(())
}

impl Watch {
    async fn log_in(self: Rc<Self>, index: usize, due: Instant, handler: Rc<dyn Handler>) {
        let login = self.stage.log_in(index).await;
        let now = Instant::now();
        let user = self.stage.plan.accounts[index].user_id as u64;
        match login {
            Ok(login) => {
                self.stage.note_login(&login);
                let mut tally = self.stage.tally.borrow_mut();
                tally.add("logins", 1);
                tally.latencies("login_from_due").record(now - due);
                if let Some(mover) = self.movers.borrow_mut().get_mut(&user) {
                    mover.online_us = Some(self.stage.us(now));
                    // The event overtook the answer: as quick as can be measured.
                    (0..mover.early).for_each(|_| tally.latencies("user_online").record_us(1));
                }
                drop(tally);
                self.connections.borrow_mut().push(Connection::start(index, login, handler));
            }
            Err(error) => {
                self.stage.tally.borrow_mut().failed(&format!("login: {error:#}"));
                self.movers.borrow_mut().remove(&user);
            }
        }
    }

    fn is_done(&self) -> bool {
        let movers = self.movers.borrow();
        movers.values().all(|mover| mover.online_us.is_some() && mover.seen.iter().all(|seen| *seen))
    }

    fn finish(&self) {
        let mut tally = self.stage.tally.borrow_mut();
        let movers = self.movers.borrow();
        tally.verdict.expected += (movers.len() * self.watchers) as u64;
        let unseen = movers.values().flat_map(|mover| &mover.seen).filter(|seen| !**seen).count();
        tally.verdict.lost += unseen as u64;
        if unseen > 0 {
            tally.verdict.example(|| format!("{unseen} times a watcher did not see a user come online"));
        }
    }
}

impl Handler for Watch {
    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant) {
        if connection.index >= self.watchers || scan::kind(text) != b"user_online" {
            return;
        }
        let mut movers = self.movers.borrow_mut();
        let mover = scan::number(text, b"\"userId\":").and_then(|user| movers.get_mut(&user));
        let Some(mover) = mover else { return };
        let mut tally = self.stage.tally.borrow_mut();
        if std::mem::replace(&mut mover.seen[connection.index], true) {
            tally.verdict.duplicates += 1;
            return;
        }
        tally.add("delivered", 1);
        match mover.online_us {
            Some(online_us) => tally.latencies("user_online").record_us(self.stage.us(at).saturating_sub(online_us)),
            None => mover.early += 1,
        }
    }

    fn closed(&self, _connection: &Rc<Connection>, why: &str) {
        self.stage.lost_connection(why);
    }
}
