//! Overload, and clients that do not read: commands are rejected and connections closed, and nobody else becomes
//! slower.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, Connect, event_type, raw};
use devstack::http;
use e2e::{Deployment, Options, User};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

const HAPPENS_WITHIN: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// Returns a value of the gateway's metrics; 0 if it is absent.
fn metric(deployment: &Deployment, name: &str) -> Result<f64> {
    let text = http::get(&format!("{}/metrics", deployment.fleet.gateways[0].url()))?.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0))
}

async fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + HAPPENS_WITHIN;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Returns the gateway's present (`VmRSS`) or highest (`VmHWM`) memory.
fn memory_bytes(deployment: &Deployment, name: &str) -> Result<u64> {
    let pid = deployment.fleet.gateways[0].pid().context("a running gateway")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("its memory")?;
    Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_workers_gateways_reject_at_the_bound_and_stay_small() -> Result<()> {
    const BACKLOG: usize = 200;
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    let options = options.with("BACKLOG_LIMIT", "200").with("BACKLOG_MAX_AGE", "5m").with("COMMAND_TIMEOUT", "60s");
    let mut deployment = Deployment::start("overload", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let message = json!({"type": "send_private_message", "recipientId": bob.id, "content": "a".repeat(2_000)});
    let mut asking = deployment.login(0, &alice).await?;
    let filling = deployment.login(0, &alice).await?;
    asking.request_ok(message.clone()).await?;
    deployment.fleet.workers[0].kill()?;

    // As many as one connection may have unanswered, and more than the lane accepts.
    for _ in 0..BACKLOG + 50 {
        filling.send(message.clone()).await?;
    }
    until("the lane refuses", || Ok(metric(&deployment, "gateway_lanes_refusing")? > 0.0)).await?;
    let before = memory_bytes(&deployment, "VmRSS")?;
    let waiting = metric(&deployment, "gateway_backlog")?;
    let ends_at = Instant::now() + Duration::from_secs(4);
    let mut refused = 0;
    while Instant::now() < ends_at {
        // At once, not only after the command's deadline.
        let answer = asking.request_within(message.clone(), Duration::from_secs(10)).await?;
        let is_refusal =
            answer["code"] == "SERVICE_UNAVAILABLE" && answer["retryAfter"].as_u64().is_some_and(|s| s > 0);
        ensure!(is_refusal, "to be refused: {answer}");
        refused += 1;
    }
    ensure!(refused > 20, "only {refused} refusals in four seconds");
    ensure!(metric(&deployment, "gateway_backlog")? <= waiting + 10.0, "the lane grows while it refuses");
    let after = memory_bytes(&deployment, "VmRSS")?;
    ensure!(after < before + 16 * MIB, "the gateway grew from {before} to {after} bytes while it refused");

    deployment.fleet.workers[0].start()?;
    let deadline = Instant::now() + HAPPENS_WITHIN;
    while event_type(&asking.request(message.clone()).await?) != "message_sent" {
        ensure!(Instant::now() < deadline, "the lane stays closed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Connects, and then reads next to nothing from the socket.
async fn slow_reader(url: &str, user: &User) -> Result<Client> {
    let mut client = Connect::new(url).recv_buffer_bytes(4_096).queue_events(4).open().await?;
    client.authenticate_with(json!({"token": user.token, "acks": true})).await?;
    Ok(client)
}

fn small_outboxes() -> Options {
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    options.with("OUTBOX_LIMIT", "128KiB").with("MAX_PAYLOAD_SIZE", "128KiB").with("GROUP_MAX_MEMBERS", "200")
}

/// 20 KB in JSON.
fn large(number: usize) -> String {
    format!("{number} {}", "👋".repeat(4_900))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_closed_and_gets_the_rest_later() -> Result<()> {
    let deployment = Deployment::start("slowreader", small_outboxes())?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut slow = slow_reader(&deployment.gateway_url(0), &bob).await?;
    let mut sender = deployment.login(0, &alice).await?;
    let mut sent = 0;
    let deadline = Instant::now() + HAPPENS_WITHIN;
    while metric(&deployment, "gateway_slow_consumers_total")? < 1.0 {
        ensure!(Instant::now() < deadline, "the client that does not read was not noticed");
        let message = json!({"type": "send_private_message", "recipientId": bob.id, "content": large(sent)});
        sender.request_ok(message).await?;
        sender.drain();
        sent += 1;
    }
    // It reads now, and finds out why it was closed.
    let close = slow.wait_closed(HAPPENS_WITHIN).await?;
    ensure!(close.code == Some(1013), "{close}");
    // Nothing was confirmed, so all of it comes again: many times what an outbox holds.
    let mut again = deployment.login(0, &bob).await?;
    for number in 1..=sent {
        let event = again.expect("new_message", |_| true, HAPPENS_WITHIN).await?;
        ensure!(event["seq"] == number, "number {number} was to come: {}", event["seq"]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_do_not_slow_the_rest_of_their_group() -> Result<()> {
    const MEMBERS: usize = 200;
    // The kernel buffers up to 4 MB for a client that does not read.
    const MAX_MESSAGES: usize = 400;
    let deployment = Deployment::start("slowgroup", small_outboxes())?;
    let url = deployment.gateway_url(0);
    let members: Vec<User> = (0..MEMBERS).map(|_| deployment.user("member")).collect::<Result<_>>()?;
    let (owner, others) = (&members[0], &members[1..]);
    let mut sender = deployment.login(0, owner).await?;
    let ids: Vec<i64> = others.iter().map(|user| user.id).collect();
    let create = json!({"type": "create_group", "groupName": "g", "maxMembers": MEMBERS, "initialMembers": ids});
    let group = sender.request_ok(create).await?["groupId"].clone();

    let mut slow = Vec::new();
    let mut reading = Vec::new();
    for (place, user) in others.iter().enumerate() {
        if place % 2 == 0 {
            slow.push(slow_reader(&url, user).await?);
        } else {
            let client = Client::login(&url, &user.token).await?;
            reading.push(tokio::spawn(read_all(client)));
        }
    }
    let closed = || metric(&deployment, "gateway_slow_consumers_total");
    let mut send = async |content: String| {
        let began = Instant::now();
        let message = json!({"type": "send_group_message", "groupId": group, "content": content});
        sender.request_ok(message).await?;
        sender.drain();
        Ok::<Duration, anyhow::Error>(began.elapsed())
    };
    let mut sent = 0;
    while closed()? < slow.len() as f64 {
        ensure!(sent < MAX_MESSAGES, "of {} who do not read {} were closed", slow.len(), closed()?);
        let lasted = send(large(sent)).await?;
        ensure!(lasted < Duration::from_secs(15), "a send took {lasted:?}");
        sent += 1;
    }
    send(LAST.to_owned()).await?;
    for reader in reading {
        reader.await??;
    }
    ensure!(closed()? == slow.len() as f64, "somebody who reads was closed, too");
    Ok(())
}

const LAST: &str = "the last one";

/// Reads every message, in order, on one connection.
async fn read_all(mut client: Client) -> Result<()> {
    for number in 1.. {
        let event: Value = client.expect("new_group_message", |_| true, HAPPENS_WITHIN).await?;
        ensure!(event["seq"] == number, "number {number} was to come: {}", event["seq"]);
        if event["content"] == LAST {
            break;
        }
    }
    Ok(())
}

/// Returns 48 MiB of spaces, compressed for permessage-deflate.
fn bomb() -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    for _ in 0..48 {
        encoder.write_all(&vec![b' '; MIB as usize])?;
    }
    encoder.flush()?;
    let mut payload = encoder.get_ref().clone();
    // The end of a flush is left out on the wire.
    ensure!(payload.split_off(payload.len() - 4) == [0, 0, 0xff, 0xff]);
    let length = u16::try_from(payload.len())?;
    // Final, compressed, text; a length of two bytes; masked with zeros.
    Ok([&[0xc1, 0xfe][..], &length.to_be_bytes(), &[0; 4], &payload].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_bomb_is_not_blown_up() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..Options::default() }.with("MAX_PAYLOAD_SIZE", "100KiB");
    let deployment = Deployment::start("bombs", options)?;
    let (url, bomb) = (deployment.gateway_url(0), bomb()?);
    let before = memory_bytes(&deployment, "VmHWM")?;
    let mut thrown = Vec::new();
    for _ in 0..30 {
        let (url, bomb) = (url.clone(), bomb.clone());
        thrown.push(tokio::spawn(async move {
            let offer = Connect::new(&url).header("Sec-WebSocket-Extensions", "permessage-deflate");
            let mut socket = offer.open_raw().await?;
            socket.write_all(&bomb).await?;
            anyhow::Ok(raw::read_close_code(&mut socket).await?)
        }));
    }
    for code in thrown {
        ensure!(tokio::time::timeout(HAPPENS_WITHIN, code).await??? == 1009);
    }
    let after = memory_bytes(&deployment, "VmHWM")?;
    ensure!(after < before + 24 * MIB, "the gateway grew from {before} to {after} bytes by bombs of 48 MiB");
    // Without the extension a compressed frame is a violation.
    let mut socket = Connect::new(&url).open_raw().await?;
    socket.write_all(&bomb).await?;
    ensure!(tokio::time::timeout(HAPPENS_WITHIN, raw::read_close_code(&mut socket)).await?? == 1002);
    Ok(())
}
