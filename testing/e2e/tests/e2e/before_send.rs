//! The hook before send on a fleet of real processes: workers that die while they ask, and the hooks of the page.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Post, Receiver, Reply};
use e2e::{Deployment, Options, repository};
use serde_json::{Value, json};
use tokio::time::Instant;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WITHIN: Duration = Duration::from_secs(60);

fn options(url: &str) -> Options {
    Options { gateways: 1, workers: 2, ..Options::default() }
        .with("BEFORE_SEND_URL", url)
        .with("BEFORE_SEND_SECRETS", SECRET)
        .with("BEFORE_SEND_TIMEOUT", "2s")
        .with("BEFORE_SEND_ON_FAILURE", "reject")
        .with("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        .with("LEASE_TTL", "1s")
        .with("LEASE_INTERVAL", "100ms")
}

fn content_of(post: &Post) -> String {
    let question: Value = serde_json::from_str(&post.body).unwrap_or_default();
    question["data"]["content"].as_str().unwrap_or_default().to_owned()
}

/// Every message is asked about slowly, so that workers die with questions under way.
#[tokio::test(flavor = "multi_thread")]
async fn killing_workers_that_ask_loses_and_lets_through_nothing() -> Result<()> {
    const PEOPLE: usize = 6;
    const ROUNDS: usize = 60;
    let receiver = Receiver::start()?;
    receiver.behave(|post| {
        let content = content_of(post);
        let answer = match content.as_str() {
            "bad" => json!({"action": "reject", "reason": "no"}),
            content => json!({"action": "change", "content": format!("seen {content}")}),
        };
        Reply::After(Duration::from_millis(30), Box::new(Reply::Json(answer.to_string())))
    });
    let mut deployment = Deployment::start("hook-kill", options(&receiver.url()))?;
    let people = deployment.many_users("person", PEOPLE)?;
    let mut clients = Vec::new();
    for person in &people {
        clients.push(deployment.login(0, person).await?);
    }
    for round in 0..ROUNDS {
        for (n, client) in clients.iter_mut().enumerate() {
            let to = people[(n + 1) % PEOPLE].id;
            let is_bad = round % 5 == 4;
            let content = if is_bad { "bad".to_owned() } else { format!("{round}") };
            // A command whose worker dies is answered by its successor, or refused and repeated.
            let answer = loop {
                let send = json!({"type": "send_private_message", "recipientId": to, "content": content,
                    "clientMessageId": format!("{round}-{n}")});
                let answer = client.request(send).await?;
                if answer["code"] != "SERVICE_UNAVAILABLE" {
                    break answer;
                }
            };
            let expected = if is_bad { "MESSAGE_REJECTED" } else { "message_sent" };
            ensure!(answer["type"] == expected || answer["code"] == expected, "{content}: {answer}");
        }
        if round % 20 == 10 {
            let worker = &mut deployment.fleet.workers[(round / 20) % 2];
            worker.kill()?;
            worker.restart()?;
        }
    }
    let expected: Vec<String> = (0..ROUNDS).filter(|round| round % 5 != 4).map(|n| format!("seen {n}")).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let to = people[(n + 1) % PEOPLE].id;
        let history = json!({"type": "get_private_messages", "recipientId": to, "limit": 200});
        let page = client.request_ok(history).await?;
        let me = people[n].id.to_string();
        let own = page["messages"].as_array().into_iter().flatten().filter(|message| message["senderId"] == *me);
        let contents: Vec<&str> = own.filter_map(|message| message["content"].as_str()).collect();
        ensure!(contents == expected, "{contents:?}");
    }
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
async fn the_hooks_of_the_page_reject_and_change() -> Result<()> {
    let page = std::fs::read_to_string(repository("docs/integrate.md"))?;
    let section = page.split_once("\n## Before a message is sent\n").context("the section")?.1;
    let section = section.split_once("\n## ").context("the next one")?.0;
    for (language, program, arguments) in
        [("python", "python3", &["-u", "-c"][..]), ("js", "node", &["--input-type=module", "--eval"][..])]
    {
        let code = section.split_once(&format!("```{language}\n")).context("its code")?.1;
        let code = code.split("\n```").next().context("its end")?;
        let port = devstack::ports::free_one()?;
        let url = format!("http://127.0.0.1:{port}/");
        let child = Command::new(program)
            .args(arguments)
            .arg(code)
            .env("PORT", port.to_string())
            .env("BEFORE_SEND_SECRETS", SECRET)
            .stdout(Stdio::null())
            .spawn()?;
        let _child = Ended(child);
        let deployment = Deployment::start("hook-page", options(&url))?;
        let [alice, bob] = deployment.users(["alice", "bob"])?;
        let mut client = deployment.login(0, &alice).await?;
        let send = |content: &str| json!({"type": "send_private_message", "recipientId": bob.id, "content": content, "metadata": {"n": 1}});
        let deadline = Instant::now() + WITHIN;
        while client.request(send("hello")).await?["type"] != "message_sent" {
            ensure!(Instant::now() < deadline, "{language} does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let rejected = client.request(send("darn it")).await?;
        ensure!(rejected["code"] == "MESSAGE_REJECTED", "{language}: {rejected}");
        ensure!(rejected["message"] == "Please be kind.", "{language}: {rejected}");
        let changed = client.request_ok(send("mine is 4111 1111 1111 1111")).await?;
        ensure!(changed["metadata"] == json!({"n": 1, "changed": true}), "{language}: {changed}");
        let history = json!({"type": "get_private_messages", "recipientId": bob.id});
        let messages = client.request_ok(history).await?["messages"].clone();
        ensure!(messages[1]["content"] == "mine is [card number]", "{language}: {messages}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_a_hook_that_does_not_answer() -> Result<()> {
    let port = devstack::ports::free_one()?;
    let url = format!("http://127.0.0.1:{port}/");
    let deployment = Deployment::start("hook-doctor", options(&url).with("BEFORE_SEND_ON_FAILURE", "allow"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    // Each of two workers has to find it out.
    for n in 0..20 {
        let send = json!({"type": "send_private_message", "recipientId": bob.id, "content": format!("{n}")});
        client.request_ok(send).await?;
    }
    let output = crate::operators::chatctl(&deployment, &["doctor"])?;
    let found = String::from_utf8_lossy(&output.stdout);
    ensure!(found.contains("the hook before send does not answer"), "{found}");
    Ok(())
}
