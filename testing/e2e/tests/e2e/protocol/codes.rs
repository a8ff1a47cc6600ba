//! Each error code of the published contract is produced once, on a small fleet of its own: a code that this test
//! cannot produce makes it fail, and so does one that no longer occurs.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use client::{Client, Connect, Error, event_type};
use e2e::{Deployment, Options, Request, User};
use serde_json::{Value, json};

use super::{BREAK_GROUP_MEMBERS, MEND_GROUP_MEMBERS, SOON};

/// The small limits of this test's fleet.
const SETTINGS: [(&str, &str); 10] = [
    ("MESSAGE_RATE_LIMIT", "20"),
    ("MAX_CONNECTIONS_PER_IP", "3"),
    ("IP_RATE_LIMIT", "200"),
    ("EDIT_WINDOW", "1s"),
    ("FOLLOW_POLICY", "enforce"),
    ("COMMAND_TIMEOUT", "5s"),
    ("SINGLE_CONNECTION_PER_USER", "true"),
    ("COMMUNITY_SYNC_MAX_PAYLOAD", "1KiB"),
    ("GROUP_MAX_MEMBERS", "3"),
    ("BUILTIN_AUTH", "true"),
];

struct Stage {
    fleet: Deployment,
    /// Follows bob and carol, not dave.
    alice: User,
    bob: User,
    carol: User,
    dave: User,
    client: Client,
    /// A group of alice and bob.
    group: Value,
}

impl Stage {
    async fn new() -> Result<Stage> {
        let options = Options { gateways: 1, workers: 1, ..Options::default() };
        let options = SETTINGS.into_iter().fold(options, |options, (name, value)| options.with(name, value));
        let fleet = Deployment::start("codes", options)?;
        let [alice, bob, carol, dave] = fleet.users(["alice", "bob", "carol", "dave"])?;
        for followed in [&bob, &carol] {
            fleet.sql(&format!(
                "INSERT INTO user_follows (follower_id, followee_id) VALUES ({}, {})",
                alice.id, followed.id
            ))?;
        }
        let mut client = login(&fleet, &alice, 2).await?;
        let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id]});
        let group = client.request_ok(create).await?["groupId"].clone();
        Ok(Stage { fleet, alice, bob, carol, dave, client, group })
    }

    async fn message(&mut self) -> Result<Value> {
        let send = json!({"type": "send_message", "recipientId": self.bob.id, "content": "x"});
        Ok(self.client.request_ok(send).await?["messageId"].clone())
    }

    /// Returns the code with which alice's command is rejected.
    async fn asks(&mut self, command: Value) -> Result<String> {
        code(&self.client.request(command).await?)
    }

    async fn bob(&self) -> Result<Client> {
        login(&self.fleet, &self.bob, 3).await
    }
}

/// All of 127.0.0.0/8 is this machine; limits count each address separately.
fn from(fleet: &Deployment, last: u8) -> Connect {
    Connect::new(&fleet.gateway_url(0)).source([127, 0, 0, last].into())
}

async fn login(fleet: &Deployment, user: &User, last: u8) -> Result<Client> {
    let mut client = from(fleet, last).open().await?;
    client.authenticate(&user.token).await?;
    Ok(client)
}

fn code(answer: &Value) -> Result<String> {
    ensure!(answer["type"] == "error" || answer["status"] == "error", "an error is expected: {answer}");
    Ok(answer["code"].as_str().context("a code")?.to_owned())
}

async fn http(stage: &Stage, request: Request) -> Result<String> {
    code(&request.send(&stage.fleet.fleet.gateways[0].url()).await?.json())
}

