//! Webhooks on a fleet of real processes: workers that die during deliveries, `chatctl webhook`, and the receivers in
//! docs/integrate.md.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Post, Receiver, Reply};
use e2e::{Deployment, Options, repository};
use serde_json::{Value, json};
use tokio::time::Instant;

const WITHIN: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options { gateways: 1, workers: 2, ..Options::default() }
        .with("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        .with("WEBHOOK_MAX_PAUSE", "200ms")
        .with("WEBHOOK_TIMEOUT", "1s")
        .with("WEBHOOK_RETRY_FOR", "5s")
        .with("LEASE_TTL", "1s")
        .with("LEASE_INTERVAL", "100ms")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn body(post: &Post) -> Value {
    serde_json::from_str(&post.body).unwrap_or_default()
}

/// A subscription is known to all workers within two seconds.
async fn until_known(deployment: &Deployment, endpoints: usize) -> Result<()> {
    for worker in &deployment.fleet.workers {
        let knows = || {
            let metrics = devstack::http::get(&format!("{}/metrics", worker.url())).map(|answer| answer.body);
            metrics.is_ok_and(|text| text.contains(&format!("chat_worker_webhook_endpoints {endpoints}\n")))
        };
        until("a worker knows the endpoints", knows).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_workers_loses_no_webhook_and_keeps_their_order() -> Result<()> {
    const PEOPLE: usize = 6;
    const ROUNDS: usize = 60;
    let receiver = Receiver::start()?;
    let mut deployment = Deployment::start("webhook-kill", options().with("WEBHOOK_RETRY_FOR", "1h"))?;
    deployment.chatctl(&["webhook", "create", "backend", &receiver.url(), "--events", "message.created"])?;
    let people = deployment.many_users("person", PEOPLE)?;
    until_known(&deployment, 1).await?;
    // Slow enough that workers die with deliveries in progress.
    receiver.behave(|_| Reply::After(Duration::from_millis(20), Box::new(Reply::Status(200))));
    let mut clients = Vec::new();
    for person in &people {
        clients.push(deployment.login(0, person).await?);
    }
    let mut sent: HashMap<String, Vec<String>> = HashMap::new();
    for round in 0..ROUNDS {
        for (n, client) in clients.iter_mut().enumerate() {
            let to = people[(n + 1) % PEOPLE].id;
            let client_message_id = format!("{round}-{n}");
            // A command whose worker dies is answered by its successor, or rejected and repeated.
            let message = loop {
                let send = json!({"type": "send_private_message", "recipientId": to, "content": format!("{round}"),
                    "clientMessageId": client_message_id});
                let answer = client.request(send).await?;
                if answer["type"] == "message_sent" {
                    break answer;
                }
                ensure!(answer["code"] == "SERVICE_UNAVAILABLE", "{answer}");
            };
            let conversation = message["conversationId"].as_str().context("a conversation")?.to_owned();
            sent.entry(conversation).or_default().push(message["messageId"].as_str().context("an id")?.to_owned());
        }
        if round % 20 == 10 {
            let worker = &mut deployment.fleet.workers[(round / 20) % 2];
            worker.kill()?;
            worker.restart()?;
        }
    }
    deployment.until("SELECT count(*) FROM webhook_deliveries", "0").await?;
    let mut taken: HashMap<String, Vec<String>> = HashMap::new();
    let mut seen = HashSet::new();
    for delivery in receiver.taken().iter().map(body) {
        if seen.insert(delivery["id"].to_string()) {
            let text = |field: &str| delivery["data"][field].as_str().unwrap_or_default().to_owned();
            taken.entry(text("conversationId")).or_default().push(text("messageId"));
        }
    }
    ensure!(sent == taken, "{sent:#?}\n{taken:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_shown_replayed_and_dropped() -> Result<()> {
    let receiver = Receiver::start()?;
    let deployment = Deployment::start("webhook-aside", options())?;
    let create = ["webhook", "create", "backend", &receiver.url(), "--events", "message.created"];
    let secret = deployment.chatctl(&create)?;
    ensure!(secret.starts_with("whsec_"), "{secret}");
    ensure!(deployment.chatctl(&create).is_err(), "the name is taken");
    ensure!(deployment.sql("SELECT position('whsec' IN encode(secrets, 'escape')) FROM webhook_endpoints")? == "0");
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    until_known(&deployment, 1).await?;

    receiver.behave(|_| Reply::Status(500));
    let mut client = deployment.login(0, &alice).await?;
    for content in ["one", "two", "three"] {
        client.request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": content})).await?;
    }
    let set_aside = "SELECT count(*) FROM webhook_deliveries WHERE set_aside_at IS NOT NULL";
    deployment.until(set_aside, "3").await?;
    let failed = deployment.chatctl(&["webhook", "failed", "backend"])?;
    let ids: Vec<&str> = failed.lines().filter_map(|line| line.split('\t').next()).collect();
    ensure!(ids.len() == 3 && failed.contains("the answer is 500"), "{failed}");
    ensure!(!failed.contains("one"), "no content");
    let listed = deployment.chatctl(&["webhook", "list"])?;
    ensure!(listed.trim_end().ends_with("\t0\t-\t3"), "{listed}");

    receiver.behave(|_| Reply::Status(200));
    deployment.chatctl(&["webhook", "drop", ids[1]])?;
    ensure!(deployment.chatctl(&["webhook", "drop", ids[1]]).is_err(), "it is gone");
    deployment.chatctl(&["webhook", "replay", "--all", "backend"])?;
    until("the rest is delivered", || receiver.taken().len() == 2).await?;
    let contents: Vec<Value> = receiver.taken().iter().map(|post| body(post)["data"]["content"].clone()).collect();
    ensure!(contents == ["one", "three"], "{contents:?}");

    // Both secrets sign until the change is finished.
    let signatures = |receiver: &Receiver| {
        receiver.taken().last().map_or(0, |post| post.header("webhook-signature").split(' ').count())
    };
    let fresh = deployment.chatctl(&["webhook", "secret", "backend"])?;
    ensure!(fresh.starts_with("whsec_") && fresh != secret);
    ensure!(deployment.chatctl(&["webhook", "secret", "backend"]).is_err(), "there are two");
    for (count, finish) in [(2, true), (1, false)] {
        let deadline = Instant::now() + WITHIN;
        loop {
            let known = receiver.taken().len();
            client.request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": "x"})).await?;
            until("it is delivered", || receiver.taken().len() > known).await?;
            if signatures(&receiver) == count {
                break;
            }
            ensure!(Instant::now() < deadline, "not {count} signatures");
        }
        if finish {
            deployment.chatctl(&["webhook", "secret", "backend", "--finish"])?;
        }
    }
    deployment.chatctl(&["webhook", "remove", "backend"])?;
    ensure!(deployment.chatctl(&["webhook", "list"])?.is_empty());
    Ok(())
}

/// Ends the process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receivers_of_the_page_take_what_is_genuine_once() -> Result<()> {
    let page = std::fs::read_to_string(repository("docs/integrate.md"))?;
    let section = page.split_once("\n## Webhooks\n").context("the section")?.1;
    let section = section.split_once("\n## ").context("the next one")?.0;
    let deployment = Deployment::start("webhook-page", options())?;
    let mut receivers = Vec::new();
    for (language, program, arguments) in
        [("python", "python3", &["-u", "-c"][..]), ("js", "node", &["--input-type=module", "--eval"][..])]
    {
        let code = section.split_once(&format!("```{language}\n")).context("its code")?.1;
        let code = code.split("\n```").next().context("its end")?;
        let port = devstack::ports::free_one()?;
        let url = format!("http://127.0.0.1:{port}/");
        let secret = deployment.chatctl(&["webhook", "create", language, &url, "--events", "message.created"])?;
        let child = Command::new(program)
            .args(arguments)
            .arg(code)
            .env("PORT", port.to_string())
            .env("WEBHOOK_SECRETS", secret.trim())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut child = Ended(child);
        let output = child.0.stdout.take().context("its output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        receivers.push((language, port, lines, child));
    }
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    until_known(&deployment, 2).await?;
    let mut client = deployment.login(0, &alice).await?;
    client
        .request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": "for the page"}))
        .await?;
    deployment.until("SELECT count(*) FROM webhook_deliveries", "0").await?;
    for (language, port, lines, _child) in &receivers {
        let mut genuine = Vec::new();
        until("the receiver has it", || {
            genuine.extend(lines.try_iter().filter(|line| line.contains("for the page")));
            !genuine.is_empty()
        })
        .await?;
        let event: Value = serde_json::from_str(&genuine[0])?;
        let sender = alice.id.to_string();
        ensure!(event["type"] == "message.created" && event["data"]["senderId"] == *sender, "{language}: {event}");
        // A delivery with another signature is rejected.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().to_string();
        let forged = e2e::Request::post("/", &event)
            .header("webhook-id", "forged")
            .header("webhook-timestamp", &now)
            .header("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let answer = forged.send_elsewhere(&format!("http://127.0.0.1:{port}")).await?;
        ensure!(answer.status == 401, "{language}: {}", answer.status);
        ensure!(genuine.len() == 1);
    }
    Ok(())
}
