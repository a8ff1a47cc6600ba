//! Before, at and after authentication: the greeting, tokens, renewal, presence, and missed events.

use std::time::Duration;

use anyhow::Result;
use client::token::TokenBuilder;
use client::{Client, event_type};
use serde_json::{Value, json};

use super::Kind::{Bool, Int, List, Map, Str, Time};
use super::{Person, SOON, fleet, has_fields};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_and_is_renewed() -> Result<()> {
    let fleet = fleet()?;
    let [alice, bob] = fleet.users(["alice", "bob"])?;
    let session = &[
        ("user", Map),
        ("userId", Str),
        ("username", Str),
        ("displayName", Str),
        ("sessionId", Str),
        ("queuedEvents", Int),
        ("timestamp", Time),
    ];
    for kind in ["authenticate", "auth", "connect"] {
        let mut client = Client::connect(&fleet.gateway_url(0)).await?;
        has_fields(
            client.greeting(),
            &[("clientId", Str), ("requiresAuth", Bool), ("message", Str), ("timestamp", Time)],
        )?;
        let success = client.request_ok(json!({"type": kind, "token": alice.token})).await?;
        assert_eq!(event_type(&success), "auth_success");
        has_fields(&success, session)?;
        assert!(!success["serverTime"].is_null());
        has_fields(&success["user"], &[("id", Str), ("userId", Str), ("username", Str), ("displayName", Str)])?;
        for field in ["email", "profileImage", "bio"] {
            assert!(success["user"].get(field).is_some(), "{field} is there: {success}");
        }
        let renewed = client.authenticate(&alice.token).await?;
        assert_eq!(renewed["renewed"], true);
        let other = client.request(json!({"type": "authenticate", "token": bob.token})).await?;
        assert_eq!((event_type(&other), &other["code"]), ("error", &json!("VALIDATION_ERROR")));
        let pong = client.request_ok(json!({"type": "test"})).await?;
        assert_eq!(event_type(&pong), "test_response");
        has_fields(&pong, &[("message", Str), ("timestamp", Int)])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_bad_tokens_end_the_connection() -> Result<()> {
    let fleet = fleet()?;
    let secret = &fleet.fleet.secrets().jwt_secret;
    let alice = fleet.user("alice")?;
    let nobody = client::token::mint(secret, 999_999_999, Duration::from_secs(60))?;
    let mut client = Client::connect(&fleet.gateway_url(1)).await?;
    let attempts = [
        (json!({"type": "auth"}), "TOKEN_MISSING"),
        (json!({"type": "auth", "token": "a.b.c"}), "TOKEN_INVALID"),
        (json!({"type": "auth", "token": nobody}), "USER_NOT_FOUND"),
        (json!({"type": "auth", "token": format!("{}x", alice.token)}), "TOKEN_INVALID"),
        (json!({"type": "auth", "token": "x"}), "TOKEN_INVALID"),
    ];
    for (command, code) in attempts {
        let answer = client.request(command).await?;
        assert_eq!((event_type(&answer), &answer["code"]), ("auth_error", &json!(code)));
        has_fields(&answer, &[("message", Str), ("details", Str), ("timestamp", Time)])?;
    }
    assert_eq!(client.wait_closed(SOON).await?.code, Some(1008));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_and_revoked_tokens_are_told_apart() -> Result<()> {
    let fleet = fleet()?;
    let secret = &fleet.fleet.secrets().jwt_secret;
    let alice = fleet.user("alice")?;
    let token = || TokenBuilder::new(alice.id, Duration::from_secs(600));
    let expired = token().expires_in_seconds(-60);
    let two_users = token().claim("userId", json!(alice.id + 1));
    let by_number = token().without("sub").claim("userId", json!(alice.id));
    let revoked = token();
    let jti = revoked.jti().to_owned();
    let revoked = revoked.sign(secret)?;
    fleet.sql(&format!("INSERT INTO jwt_revocation (jti, user_id) VALUES ('{jti}', {})", alice.id))?;
    let mut client = Client::connect(&fleet.gateway_url(1)).await?;
    for (token, code) in [
        (expired.sign(secret)?, "TOKEN_EXPIRED"),
        (revoked, "TOKEN_REVOKED"),
        (two_users.sign(secret)?, "TOKEN_INVALID"),
        (token().without("jti").sign(secret)?, "TOKEN_INVALID"),
    ] {
        let answer = client.request(json!({"type": "authenticate", "token": token})).await?;
        assert_eq!((event_type(&answer), &answer["code"]), ("auth_error", &json!(code)));
    }
    client.authenticate(&by_number.sign(secret)?).await?;
    Ok(())
}

/// Sessions end on any gateway, even if the notification is lost; the session of another token stays.
#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_token_ends_its_sessions() -> Result<()> {
    let fleet = fleet()?;
    let secret = &fleet.fleet.secrets().jwt_secret;
    let alice = fleet.user("alice")?;
    let mut staying = fleet.login(0, &alice).await?;
    for lost_notification in [false, true] {
        let token = TokenBuilder::new(alice.id, Duration::from_secs(600));
        let jti = token.jti().to_owned();
        let token = token.sign(secret)?;
        let mut renewed = Client::login(&fleet.gateway_url(0), &token).await?;
        renewed.authenticate(&alice.token).await?;
        let mut ending =
            [Client::login(&fleet.gateway_url(0), &token).await?, Client::login(&fleet.gateway_url(1), &token).await?];
        // A replica's session fires no triggers.
        let role = if lost_notification { "SET session_replication_role = replica;" } else { "" };
        let began = std::time::Instant::now();
        fleet.sql(&format!("{role} INSERT INTO jwt_revocation (jti) VALUES ('{jti}')"))?;
        for client in &mut ending {
            let error = client.expect("auth_error", |_| true, SOON).await?;
            assert_eq!(error["code"], "TOKEN_REVOKED");
            assert_eq!(client.wait_closed(SOON).await?.code, Some(1008));
        }
        println!("notified: {}, closed after {:?}", !lost_notification, began.elapsed());
        for client in [&mut staying, &mut renewed] {
            assert_eq!(event_type(&client.request_ok(json!({"type": "get_user_groups"})).await?), "user_groups");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_the_session_unless_it_was_renewed() -> Result<()> {
    let fleet = fleet()?;
    let alice = fleet.user("alice")?;
    let secret = &fleet.fleet.secrets().jwt_secret;
    let short = TokenBuilder::new(alice.id, Duration::from_secs(2)).sign(secret)?;
    let mut ending = Client::login(&fleet.gateway_url(0), &short).await?;
    let mut renewed = Client::login(&fleet.gateway_url(1), &short).await?;
    renewed.authenticate(&alice.token).await?;
    // 2 s, 5 s of leeway, and up to 10 s until it is noticed.
    assert_eq!(ending.wait_closed(Duration::from_secs(20)).await?.code, Some(1008));
    assert_eq!(event_type(&renewed.request_ok(json!({"type": "get_user_groups"})).await?), "user_groups");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_works_before_authentication() -> Result<()> {
    let mut client = Client::connect(&fleet()?.gateway_url(0)).await?;
    for kind in [
        "start_conversation",
        "send_private_message",
        "send_message",
        "get_private_messages",
        "get_messages",
        "mark_message_read",
        "edit_message",
        "edit_private_message",
        "update_message",
        "delete_message",
        "delete_private_message",
        "add_reaction",
        "remove_reaction",
        "typing",
        "delete_conversation",
        "pin_message",
        "unpin_message",
        "get_pinned_messages",
        "get_conversations",
        "create_group",
        "send_group_message",
        "get_group_messages",
        "get_user_groups",
        "get_group_members",
        "get_group_info",
        "add_group_member",
        "remove_group_member",
        "leave_group",
        "promote_member",
        "demote_member",
        "transfer_ownership",
        "update_group_info",
        "update_group",
        "edit_group_message",
        "delete_group_message",
        "add_group_reaction",
        "remove_group_reaction",
        "send_announcement",
        "delete_group",
        "get_communities",
        "get_community_members",
        "get_community_progress",
        "get_online_users",
        "sync",
        "ack",
    ] {
        let answer = client.request(json!({"type": kind})).await?;
        let expected = ("error", &json!("AUTH_REQUIRED"), &json!(true));
        assert_eq!((event_type(&answer), &answer["code"], &answer["requiresAuth"]), expected, "{kind}");
        assert_eq!(answer["requestType"], kind);
    }
    let pong = client.request_ok(json!({"type": "ping"})).await?;
    has_fields(&pong, &[("timestamp", Int)])?;
    assert_eq!(event_type(&client.request_ok(json!({"type": "test"})).await?), "test_response");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_listed_and_pushed() -> Result<()> {
    let mut alice = Person::connect("alice", 0).await?;
    let bob = Person::connect("bob", 1).await?;
    let event = alice.client.expect("user_online", |e| e["user"]["userId"] == bob.id(), SOON).await?;
    has_fields(&event, &[("user", Map), ("timestamp", Time)])?;
    has_fields(&event["user"], &[("id", Str), ("userId", Str), ("username", Str), ("displayName", Str)])?;
    let online =
        alice.ask(json!({"type": "get_online_users"}), "online_users", &[("users", List), ("count", Int)]).await?;
    let users = online["users"].as_array().cloned().unwrap_or_default();
    assert_eq!(online["count"], users.len());
    assert!(!users.iter().any(|user| user["userId"] == alice.id()), "not oneself");
    let entry = users.iter().find(|user| user["userId"] == bob.id()).cloned().unwrap_or_default();
    has_fields(&entry, &[("userId", Str), ("id", Str), ("username", Str), ("displayName", Str)])?;
    for field in ["profileImage", "lastSeen"] {
        assert!(entry.get(field).is_some(), "{field} is there: {entry}");
    }
    Ok(())
}

/// What bob missed arrives once, with an id for each event.
#[tokio::test(flavor = "multi_thread")]
async fn durable_events_wait_for_users_who_are_offline() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": "before"});
    let sent = alice.ask(send, "message_sent", &[]).await?;
    let (id, conversation) = (sent["messageId"].clone(), sent["conversationId"].clone());
    bob.sees("new_message", ("messageId", &id), &[]).await?;
    bob.client.close().await;

    let edit = json!({"type": "edit_message", "messageId": id, "content": "after"});
    alice.ask(edit, "message_edited", &[]).await?;
    let pin = json!({"type": "pin_message", "messageId": id, "conversationId": conversation});
    alice.ask(pin, "message_pinned", &[]).await?;
    let group = json!({"type": "create_group", "groupName": "g"});
    let group = alice.ask(group, "group_created", &[]).await?["groupId"].clone();
    let add = json!({"type": "add_group_member", "groupId": group, "userId": bob.user.id});
    alice.ask(add, "member_added", &[]).await?;
    let say = json!({"type": "send_group_message", "groupId": group, "content": format!("@{}", bob.user.name)});
    let said = alice.ask(say, "group_message_sent", &[]).await?;
    // An edited message is shown as it is now, and a deleted one not at all.
    let mut ids = Vec::new();
    for content in ["changed", "deleted"] {
        let send = json!({"type": "send_message", "recipientId": bob.user.id, "content": content});
        ids.push(alice.ask(send, "message_sent", &[]).await?["messageId"].clone());
    }
    let edit = json!({"type": "edit_message", "messageId": ids[0], "content": "the present"});
    alice.ask(edit, "message_edited", &[]).await?;
    alice.ask(json!({"type": "delete_message", "messageId": ids[1]}), "message_deleted", &[]).await?;

    let mut bob = bob.device(0).await?;
    let expected = bob.client.session()["queuedEvents"].as_u64().unwrap_or_default();
    let mut replayed = Vec::new();
    for _ in 0..expected {
        replayed.push(bob.client.next_event(SOON).await?);
    }
    let found = |kind: &str, field: &str, value: &Value| -> Vec<Value> {
        let matches = |event: &&Value| event_type(event) == kind && event[field] == *value;
        replayed.iter().filter(matches).cloned().collect()
    };
    for (kind, field, value) in [
        ("message_edited", "messageId", &id),
        ("message_pinned", "messageId", &id),
        ("group_created", "groupId", &group),
        ("member_added", "groupId", &group),
        ("mentioned_in_group", "messageId", &said["messageId"]),
    ] {
        let found = found(kind, field, value);
        assert_eq!(found.len(), 1, "{kind}: {replayed:?}");
        has_fields(&found[0], &[("eventId", Str)])?;
        assert_eq!(found[0].get("requestId"), None);
    }
    assert_eq!(found("new_group_message", "messageId", &said["messageId"]).len(), 1);
    let changed = found("new_message", "messageId", &ids[0]);
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0]["content"], "the present");
    assert!(found("new_message", "messageId", &ids[1]).is_empty());

    // Delivered events do not come again, but the receipt may take a while.
    bob.client.close().await;
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let mut again = bob.device(1).await?;
        if again.client.session()["queuedEvents"] == 0 {
            return Ok(());
        }
        assert!(tokio::time::Instant::now() < deadline, "replayed again: {:?}", again.unread().await?);
        again.client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_group_waits_for_removed_members() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.user.id]});
    let group = alice.ask(create, "group_created", &[]).await?["groupId"].clone();
    bob.sees("group_created", ("groupId", &group), &[]).await?;
    bob.client.close().await;
    let send = json!({"type": "send_group_message", "groupId": group, "content": "@everyone missed"});
    alice.ask(send.clone(), "group_message_sent", &[]).await?;
    let remove = json!({"type": "remove_group_member", "groupId": group, "userId": bob.user.id});
    alice.ask(remove, "member_removed", &[]).await?;
    alice.ask(send, "group_message_sent", &[]).await?;
    let mut bob = bob.device(0).await?;
    bob.sees_durable("member_removed", ("groupId", &group), &[]).await?;
    let heard = bob.unread().await?;
    let of_group = |event: &&Value| matches!(event_type(event), "new_group_message" | "mentioned_in_group");
    assert_eq!(heard.iter().filter(of_group).count(), 0, "{heard:?}");
    Ok(())
}
