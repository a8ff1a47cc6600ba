//! Clocks that differ by a minute from that of Redis, in both directions.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::fleet::READY_TIMEOUT;
use devstack::wait::SOON;
use e2e::{Deployment, Options};
use serde_json::{Value, json};

/// A gateway that seems dead is abandoned after six seconds, and the grace period is one.
const LONG_ENOUGH_TO_BE_GIVEN_UP: Duration = Duration::from_secs(9);
const ROUNDS: usize = 20;
const MINUTE_MS: i64 = 60_000;

/// Returns the value of a metric of a server.
fn metric(url: &str, name: &str) -> Result<f64> {
    let page = devstack::http::get(&format!("{url}/metrics"))?.body;
    let line = page.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name} at {url}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_between_clocks_breaks_no_promise() -> Result<()> {
    let options = Options::default().with("OFFLINE_GRACE_PERIOD", "1s");
    let mut deployment = Deployment::start("clocks", options)?;
    let fleet = &mut deployment.fleet;
    let offsets = [-MINUTE_MS, MINUTE_MS];
    for (servers, offsets) in [(&mut fleet.workers, offsets.map(|offset| -offset)), (&mut fleet.gateways, offsets)] {
        for (server, offset) in servers.iter_mut().zip(offsets) {
            server.stop()?;
            server.set("CLOCK_OFFSET_MS", &offset.to_string());
            server.start()?;
            server.wait_ready(READY_TIMEOUT)?;
        }
    }
    for (kind, servers) in [("gateway", &deployment.fleet.gateways), ("chat_worker", &deployment.fleet.workers)] {
        for server in servers {
            let offset = metric(&server.url(), &format!("{kind}_clock_offset_seconds"))?;
            ensure!((59.0..61.0).contains(&offset.abs()), "{}: {offset}", server.name());
            let log = std::fs::read_to_string(server.log_path())?;
            ensure!(log.contains("clock differs from the clock of Redis"), "{} does not warn", server.name());
        }
    }

    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let mut slow = deployment.login(0, &alice).await?;
    let mut fast = deployment.login(1, &bob).await?;
    // Commands of both are applied by both workers, and edits are in time although the clocks differ: the sender's
    // gateway seems a minute ahead or behind.
    for round in 0..ROUNDS {
        let group = slow.request_ok(json!({"type": "create_group", "groupName": format!("g{round}")})).await?;
        let id = &group["groupId"];
        slow.request_ok(json!({"type": "add_group_member", "groupId": id, "userId": bob.id})).await?;
        slow.request_ok(json!({"type": "add_group_member", "groupId": id, "userId": carol.id})).await?;
        fast.expect("group_created", |event| event["groupId"] == *id, SOON).await?;
        let (sender, reactor) = if round % 2 == 0 { (&mut fast, &mut slow) } else { (&mut slow, &mut fast) };
        let send = json!({"type": "send_group_message", "groupId": id, "content": format!("m{round}")});
        let sent = sender.request_ok(send).await?;
        let edit = json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": "edited"});
        sender.request_ok(edit).await?;
        let react = json!({"type": "add_group_reaction", "messageId": sent["messageId"], "reaction": "+"});
        reactor.request_ok(react).await?;
    }
    // Typing indicators end after three seconds, neither at once nor after a minute.
    slow.send(json!({"type": "typing", "recipientId": bob.id, "isTyping": true})).await?;
    fast.expect("user_typing", |event| event["isTyping"] == true, SOON).await?;
    fast.expect_none("user_typing", |event| event["isTyping"] == false, Duration::from_secs(1)).await?;
    fast.expect("user_typing", |event| event["isTyping"] == false, SOON).await?;
    fast.expect_none("user_offline", |_| true, LONG_ENOUGH_TO_BE_GIVEN_UP).await?;
    slow.expect_none("user_offline", |_| true, Duration::from_millis(10)).await?;

    // A user who was away gets everything in the order in which it happened.
    let mut late = deployment.login(0, &carol).await?;
    let mut seen: Vec<Value> = Vec::new();
    while seen.iter().filter(|event| event["type"] == "group_reaction_added").count() < ROUNDS {
        seen.push(late.next_event(SOON).await?);
    }
    for created in seen.iter().filter(|event| event["type"] == "group_created") {
        let group = &created["groupId"];
        let kinds = ["group_created", "new_group_message", "group_message_edited", "group_reaction_added"];
        let place = |kind: &str| seen.iter().position(|event| event["type"] == kind && event["groupId"] == *group);
        let places = kinds.map(place);
        ensure!(places.is_sorted() && places[0].is_some(), "{kinds:?} of {group} come at {places:?}");
    }
    Ok(())
}
