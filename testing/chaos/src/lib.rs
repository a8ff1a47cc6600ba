//! Chaos: a real fleet under mixed load, faults in a seeded sequence, and afterwards the check of the whole history.
//! The history checker (`e2e::Witness`) decides what is a violation; for what only a client can see, [`person`] does.

pub mod faults;
mod inject;
mod person;
mod probe;
mod report;
mod restore;
mod shared;
mod stalled_log;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::event_type;
use e2e::{Deployment, Options, User};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::faults::{Sequence, Step};
use crate::person::{Person, State};
use crate::probe::Probe;
pub use crate::report::{Entry, Report};
use crate::shared::{Phase, Shared};

/// The service has to be back within this time after a fault; generous, because debug builds may share two cores.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const QUIET_WITHIN: Duration = Duration::from_secs(90);
/// A message that takes longer than this in the quiet phase arrives only by reconnecting.
const LIVE_WITHIN: Duration = Duration::from_secs(8);
const PRESENT_WITHIN: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(200);

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For how long new faults begin.
    pub seconds: u64,
    pub seed: u64,
    pub gateways: usize,
    pub workers: usize,
    pub people: usize,
    /// Allows two faults at once.
    pub pairs: bool,
    /// Where a run with violations leaves its logs.
    pub keep: PathBuf,
}

