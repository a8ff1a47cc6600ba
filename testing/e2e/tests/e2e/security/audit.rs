//! The audit log, and exporting and erasing a user's data while others continue.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use devstack::wait::SOON;
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};

fn chatctl(deployment: &Deployment, words: &[&str]) -> Result<Output> {
    let secrets = deployment.fleet.secrets();
    Ok(Command::new(devstack::testing::bin_dir()?.join("chatctl"))
        .args(words)
        .env("DATABASE_URL", deployment.postgres.url("chat"))
        .env("CHAT_ENCRYPTION_KEY", &secrets.encryption_key)
        .env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt)
        .output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn moderation_is_put_down() -> Result<()> {
    let deployment = Deployment::start("audit", Options { workers: 1, gateways: 1, ..Options::default() })?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let (mut a, mut b) = (deployment.login(0, &alice).await?, deployment.login(0, &bob).await?);

    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id, carol.id]});
    let group = a.request_ok(create).await?["groupId"].clone();
    b.expect("group_created", |_| true, SOON).await?;
    let say = json!({"type": "send_group_message", "groupId": group, "content": "by bob"});
    let said = b.request_ok(say).await?;
    for (command, user) in [("promote_member", bob.id), ("demote_member", bob.id), ("remove_group_member", carol.id)] {
        a.request_ok(json!({"type": command, "groupId": group, "userId": user})).await?;
    }
    a.request_ok(json!({"type": "delete_group_message", "messageId": said["messageId"]})).await?;
    let own = b.request_ok(json!({"type": "send_group_message", "groupId": group, "content": "again"})).await?;
    b.request_ok(json!({"type": "delete_group_message", "messageId": own["messageId"]})).await?;
    a.request_ok(json!({"type": "transfer_ownership", "groupId": group, "userId": bob.id})).await?;
    let logged =
        deployment.sql("SELECT actor || ' ' || action || ' ' || target_user_id FROM audit_log ORDER BY audit_id")?;
    let by_alice = |action: &str, target: i64| format!("user:{} {action} {target}", alice.id);
    let expected = [
        by_alice("promote_member", bob.id),
        by_alice("demote_member", bob.id),
        by_alice("remove_group_member", carol.id),
        by_alice("delete_group_message", bob.id),
        by_alice("transfer_ownership", bob.id),
    ];
    assert_eq!(logged.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

/// The one who leaves for good has written in a direct conversation and in a group of which he is the owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_exported_and_erased() -> Result<()> {
    let deployment = Deployment::start("erased", Options { workers: 1, gateways: 1, ..Options::default() })?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let (mut a, mut b) = (deployment.login(0, &alice).await?, deployment.login(0, &bob).await?);
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id]});
    let group = a.request_ok(create).await?["groupId"].clone();
    b.expect("group_created", |_| true, SOON).await?;
    let kept = a.request_ok(json!({"type": "send_group_message", "groupId": group, "content": "alice's"})).await?;
    a.request_ok(json!({"type": "transfer_ownership", "groupId": group, "userId": bob.id})).await?;

    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "from alice"});
    let sent = a.request_ok(send).await?;
    let reply = json!({"type": "send_message", "recipientId": alice.id, "content": "bob's words"});
    let replied = b.request_ok(reply).await?;
    let edit = json!({"type": "edit_message", "messageId": replied["messageId"], "content": "bob's own words"});
    b.request_ok(edit).await?;
    b.request_ok(json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "x"})).await?;
    let created = b.request_ok(json!({"type": "create_group", "groupName": "bob's"})).await?["groupId"].clone();
    let answer = json!({"type": "send_group_message", "groupId": group, "content": format!("@{} and @everyone", alice.name),
        "replyToMessageId": kept["messageId"], "clientMessageId": "by-bob"});
    let answer = b.request_ok(answer).await?;
    b.request_ok(json!({"type": "pin_message", "messageId": answer["messageId"], "conversationId": group})).await?;
    b.close().await;
    a.request_ok(json!({"type": "add_reaction", "messageId": replied["messageId"], "reaction": "waits"})).await?;

    let id = bob.id.to_string();
    let exported = chatctl(&deployment, &["user", "export", &id])?;
    ensure!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let export: Value = serde_json::from_slice(&exported.stdout)?;
    check_export(&export, [&alice, &bob], [&kept, &answer], &created);
    assert!(!exported.stdout.windows(13).any(|window| window == b"password_hash"));

    assert!(!chatctl(&deployment, &["user", "erase", &id])?.status.success(), "not without --yes");
    for _ in 0..2 {
        let erased = chatctl(&deployment, &["user", "erase", &id, "--account", "--yes"])?;
        ensure!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    }
    // The other user's history has no gap, immediately, even though a page was cached.
    let page = a.request_ok(json!({"type": "get_private_messages", "recipientId": bob.id})).await?;
    let messages = page["messages"].as_array().cloned().unwrap_or_default();
    let shown: Vec<_> =
        messages.iter().map(|m| (m["seq"].as_i64(), m["content"].as_str().unwrap_or_default())).collect();
    assert_eq!(shown, [(Some(1), "from alice"), (Some(2), "[message of a deleted account]")]);
    assert!(!page.to_string().contains(&bob.name), "{page}");
    let members = a.request_ok(json!({"type": "get_group_members", "groupId": group})).await?;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(members["members"][0]["role"], "owner");
    let export: Value = serde_json::from_slice(&chatctl(&deployment, &["user", "export", &id])?.stdout)?;
    for section in ["groups", "reactions", "conversations", "profile", "hidden"] {
        assert_eq!(export[section], json!([]), "{section}");
    }
    // The main backend may have deleted the account while some of its data is left here.
    deployment.sql(&format!("DELETE FROM users_auth WHERE user_id = {id}"))?;
    let export: Value = serde_json::from_slice(&chatctl(&deployment, &["user", "export", &id])?.stdout)?;
    assert_eq!((&export["account"], contents(&export).len()), (&json!([]), 3));
    let states = deployment.sql(&format!(
        "SELECT action || ' ' || coalesce(details ->> 'state', '') FROM audit_log
         WHERE actor LIKE 'operator:%' AND target_user_id = {id} ORDER BY audit_id"
    ))?;
    let erased = ["user erase started", "user erase finished"];
    let expected: Vec<&str> = [&["user export "][..], &erased, &erased, &["user export "; 2]].concat();
    assert_eq!(
        states.lines().map(str::trim_end).collect::<Vec<_>>(),
        expected.iter().map(|s| s.trim_end()).collect::<Vec<_>>()
    );
    Ok(())
}

