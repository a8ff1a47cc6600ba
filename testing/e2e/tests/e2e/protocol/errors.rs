//! Errors that need limits or faults, on a small deployment of their own, and errors about a whole message.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use client::{Client, Connect, Error, event_type};
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};

use super::{BREAK_GROUP_MEMBERS, MEND_GROUP_MEMBERS, Person, SOON, fleet};

/// On Linux all of 127.0.0.0/8 is this machine.
fn from(url: &str, last: u8) -> Connect {
    Connect::new(url).source(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

async fn login(deployment: &Deployment, user: &User, last: u8) -> Result<Client> {
    let mut client = from(&deployment.gateway_url(0), last).open().await?;
    client.authenticate(&user.token).await?;
    Ok(client)
}

async fn code(client: &mut Client, command: Value) -> Result<Value> {
    let answer = client.request(command).await?;
    ensure!(event_type(&answer) == "error", "an error is expected: {answer}");
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_get_their_codes_and_close_nothing() -> Result<()> {
    let alice = Person::connect("alice", 0).await?;
    let stranger = Client::connect(&fleet()?.gateway_url(1)).await?;
    for mut client in [alice.client, stranger] {
        for (text, code) in [
            ("{", "INVALID_JSON"),
            ("", "INVALID_JSON"),
            ("[]", "VALIDATION_ERROR"),
            ("5", "VALIDATION_ERROR"),
            ("null", "VALIDATION_ERROR"),
            ("{}", "VALIDATION_ERROR"),
            (r#"{"type":null}"#, "VALIDATION_ERROR"),
            (r#"{"type":5}"#, "VALIDATION_ERROR"),
            (r#"{"type":"Ping"}"#, "UNKNOWN_TYPE"),
        ] {
            client.send_text(text).await?;
            let error = client.expect("error", |_| true, SOON).await?;
            assert_eq!(error["code"], code, "{text}: {error}");
        }
        let unknown = code_of_unknown(&mut client).await?;
        assert!(unknown["details"].as_str().is_some_and(|details| details.contains("send_private_message")));
        client.send_binary(*b"{}").await?;
        assert_eq!(client.expect("error", |_| true, SOON).await?["code"], "VALIDATION_ERROR");
        assert_eq!(event_type(&client.request_ok(json!({"type": "ping"})).await?), "pong");
    }
    Ok(())
}

async fn code_of_unknown(client: &mut Client) -> Result<Value> {
    let error = code(client, json!({"type": "no_such_command"})).await?;
    ensure!(error["code"] == "UNKNOWN_TYPE", "{error}");
    Ok(error)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_for_one_kind_of_message_do_not_serve_the_other() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": "x"});
    let direct = alice.ask(send, "message_sent", &[]).await?["messageId"].clone();
    let group = alice.ask(json!({"type": "create_group", "groupName": "g"}), "group_created", &[]).await?;
    let send = json!({"type": "send_group_message", "groupId": group["groupId"], "content": "x"});
    let of_group = alice.ask(send, "group_message_sent", &[]).await?["messageId"].clone();
    for (command, id) in [
        ("edit_message", &of_group),
        ("delete_message", &of_group),
        ("add_reaction", &of_group),
        ("remove_reaction", &of_group),
        ("edit_group_message", &direct),
        ("delete_group_message", &direct),
        ("add_group_reaction", &direct),
        ("remove_group_reaction", &direct),
    ] {
        let command = json!({"type": command, "messageId": id, "content": "y", "reaction": "y"});
        alice.refused(command.clone(), "VALIDATION_ERROR").await?;
        if *id == of_group {
            bob.refused(command, "RESOURCE_NOT_FOUND").await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_reject_and_say_why() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..Options::default() }
        .with("MESSAGE_RATE_LIMIT", "5")
        .with("MAX_CONNECTIONS_PER_IP", "3")
        .with("MAX_CONNECTIONS_PER_USER", "2")
        .with("EDIT_WINDOW", "1s")
        .with("AUTH_TIMEOUT", "2s")
        .with("COMMAND_TIMEOUT", "3s")
        .with("REPLAY_LIMIT", "3")
        .with("FOLLOW_POLICY", "enforce");
    let mut small = Deployment::start("limits", options)?;
    let [alice, bob] = small.users(["alice", "bob"])?;
    let mut client = login(&small, &alice, 2).await?;

    // Users who are not followed cannot be written to.
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "x"});
    for command in [send.clone(), json!({"type": "start_conversation", "recipientId": bob.id})] {
        assert_eq!(code(&mut client, command).await?["code"], "NOT_FOLLOWING");
    }
    small.sql(&format!("INSERT INTO user_follows (follower_id, followee_id) VALUES ({}, {})", alice.id, bob.id))?;
    let sent = client.request_ok(send.clone()).await?;
    assert_eq!(sent.get("warning"), None);

    // Editing is rejected after the window.
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let answer =
            client.request(json!({"type": "edit_message", "messageId": sent["messageId"], "content": "y"})).await?;
        if answer["code"] == "EDIT_WINDOW_EXPIRED" {
            break;
        }
        ensure!(event_type(&answer) == "message_edited" && tokio::time::Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Five messages a minute.
    let mut refused = Value::Null;
    let mut last = 1;
    for _ in 0..6 {
        refused = client.request(send.clone()).await?;
        if event_type(&refused) == "error" {
            break;
        }
        last = refused["seq"].as_i64().unwrap_or_default();
    }
    assert!(last > 3, "{last}");
    assert_eq!(refused["code"], "RATE_LIMIT_EXCEEDED");
    assert!(refused["retryAfter"].as_u64().is_some_and(|seconds| (1..=60).contains(&seconds)), "{refused}");
    client.request_ok(json!({"type": "get_user_groups"})).await?;

    too_many_connections(&small, &alice).await?;

    // Of the missed messages, only the newest three are replayed.
    let mut large = login(&small, &bob, 5).await?;
    assert_eq!((&large.session()["queuedEvents"], &large.session()["replayTruncated"]), (&json!(3), &json!(true)));
    for seq in last - 2..=last {
        assert_eq!(large.expect("new_message", |_| true, SOON).await?["seq"], seq);
    }

    // Over a mebibyte.
    large.send_text(format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(1_048_000))).await?;
    large.expect("pong", |_| true, SOON).await?;
    // The server may hang up before all of it is written.
    let _ = large.send_text("x".repeat(1_048_577)).await;
    assert_eq!(large.wait_closed(SOON).await?.code, Some(1009));

    faults_of_ours(&mut small, &mut client).await
}

/// A fault names the line in the log; without a worker, the error says when to try again.
async fn faults_of_ours(small: &mut Deployment, client: &mut Client) -> Result<()> {
    small.sql(BREAK_GROUP_MEMBERS)?;
    let error = code(client, json!({"type": "get_user_groups"})).await?;
    assert_eq!(error["code"], "INTERNAL_ERROR");
    assert!(error["errorId"].is_string(), "{error}");
    small.sql(MEND_GROUP_MEMBERS)?;
    small.fleet.workers[0].pause()?;
    let error = code(client, json!({"type": "get_user_groups"})).await?;
    assert_eq!(error["code"], "SERVICE_UNAVAILABLE");
    assert!(error["retryAfter"].is_u64(), "{error}");
    small.fleet.workers[0].resume()?;
    Ok(())
}

/// Two connections of a user, and three of an address.
async fn too_many_connections(small: &Deployment, alice: &User) -> Result<()> {
    let _second = login(small, alice, 3).await?;
    match login(small, alice, 4).await {
        Ok(mut third) => {
            let error = third.expect("error", |_| true, SOON).await?;
            assert_eq!(error["code"], "MAX_CONNECTIONS_EXCEEDED");
        }
        Err(error) => {
            let code = error.downcast_ref::<Error>().and_then(Error::code);
            assert_eq!(code, Some("MAX_CONNECTIONS_EXCEEDED"), "{error:#}");
        }
    }
    let url = small.gateway_url(0);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(from(&url, 9).open().await?);
    }
    match from(&url, 9).open().await {
        Err(Error::Refused { event, close }) => {
            assert_eq!((&event["code"], close.code), (&json!("MAX_CONNECTIONS_EXCEEDED"), Some(1008)));
        }
        other => bail!("the fourth connection is to be refused: {other:?}"),
    }
    // And nobody stays connected without authenticating.
    let mut silent = open.remove(0);
    assert_eq!(silent.wait_closed(SOON).await?.code, Some(1008));
    Ok(())
}