/// Runs the plan to the end, reporting progress line by line.
///
/// # Errors
/// If the run itself fails, for example because a store does not come back. Violations are in the report.
pub async fn run(plan: &Plan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Report> {
    ensure!(plan.gateways > 0 && plan.workers > 0 && plan.people > 1, "at least a gateway, a worker and two people");
    let mut run = Run::start(plan).await?;
    say(&format!("seed {}: {} gateways, {} workers, {} people", plan.seed, plan.gateways, plan.workers, plan.people));
    let timeline = run.faults(plan, say).await;
    let (timeline, broken) = match timeline {
        Ok(timeline) => (timeline, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    let mut late = Vec::new();
    if let Some(broken) = broken {
        run.shared.violation(broken);
    } else {
        say("quiet: everything has to arrive now");
        late = run.quiesce().await?;
        run.check_presence().await?;
    }
    let (acknowledged, refused, unanswered) = run.shared.counts();
    let mut report = Report {
        seed: plan.seed,
        acknowledged,
        refused,
        unanswered,
        timeline,
        late,
        violations: run.shared.take_violations(),
        kept: None,
    };
    if !report.violations.is_empty() {
        report.keep(plan, run.deployment()?)?;
    }
    run.phase.send_replace(Phase::End);
    Ok(report)
}

struct Run {
    /// Taken while a blocking thread works on it.
    deployment: Option<Deployment>,
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    people: Vec<(User, bool, Arc<State>)>,
    observer: User,
    group_names: Vec<(String, User)>,
}

impl Run {
    async fn start(plan: &Plan) -> Result<Self> {
        let options = Options {
            gateways: plan.gateways,
            workers: plan.workers,
            proxied: true,
            durable_redis: true,
            ..Options::default()
        };
        // Short times, so that much happens; correctness does not depend on them.
        let options = options
            .with("LEASE_TTL", "2s")
            .with("COMMAND_TIMEOUT", "5s")
            .with("OFFLINE_GRACE_PERIOD", "2s")
            .with("DRAIN_WINDOW", "1s")
            .with("CURSOR_FLUSH_INTERVAL", "1s")
            .with("REPLAY_LIMIT", "20000");
        let deployment = spawn_blocking(|| Deployment::start("chaos", options)).await??;
        let shared = Arc::new(Shared::new(plan.gateways));
        let phase = watch::Sender::new(Phase::Load);
        let users: Vec<User> = (0..plan.people).map(|_| deployment.user("person")).collect::<Result<_>>()?;
        let observer = deployment.user("observer")?;
        let urls: Vec<String> = (0..plan.gateways).map(|gateway| deployment.gateway_url(gateway)).collect();
        let all: Vec<&User> = users.iter().collect();
        let half: Vec<&User> = users.iter().step_by(2).collect();
        let mut groups = Vec::new();
        for members in [all, half] {
            groups.push((make_group(&deployment, &members).await?, members));
        }
        let mut run = Run {
            deployment: None,
            shared: shared.clone(),
            phase,
            people: Vec::new(),
            observer,
            group_names: groups.iter().map(|(group, members)| (group.clone(), members[0].clone())).collect(),
        };
        for (place, user) in users.iter().enumerate() {
            let partners: Vec<User> = users.iter().filter(|other| other.id != user.id).cloned().collect();
            let of_user: Vec<String> = groups
                .iter()
                .filter(|(_, members)| members.iter().any(|member| member.id == user.id))
                .map(|(group, _)| group.clone())
                .collect();
            let mut witness = shared.witness.lock();
            for conversation in partners.iter().map(|other| client::conversation_id(user.id, other.id)) {
                witness.expects(&user.name, &conversation);
            }
            of_user.iter().for_each(|group| witness.expects(&user.name, group));
            drop(witness);
            let state = Arc::new(State::default());
            let stays = place % 3 != 0;
            let person = Person {
                user: user.clone(),
                partners,
                groups: of_user,
                urls: urls.clone(),
                shared: shared.clone(),
                rng: StdRng::seed_from_u64(plan.seed.wrapping_mul(1_000).wrapping_add(place as u64)),
                stays,
                state: state.clone(),
            };
            tokio::spawn(person.run(run.phase.subscribe()));
            run.people.push((user.clone(), stays, state));
        }
        let sink = deployment.user("sink")?;
        for (gateway, url) in urls.into_iter().enumerate() {
            let user = deployment.user("probe")?;
            let probe = Probe { gateway, url, user, to: sink.id, shared: shared.clone() };
            tokio::spawn(probe.run(run.phase.subscribe()));
        }
        run.deployment = Some(deployment);
        run.back_since(Instant::now()).await?;
        Ok(run)
    }

    fn deployment(&self) -> Result<&Deployment> {
        self.deployment.as_ref().context("the deployment was lost in a panic")
    }

    /// Runs work on the deployment on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Deployment) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut deployment = self.deployment.take().context("the deployment was lost in a panic")?;
        let (deployment, result) = spawn_blocking(move || {
            let result = work(&mut deployment);
            (deployment, result)
        })
        .await?;
        self.deployment = Some(deployment);
        result
    }

    /// Waits until every gateway has served a send that began after this moment; returns how long that took.
    async fn back_since(&self, moment: Instant) -> Result<Duration> {
        while !self.shared.all_served_since(moment) {
            ensure!(
                moment.elapsed() < BACK_WITHIN,
                "not every gateway serves {BACK_WITHIN:?} after the end of a fault"
            );
            sleep(Duration::from_millis(20)).await;
        }
        Ok(moment.elapsed())
    }

    async fn faults(&mut self, plan: &Plan, say: &(dyn Fn(&str) + Send + Sync)) -> Result<Vec<Entry>> {
        let started = Instant::now();
        let mut timeline = Vec::new();
        for step in Sequence::new(plan.seed, plan.gateways, plan.workers, plan.pairs) {
            sleep(step.pause).await;
            if started.elapsed() >= Duration::from_secs(plan.seconds) {
                break;
            }
            let at = started.elapsed();
            let (lasted, back_after) =
                self.step(&step).await.with_context(|| format!("{step} at {:.1} s", at.as_secs_f64()))?;
            let entry = Entry { at, step, lasted, back_after };
            let (acknowledged, refused, _) = self.shared.counts();
            say(&format!("{entry}   [{acknowledged} acknowledged, {refused} refused for the moment]"));
            timeline.push(entry);
        }
        self.blocking(inject::check_alive).await?;
        Ok(timeline)
    }

    /// Runs one step; returns how long it lasted, and how much longer it took until every gateway served again.
    async fn step(&mut self, step: &Step) -> Result<(Duration, Duration)> {
        let began = Instant::now();
        let mut begun = Vec::new();
        for fault in step.faults.clone() {
            begun.push((fault, self.blocking(move |deployment| inject::begin(deployment, fault)).await?));
        }
        sleep(step.hold).await;
        for (fault, begun) in begun {
            self.blocking(move |deployment| inject::end(deployment, fault, &begun)).await?;
        }
        let ended = Instant::now();
        let back_after = self.back_since(ended).await?;
        Ok((ended - began, back_after))
    }

    /// Waits until everything was acknowledged and has arrived, then checks the history. Returns what arrived only by
    /// reconnecting.
    async fn quiesce(&mut self) -> Result<Vec<String>> {
        self.phase.send_replace(Phase::Finish);
        let deadline = Instant::now() + QUIET_WITHIN;
        while let Some((user, ..)) = self.people.iter().find(|(_, _, state)| !state.is_idle()) {
            if Instant::now() > deadline {
                self.shared.violation(format!("{} waits for acknowledgements in vain", user.name));
                break;
            }
            sleep(LOOK).await;
        }
        let late = self.missing_after(LIVE_WITHIN).await?;
        if !late.is_empty() {
            self.phase.send_replace(Phase::Reconnect);
            for missing in self.missing_after(QUIET_WITHIN / 2).await? {
                self.shared.violation(missing);
            }
        }
        let checked = self.shared.witness.lock().check(self.deployment()?, false);
        if let Err(violation) = checked {
            self.shared.violation(format!("{violation:#}"));
        }
        if let Err(violation) = self.check_contents().await {
            self.shared.violation(format!("{violation:#}"));
        }
        Ok(late)
    }

    /// Returns what is still missing after waiting for this long.
    async fn missing_after(&self, within: Duration) -> Result<Vec<String>> {
        let deadline = Instant::now() + within;
        loop {
            let missing = self.shared.witness.lock().missing(self.deployment()?)?;
            if missing.is_empty() || Instant::now() > deadline {
                return Ok(missing);
            }
            sleep(LOOK).await;
        }
    }

    /// History as a client pages through it: without gaps, and every acknowledged edit shows.
    async fn check_contents(&self) -> Result<()> {
        let edits = self.shared.witness.lock().last_edits();
        let deployment = self.deployment()?;
        for (group, member) in &self.group_names {
            let mut client = deployment.login(0, member).await?;
            let mut seq = 0;
            loop {
                let page = json!({"type": "get_group_messages", "groupId": group, "afterSeq": seq, "limit": 200});
                let page = client.request_ok(page).await?;
                for message in page["messages"].as_array().into_iter().flatten() {
                    seq += 1;
                    ensure!(message["seq"] == seq, "{group}: number {seq} is missing in the history: {message}");
                    check_content(&edits, message)?;
                }
                if page["hasMore"] != true {
                    break;
                }
            }
            client.close().await;
        }
        Ok(())
    }

    /// After some have left, every gateway's list has to show exactly who is connected.
    async fn check_presence(&self) -> Result<()> {
        self.phase.send_replace(Phase::Calm);
        let deployment = self.deployment()?;
        let mut expected: Vec<String> =
            self.people.iter().filter(|(_, stays, _)| *stays).map(|(user, ..)| user.id.to_string()).collect();
        expected.sort();
        let deadline = Instant::now() + PRESENT_WITHIN;
        for gateway in 0..deployment.fleet.gateways.len() {
            let mut client = timeout(PRESENT_WITHIN, deployment.login(gateway, &self.observer)).await??;
            loop {
                let list = client.request(json!({"type": "get_online_users"})).await?;
                let mut online: Vec<String> = Vec::new();
                for user in list["users"].as_array().into_iter().flatten() {
                    online.extend(user["userId"].as_str().map(str::to_owned));
                }
                online.sort();
                let all_stay = self.people.iter().all(|(_, stays, state)| !stays || state.is_online());
                if online == expected && all_stay {
                    break;
                }
                if Instant::now() > deadline {
                    let what = format!("gateway {} shows {online:?} online, connected are {expected:?}", gateway + 1);
                    self.shared.violation(what);
                    break;
                }
                sleep(LOOK).await;
            }
            client.close().await;
        }
        Ok(())
    }
}

fn check_content(edits: &std::collections::HashMap<String, String>, message: &Value) -> Result<()> {
    let id = message["messageId"].as_str().unwrap_or_default();
    match edits.get(id) {
        Some(content) => ensure!(message["content"] == content.as_str(), "{id} must say {content:?}: {message}"),
        None => ensure!(message["content"].is_string(), "a message without content: {message}"),
    }
    Ok(())
}

/// Creates a group that the first one owns and all belong to.
async fn make_group(deployment: &Deployment, members: &[&User]) -> Result<String> {
    let mut owner = deployment.login(0, members[0]).await?;
    let others: Vec<i64> = members[1..].iter().map(|user| user.id).collect();
    let create = json!({"type": "create_group", "groupName": "chaos", "initialMembers": others});
    let answer = owner.request_ok(create).await?;
    ensure!(event_type(&answer) == "group_created", "no group: {answer}");
    owner.close().await;
    answer["groupId"].as_str().map(str::to_owned).context("the group's id")
}