/// What an export has of bob before he is erased: his answer to a kept message in alice's group, and the group that he created.
fn check_export(export: &Value, [alice, bob]: [&User; 2], [kept, answer]: [&Value; 2], created: &Value) {
    assert_eq!(export["account"][0]["username"], bob.name);
    assert_eq!(export["groups"][0]["role"], "owner");
    assert_eq!(export["reactions"][0]["reaction"], "x");
    assert_eq!(contents(export), ["from alice", "bob's own words", &*format!("@{} and @everyone", alice.name)]);
    let own = &export["messages"][2];
    assert_eq!((&own["replyToMessageId"], &own["clientMessageId"]), (&kept["messageId"], &json!("by-bob")));
    let mentions = json!([{"type": "user", "userId": alice.id.to_string()}, {"type": "everyone"}]);
    assert_eq!(own["mentions"], mentions);
    assert_eq!(export["pins"][0]["message_id"], answer["messageId"].as_str().unwrap_or_default()["msg_".len()..]);
    assert_eq!(
        (&export["createdGroups"][0]["group_id"], &export["createdGroups"][0]["name"]),
        (created, &json!("bob's"))
    );
    let waiting = export["events"].as_array().cloned().unwrap_or_default();
    let reacted = |event: &Value| (event["type"] == "reaction_added").then(|| event["reaction"].clone());
    let reacted: Vec<_> = waiting.iter().filter_map(|waits| reacted(&waits["event"])).collect();
    assert_eq!(reacted, ["waits"]);
}

fn contents(export: &Value) -> Vec<String> {
    let messages = export["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| message["content"].as_str().unwrap_or_default().to_owned()).collect()
}
