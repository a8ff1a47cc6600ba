//! The scenarios, and the stage they share: targets, clock, phases, and what is counted.

mod history;
mod idle;
mod messages;
mod presence;
mod rooms;
mod storm;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{BufReader, Lines, Stdin};
use tokio::task::JoinSet;

use crate::connection::{Connection, Handler};
use crate::login::{LoggedIn, log_in};
use crate::observe::processes;
use crate::pacer::Pacer;
use crate::plan::{Plan, START, Said, Scenario};
use crate::tally::Tally;
use crate::target::Target;
use crate::wire::Opener;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// Between checks if everything has arrived.
const DRAIN_STEP: Duration = Duration::from_millis(20);

pub type FromDirector = Lines<BufReader<Stdin>>;
/// By the account's place in the plan; `None` where the login failed.
pub type Connections = Vec<Option<Rc<Connection>>>;

/// Runs the plan and returns the counts.
pub async fn run(plan: Plan, director: FromDirector) -> Result<Tally> {
    let stage = Rc::new(Stage::new(plan, director)?);
    tokio::task::spawn_local(tell_progress(stage.clone()));
    match stage.plan.scenario.clone() {
        Scenario::Direct { .. } | Scenario::Group { .. } => messages::run(&stage).await?,
        Scenario::Presence { watchers, readers, stay_ms, .. } => {
            presence::run(&stage, watchers, readers, stay_ms.map(Duration::from_millis)).await?;
        }
        Scenario::History { preload, page, requests } => history::run(&stage, preload, page, &requests).await?,
        Scenario::Idle { message } => idle::run(&stage, message).await?,
        Scenario::Storm { missed, senders } => storm::run(&stage, missed, senders).await?,
    }
    stage.ended.set(true);
    Ok(stage.tally.take())
}

pub struct Stage {
    pub plan: Plan,
    targets: Vec<Target>,
    opener: Opener,
    pub pacer: Pacer,
    director: RefCell<Option<FromDirector>>,
    epoch: Instant,
    pub tally: RefCell<Tally>,
    /// For the progress line: what the scenario counts while it runs.
    pub progress: RefCell<Tally>,
    /// True within the measured time.
    measuring: Cell<bool>,
    /// When the measured time began, in microseconds of the clock; `u64::MAX` before.
    measured_from_us: Cell<u64>,
    cpu_at_start: Cell<f64>,
    ended: Cell<bool>,
}

impl Stage {
    fn new(plan: Plan, director: FromDirector) -> Result<Self> {
        let targets = plan.urls.iter().map(|url| Target::resolve(url)).collect::<Result<Vec<_>>>()?;
        let opener = Opener::new(&targets, plan.deflate)?;
        Ok(Self {
            plan,
            targets,
            opener,
            pacer: Pacer::new()?,
            director: RefCell::new(Some(director)),
            epoch: Instant::now(),
            tally: RefCell::default(),
            progress: RefCell::default(),
            measuring: Cell::new(false),
            measured_from_us: Cell::new(u64::MAX),
            cpu_at_start: Cell::new(0.0),
            ended: Cell::new(false),
        })
    }