/// Makes the fleet answer with this code; returns the code that it sent.
async fn provoke(wanted: &str, stage: &mut Stage) -> Result<String> {
    let (bob, carol, dave, group) = (stage.bob.id, stage.carol.id, stage.dave.id, stage.group.clone());
    match wanted {
        "AUTH_REQUIRED" => {
            code(&from(&stage.fleet, 4).open().await?.request(json!({"type": "get_user_groups"})).await?)
        }
        "AUTH_FAILED" => {
            http(stage, Request::post("/api/auth/login", &json!({"username": "nobody", "password": "x"}))).await
        }
        "VALIDATION_ERROR" => stage.asks(json!({"type": "send_message", "recipientId": bob, "content": " "})).await,
        "INVALID_JSON" => {
            stage.client.send_text("{").await?;
            code(&stage.client.expect("error", |_| true, SOON).await?)
        }
        "UNKNOWN_TYPE" => stage.asks(json!({"type": "no_such_command"})).await,
        "USER_BLOCKED" => {
            let pair = format!("({bob}, {})", stage.alice.id);
            stage.fleet.sql(&format!("INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES {pair}"))?;
            let said = stage.asks(json!({"type": "send_message", "recipientId": bob, "content": "x"})).await;
            stage.fleet.sql("DELETE FROM blocked_relationships")?;
            said
        }
        "NOT_FOLLOWING" => {
            // The initial members are chosen by the same rule, and followed users may be added.
            let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [dave]});
            let created = stage.client.request_ok(create).await?;
            assert_eq!(created["skippedMembers"], json!([{"userId": dave.to_string(), "reason": "NOT_FOLLOWING"}]));
            let add = |user: i64| json!({"type": "add_group_member", "groupId": created["groupId"], "userId": user});
            let added = stage.client.request_ok(add(carol)).await?;
            assert_eq!(added.get("warning"), None);
            stage.asks(json!({"type": "send_message", "recipientId": dave, "content": "x"})).await?;
            stage.asks(add(dave)).await
        }
        "RATE_LIMIT_EXCEEDED" => {
            let send = json!({"type": "send_message", "recipientId": bob, "content": "x"});
            for _ in 0..20 {
                let answer = stage.client.request(send.clone()).await?;
                if event_type(&answer) == "error" {
                    ensure!(answer["retryAfter"].is_u64(), "{answer}");
                    return code(&answer);
                }
            }
            bail!("20 messages passed")
        }
        "EDIT_WINDOW_EXPIRED" => {
            let edit = json!({"type": "edit_message", "messageId": stage.message().await?, "content": "y"});
            let deadline = tokio::time::Instant::now() + SOON;
            loop {
                let answer = stage.client.request(edit.clone()).await?;
                if event_type(&answer) == "error" || tokio::time::Instant::now() > deadline {
                    return code(&answer);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        "MESSAGE_REJECTED" => {
            let receiver = devstack::Receiver::start()?;
            receiver.behave(|_| devstack::Reply::Json(r#"{"action": "reject"}"#.to_owned()));
            let options = Options { gateways: 1, workers: 1, ..Options::default() }
                .with("BEFORE_SEND_URL", &receiver.url())
                .with("BEFORE_SEND_SECRETS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
                .with("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8");
            let fleet = Deployment::start("codes-hook", options)?;
            let [alice, bob] = fleet.users(["alice", "bob"])?;
            let send = json!({"type": "send_message", "recipientId": bob.id, "content": "x"});
            code(&fleet.login(0, &alice).await?.request(send).await?)
        }
        "PERMISSION_DENIED" => {
            code(&stage.bob().await?.request(json!({"type": "delete_group", "groupId": group})).await?)
        }
        "RESOURCE_NOT_FOUND" => stage.asks(json!({"type": "start_conversation", "recipientId": 999_999_999})).await,
        "GROUP_FULL" => {
            let create = json!({"type": "create_group", "groupName": "g", "maxMembers": 1});
            let full = stage.client.request_ok(create).await?["groupId"].clone();
            stage.asks(json!({"type": "add_group_member", "groupId": full, "userId": bob})).await
        }
        "TOO_MANY_MEMBERS" => {
            let members = json!([bob, carol]);
            stage
                .asks(json!({"type": "create_group", "groupName": "g", "maxMembers": 2, "initialMembers": members}))
                .await
        }
        "OWNER_CANNOT_LEAVE" => stage.asks(json!({"type": "leave_group", "groupId": group})).await,
        "MAX_CONNECTIONS_EXCEEDED" => {
            let mut open = Vec::new();
            for _ in 0..3 {
                open.push(from(&stage.fleet, 5).open().await?);
            }
            match from(&stage.fleet, 5).open().await {
                Err(Error::Refused { event, close }) if close.code == Some(1008) => code(&event),
                other => bail!("the fourth connection is to be refused: {other:?}"),
            }
        }
        "PAYLOAD_TOO_LARGE" => {
            let secret = stage.fleet.fleet.secrets().community_sync_token.clone();
            let large = Request::post("/community/progression", &json!({})).body(vec![b' '; 1025]).bearer(&secret);
            http(stage, large).await
        }
        "SERVICE_UNAVAILABLE" => {
            stage.fleet.fleet.workers[0].pause()?;
            let answer = stage.client.request_within(json!({"type": "get_user_groups"}), 2 * SOON).await;
            stage.fleet.fleet.workers[0].resume()?;
            code(&answer?)
        }
        "INTERNAL_ERROR" => {
            stage.fleet.sql(BREAK_GROUP_MEMBERS)?;
            let answer = stage.client.request(json!({"type": "get_user_groups"})).await;
            stage.fleet.sql(MEND_GROUP_MEMBERS)?;
            code(&answer?)
        }
        "MEMBER_MUTED" | "SLOW_MODE" => {
            let (muted, seconds) = (wanted == "MEMBER_MUTED", 60);
            let limit = match muted {
                true => json!({"type": "mute_member", "groupId": group, "userId": bob, "seconds": seconds}),
                false => json!({"type": "set_slow_mode", "groupId": group, "seconds": seconds}),
            };
            let free = match muted {
                true => json!({"type": "unmute_member", "groupId": group, "userId": bob}),
                false => json!({"type": "set_slow_mode", "groupId": group, "seconds": 0}),
            };
            stage.client.request_ok(limit).await?;
            let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
            let mut bob = stage.bob().await?;
            if !muted {
                bob.request_ok(send.clone()).await?;
            }
            let answer = bob.request(send).await?;
            stage.client.request_ok(free).await?;
            ensure!(answer["retryAfter"].as_u64().is_some_and(|wait| (1..=60).contains(&wait)), "{answer}");
            code(&answer)
        }
        "MEMBER_BANNED" => {
            let about = |kind: &str| json!({"type": kind, "groupId": group, "userId": carol});
            stage.client.request_ok(about("ban_member")).await?;
            let said = stage.asks(about("add_group_member")).await;
            stage.client.request_ok(about("unban_member")).await?;
            said
        }
        other => bail!("no way to produce {other} is known here"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_code_is_produced() -> Result<()> {
    let mut stage = Stage::new().await?;
    let document: Value = serde_json::from_str(include_str!("../../../../../docs/asyncapi.json"))?;
    let codes = document["components"]["schemas"]["ErrorCode"]["oneOf"].as_array().context("the error codes")?;
    ensure!(codes.len() > 10, "{codes:?}");
    // The codes for which the workers are stopped come last.
    let mut codes: Vec<&str> = codes.iter().filter_map(|code| code["const"].as_str()).collect();
    codes.sort_by_key(|code| (*code == "SERVICE_UNAVAILABLE", *code == "RATE_LIMIT_EXCEEDED"));
    let mut wrong = Vec::new();
    for wanted in codes {
        match provoke(wanted, &mut stage).await {
            Ok(said) if said == wanted => {}
            Ok(said) => wrong.push(format!("{wanted}: {said} came")),
            Err(error) => wrong.push(format!("{wanted}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));

    // An address that has used up its requests is refused, on either protocol.
    let url = stage.fleet.fleet.gateways[0].url();
    let mut last = Request::get("/api/conversations").send(&url).await?;
    for _ in 0..200 {
        if last.status == 429 {
            break;
        }
        last = Request::get("/api/conversations").send(&url).await?;
    }
    assert_eq!((last.status, &last.json()["code"]), (429, &json!("RATE_LIMIT_EXCEEDED")));
    ensure!(last.header("retry-after").parse::<u32>().is_ok(), "{last:?}");
    assert_eq!(Request::get("/live").send(&url).await?.status, 200, "probes always answer");
    match from(&stage.fleet, 1).open().await {
        Err(Error::Refused { event, close }) => {
            assert_eq!((&event["code"], close.code), (&json!("RATE_LIMIT_EXCEEDED"), Some(1008)));
            ensure!(event["retryAfter"].is_u64(), "{event}");
        }
        other => bail!("an upgrade is to be refused: {other:?}"),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_connection_replaces_older_ones_on_any_gateway() -> Result<()> {
    let options = Options { workers: 1, ..Options::default() }.with("SINGLE_CONNECTION_PER_USER", "true");
    let fleet = Deployment::start("single", options)?;
    let [alice, bob] = fleet.users(["alice", "bob"])?;
    let mut sender = fleet.login(0, &bob).await?;
    let mut older = fleet.login(0, &alice).await?;
    for gateway in [1, 0] {
        let newer = fleet.login(gateway, &alice).await?;
        older.expect("session_conflict", |_| true, SOON).await?;
        assert_eq!(older.wait_closed(SOON).await?.code, Some(1000));
        older = newer;
    }
    let sent = sender.request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": "x"})).await?;
    let event = older.expect("new_message", |_| true, SOON).await?;
    assert_eq!(event["messageId"], sent["messageId"]);
    assert_eq!(older.close_info(), None);

    // The address of a picture may be a few minutes old: it comes from the worker's cache.
    let ask = json!({"items": [{"type": "user", "id": alice.id}]});
    let ask = Request::post("/api/profile-pictures/batch", &ask).bearer(&bob.token);
    let url = fleet.fleet.gateways[1].url();
    let first = ask.send(&url).await?.json();
    assert_eq!(first["items"][0]["hasPicture"], false);
    fleet.sql(&format!("INSERT INTO user_profile_info (user_id, profile_picture) VALUES ({}, 'new')", alice.id))?;
    assert_eq!(ask.send(&url).await?.json(), first);
    Ok(())
}
