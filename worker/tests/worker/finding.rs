//! Finding users by the beginning of their names, and blocking them.

use serde_json::{Value, json};
use shared::ids::{ConversationId, UserId};
use shared::redis::keys::Channel;

use crate::groups::create;
use crate::harness::Harness;
use crate::plans::{add_users, run};
use crate::sessions::resumed;

const ALL: &[(&str, &str)] = &[("BUILTIN_AUTH", "true")];

async fn found(harness: &Harness, user: UserId, query: &str) -> Vec<String> {
    let answer = harness.expect(user, json!({"type": "find_users", "query": query}), "users_found").await;
    let name = |user: &Value| user["username"].as_str().unwrap().to_owned();
    answer["users"].as_array().unwrap().iter().map(name).collect()
}

async fn show(harness: &Harness, user: UserId, display_name: &str) {
    sqlx::query(
        "INSERT INTO user_profile_info (user_id, display_name, profile_picture) VALUES ($1, $2, 'p')
         ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name",
    )
    .bind(user.0)
    .bind(display_name)
    .execute(&harness.db)
    .await
    .unwrap();
}

#[tokio::test]
async fn users_are_found_by_either_name_in_any_letter_case() {
    let harness = Harness::start_with("find", ALL).await;
    let [me, anna, annabel, zoe] = harness.users(["me", "Anna", "annabel", "zoe"]).await;
    show(&harness, zoe, "ANNE Étoile").await;
    show(&harness, anna, "Anna").await;
    assert_eq!(found(&harness, me, "ann").await, ["Anna", "annabel", "zoe"]);
    assert_eq!(found(&harness, me, "ANNAB").await, ["annabel"]);
    assert_eq!(found(&harness, me, "anne é").await, ["zoe"]);
    assert_eq!(found(&harness, me, "anne e\u{301}").await, ["zoe"], "decomposed");
    assert_eq!(found(&harness, me, "nna").await, [""; 0], "only beginnings");
    assert_eq!(found(&harness, me, "ann%").await, [""; 0], "no patterns");
    assert_eq!(found(&harness, me, "me").await, [""; 0], "not oneself");
    let answer = harness.expect(me, json!({"type": "find_users", "query": "zo", "limit": 1}), "users_found").await;
    let expected =
        json!({"userId": zoe, "username": "zoe", "displayName": "ANNE Étoile", "profileImage": "p", "online": false});
    assert_eq!(answer["users"], json!([expected]));
    resumed(&harness, zoe, 9).await;
    let answer = harness.expect(me, json!({"type": "find_users", "query": "zo"}), "users_found").await;
    assert_eq!(answer["users"][0]["online"], true);

    // Names change, and users disappear.
    show(&harness, zoe, "Zoe").await;
    sqlx::query("UPDATE users_auth SET username = 'Bert' WHERE user_id = $1")
        .bind(anna.0)
        .execute(&harness.db)
        .await
        .unwrap();
    sqlx::query("DELETE FROM users_auth WHERE user_id = $1").bind(annabel.0).execute(&harness.db).await.unwrap();
    assert_eq!(found(&harness, me, "ann").await, ["Bert"], "by the display name");
    assert_eq!(found(&harness, me, "ber").await, ["Bert"]);
}

#[tokio::test]
async fn nobody_blocked_is_found_and_contacts_may_be_all() {
    let harness = Harness::start_with("find_contacts", &[]).await;
    let [me, written, member, followed, stranger, blocked, blocking] =
        harness.users(["me", "u_written", "u_member", "u_followed", "u_stranger", "u_blocked", "u_blocking"]).await;
    harness.send(me, written, "x").await;
    create(&harness, member, &[me]).await;
    harness.follow(me, followed).await;
    for user in [blocked, blocking] {
        harness.follow(user, me).await;
    }
    assert_eq!(found(&harness, me, "u_b").await, ["u_blocked", "u_blocking"]);
    harness.block(me, blocked).await;
    harness.block(blocking, me).await;
    assert_eq!(found(&harness, me, "U_").await, ["u_followed", "u_member", "u_written"]);
    let _ = stranger;

    let harness = Harness::start_with("find_blocked", ALL).await;
    let [me, stranger, blocked, blocking] = harness.users(["me", "u_stranger", "u_blocked", "u_blocking"]).await;
    harness.block(me, blocked).await;
    harness.block(blocking, me).await;
    assert_eq!(found(&harness, me, "u_").await, ["u_stranger"]);
    assert_eq!(found(&harness, stranger, "u_").await, ["u_blocked", "u_blocking"]);

    let harness = Harness::start_with("find_off", &[("USER_SEARCH", "off")]).await;
    let me = harness.user("me").await;
    harness.refused(me, json!({"type": "find_users", "query": "u"}), "PERMISSION_DENIED").await;
}

#[tokio::test]
async fn settings_for_a_conversation_make_nobody_a_contact() {
    let harness = Harness::start("find_settings").await;
    let [me, muted, written] = harness.users(["me", "u_muted", "u_written"]).await;
    harness.send(written, me, "x").await;
    for other in [muted, written] {
        let conversation = ConversationId::direct(me, other);
        let pin = json!({"type": "set_conversation_settings", "conversationId": conversation, "pinned": true});
        assert_eq!(harness.expect(me, pin, "conversation_settings").await["pinned"], true);
    }
    assert_eq!(found(&harness, me, "u").await, ["u_written"]);
    // With many contacts, names are read instead of looked up.
    add_users(&harness, 2_100).await;
    let follows = format!("INSERT INTO user_follows SELECT {me}, n FROM generate_series(1000, 3099) n");
    run(&harness, &[&follows]).await;
    assert_eq!(found(&harness, me, "u_").await, ["u_written"]);
    assert_eq!(found(&harness, me, "u03").await.len(), 20);
    harness.send(me, muted, "x").await;
    assert_eq!(found(&harness, me, "u_").await, ["u_muted", "u_written"]);
}

#[tokio::test]
async fn users_are_blocked_here_only_where_accounts_are_kept() {
    let harness = Harness::start_with("blocks", ALL).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let command = |kind: &str| json!({"type": kind, "userId": bob});
    for _ in 0..2 {
        assert_eq!(harness.expect(alice, command("block_user"), "user_blocked").await["userId"], json!(bob));
    }
    assert_eq!(harness.event(Channel::User(alice), "user_blocked").await["userId"], json!(bob));
    let list = json!({"type": "get_blocked_users"});
    let listed = harness.expect(alice, list.clone(), "blocked_users").await;
    let expected = json!([{"userId": bob, "username": "bob", "displayName": "bob", "profileImage": null}]);
    assert_eq!(listed["users"], expected);
    let send = json!({"type": "send_message", "recipientId": alice, "content": "x"});
    harness.refused(bob, send.clone(), "USER_BLOCKED").await;
    harness.expect(alice, command("unblock_user"), "user_unblocked").await;
    harness.expect(bob, send, "message_sent").await;
    assert_eq!(harness.expect(alice, list.clone(), "blocked_users").await["users"], json!([]));
    assert!(harness.events(Channel::User(bob), "user_blocked").is_empty());
    let nobody = json!({"type": "block_user", "userId": 9999});
    assert_eq!(harness.refused(alice, nobody, "RESOURCE_NOT_FOUND").await["field"], "userId");

    let harness = Harness::start("no_blocks").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    for kind in ["block_user", "unblock_user", "get_blocked_users"] {
        harness.refused(alice, json!({"type": kind, "userId": bob}), "PERMISSION_DENIED").await;
    }
}