    pub fn us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_micros() as u64
    }

    pub fn is_measuring(&self) -> bool {
        self.measuring.get()
    }

    /// Returns true if a message due then counts for the latencies.
    pub fn is_measured(&self, due_us: u64) -> bool {
        due_us >= self.measured_from_us.get()
    }

    pub async fn log_in(&self, index: usize) -> Result<LoggedIn> {
        let global = self.plan.first + index;
        let target = &self.targets[global % self.targets.len()];
        let account = self.plan.accounts.get(index).context("an account")?;
        let batches = matches!(self.plan.scenario, Scenario::Presence { batches: true, .. });
        log_in(&self.opener, target, account, global, batches).await
    }

    /// Sends a POST to the first target, with the community token.
    pub async fn post(&self, path: &str, body: &str) -> Result<()> {
        let target = self.targets.first().context("a target")?;
        let token = self.plan.community_token.as_deref().context("COMMUNITY_SYNC_TOKEN is not set")?;
        self.opener.post(target, path, token, body).await.with_context(|| format!("POST {path}"))
    }

    /// Logs these accounts in at the plan's rate, and records how long it took.
    pub async fn connect(
        self: &Rc<Self>,
        range: std::ops::Range<usize>,
        handler: &Rc<dyn Handler>,
    ) -> Result<Connections> {
        let mut logins = JoinSet::new();
        let begin = Instant::now();
        for (count, index) in range.clone().enumerate() {
            self.pacer.until(begin + Duration::from_secs_f64(count as f64 / self.plan.connect_rate)).await?;
            let (stage, handler) = (self.clone(), handler.clone());
            logins.spawn_local(async move {
                let login = stage.log_in(index).await;
                // Read from now on: what others do reaches it while more log in.
                let connection = login.map(|login| {
                    stage.note_login(&login);
                    Connection::start(index, login, handler)
                });
                (index, connection)
            });
        }
        let mut connections: Connections = (0..range.end).map(|_| None).collect();
        while let Some(login) = logins.join_next().await {
            let (index, login) = login.context("a login")?;
            match login {
                Ok(connection) => connections[index] = Some(connection),
                Err(error) => self.tally.borrow_mut().failed(&format!("login: {error:#}")),
            }
        }
        if !range.is_empty() && connections.iter().all(Option::is_none) {
            bail!("no login succeeded: {:?}", self.tally.borrow().failures);
        }
        Ok(connections)
    }

    pub fn note_login(&self, login: &LoggedIn) {
        let mut tally = self.tally.borrow_mut();
        tally.latencies("connect").record(login.connect);
        tally.latencies("authenticate").record(login.authenticate);
        self.progress.borrow_mut().add("connected", 1);
    }

    /// Lets things settle, says that this agent is ready, and waits until all are.
    pub async fn ready(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(self.plan.settle_ms)).await;
        Said::Ready.say()?;
        let mut director = self.director.borrow_mut().take().context("ready twice")?;
        match director.next_line().await?.as_deref() {
            Some(START) => Ok(()),
            other => bail!("the directing process said {other:?}"),
        }
    }

    pub fn begin_measuring(&self) {
        self.measured_from_us.set(self.us(Instant::now()));
        self.measuring.set(true);
        self.cpu_at_start.set(processes::own_cpu_seconds());
        // If the directing process is gone, the end of the run will notice.
        let _ = Said::Measuring.say();
    }

    pub fn end_measuring(&self) {
        self.measuring.set(false);
        let mut tally = self.tally.borrow_mut();
        let us = self.us(Instant::now()).saturating_sub(self.measured_from_us.get());
        tally.measured_seconds = us as f64 / 1e6;
        tally.cpu_seconds = processes::own_cpu_seconds() - self.cpu_at_start.get();
        let _ = Said::Sent.say();
    }

    /// Calls `fire` at `rate` per second until `end`, with when each call was due; late calls follow at once.
    pub async fn at_rate(&self, rate: f64, end: Instant, mut fire: impl FnMut(u64, Instant)) -> Result<()> {
        let begin = Instant::now();
        let due = |number: u64| begin + Duration::from_secs_f64(number as f64 / rate);
        let mut number = 0;
        while due(number) < end {
            self.pacer.until(due(number)).await?;
            let now = Instant::now();
            while due(number) <= now && due(number) < end {
                if self.is_measuring() {
                    self.tally.borrow_mut().latencies("generator_delay").record(now - due(number));
                }
                fire(number, due(number));
                number += 1;
            }
        }
        Ok(())
    }

    /// Waits until `done` returns true, at most as long as the plan allows.
    pub async fn drain(&self, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_millis(self.plan.drain_ms);
        while !done() && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_STEP).await;
        }
    }

    /// Records a connection that should not have ended.
    pub fn lost_connection(&self, why: &str) {
        let mut tally = self.tally.borrow_mut();
        tally.failed(&format!("connection: {why}"));
        tally.verdict.closed += 1;
    }
}

async fn tell_progress(stage: Rc<Stage>) {
    while !stage.ended.get() {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        let counts = stage.progress.borrow().counts.clone();
        if Said::Progress(counts).say().is_err() {
            return;
        }
    }
}
