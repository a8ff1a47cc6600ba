//! `direct` and `group`: senders write at a rate, or as fast as they are answered.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Stage;
use super::rooms::{Rooms, RoomsHandler, Shape};
use crate::accounts::Account;
use crate::connection::Handler;
use crate::plan::{GroupSource, Pace, Scenario};

const GROUPS_MADE_WITHIN: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);
/// Keeps the body below the server's limit of 256 KiB.
const MEMBERS_PER_CALL: usize = 4_000;

pub async fn run(stage: &Rc<Stage>) -> Result<()> {
    let (shape, source) = match stage.plan.scenario.clone() {
        Scenario::Direct { content_bytes, client_ids } => {
            (Shape { members: 2, senders: 2, content_bytes, client_ids, direct: true }, None)
        }
        Scenario::Group { content_bytes, client_ids, members, senders, source } => {
            // One group is one room with everybody.
            let members = if source == GroupSource::Made { members } else { stage.plan.accounts.len() };
            (Shape { members, senders, content_bytes, client_ids, direct: false }, Some(source))
        }
        other => bail!("{} sends nothing to rooms", other.name()),
    };
    let rooms = Rooms::new(stage, shape)?;
    let handler: Rc<dyn Handler> = Rc::new(RoomsHandler(rooms.clone()));
    rooms.set_connections(stage.connect(0..stage.plan.accounts.len(), &handler).await?);
    match source {
        None => {}
        Some(GroupSource::Existing(group)) => rooms.set_group(0, &group),
        Some(GroupSource::Made) => make_groups(stage, &rooms, shape.members).await?,
        Some(GroupSource::Community) => rooms.set_group(0, &make_community(stage).await?),
    }
    stage.ready().await?;
    write(stage, &rooms).await?;
    stage.drain(|| rooms.is_done()).await;
    rooms.finish();
    Ok(())
}

/// Lets the first of each room create its group.
async fn make_groups(stage: &Stage, rooms: &Rooms, members: usize) -> Result<()> {
    for (room, accounts) in stage.plan.accounts.chunks(members).enumerate() {
        let mut others = String::new();
        for account in accounts.iter().skip(1) {
            let separator = if others.is_empty() { "" } else { "," };
            let _ = write!(others, "{separator}\"{}\"", account.user_id);
        }
        let command = format!(
            r#"{{"type":"create_group","groupName":"load {room}","maxMembers":{members},"initialMembers":[{others}]}}"#
        );
        match rooms.connection(room * members) {
            Some(owner) => owner.send(command.as_bytes()),
            None => bail!("the owner of a group could not log in"),
        }
    }
    let deadline = Instant::now() + GROUPS_MADE_WITHIN;
    while !(0..rooms.room_count()).all(|room| rooms.has_group(room)) {
        if Instant::now() > deadline {
            bail!("the groups were not made: {:?}", stage.tally.borrow().refused);
        }
        tokio::time::sleep(STEP).await;
    }
    Ok(())
}

/// Creates a community of all accounts; returns its group's id.
async fn make_community(stage: &Stage) -> Result<String> {
    let [high, low]: [u64; 2] = rand::random();
    let group = format!(
        "group_{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    for accounts in stage.plan.accounts.chunks(MEMBERS_PER_CALL) {
        let member = |account: &Account| format!(r#"{{"userId":"{}","role":"member"}}"#, account.user_id);
        let members: Vec<String> = accounts.iter().map(member).collect();
        let body = format!(
            r#"{{"community":{{"communityId":"load-{}","name":"load","defaultGroupId":"{group}"}},"members":[{}]}}"#,
            stage.plan.run,
            members.join(",")
        );
        stage.post("/community/progression", &body).await?;
    }
    Ok(group)
}

/// Writes during the warm-up and the measured time.
async fn write(stage: &Rc<Stage>, rooms: &Rc<Rooms>) -> Result<()> {
    let warmup = Duration::from_millis(stage.plan.warmup_ms);
    let end = Instant::now() + warmup + Duration::from_millis(stage.plan.duration_ms);
    let clock = {
        let (stage, rooms) = (stage.clone(), rooms.clone());
        tokio::task::spawn_local(async move {
            tokio::time::sleep(warmup).await;
            stage.begin_measuring();
            loop {
                rooms.show_progress();
                tokio::time::sleep(STEP).await;
            }
        })
    };
    let senders = rooms.senders();
    match stage.plan.pace {
        Pace::Rate(rate) => {
            let send = |number: u64, due| rooms.send(senders[number as usize % senders.len()], due);
            stage.at_rate(rate, end, send).await?;
        }
        Pace::Window(window) => {
            rooms.set_closed_loop(true);
            for _ in 0..window {
                senders.iter().for_each(|sender| rooms.send(*sender, Instant::now()));
                tokio::task::yield_now().await;
            }
            tokio::time::sleep_until(end.into()).await;
            rooms.set_closed_loop(false);
        }
    }
    clock.abort();
    stage.end_measuring();
    Ok(())
}
