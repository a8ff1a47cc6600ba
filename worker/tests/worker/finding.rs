//! Finding users by the beginning of their names, and blocking them.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::groups::create;
use crate::harness::Fleet;

const ALL: &[(&str, &str)] = &[("BUILTIN_AUTH", "true")];

async fn found(fleet: &Fleet, user: UserId, query: &str) -> Vec<String> {
    let answer = fleet.expect(user, json!({"type": "find_users", "query": query}), "users_found").await;
    let name = |user: &Value| user["username"].as_str().unwrap().to_owned();
    answer["users"].as_array().unwrap().iter().map(name).collect()
}

async fn show(fleet: &Fleet, user: UserId, display_name: &str) {
    sqlx::query(
        "INSERT INTO user_profile_info (user_id, display_name, profile_picture) VALUES ($1, $2, 'p')
         ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name",
    )
    .bind(user.0)
    .bind(display_name)
    .execute(&fleet.db)
    .await
    .unwrap();
}

#[tokio::test]
async fn users_are_found_by_either_name_in_any_letter_case() {
    let fleet = Fleet::start_with("find", ALL).await;
    let [me, anna, annabel, zoe] = fleet.users(["me", "Anna", "annabel", "zoe"]).await;
    show(&fleet, zoe, "ANNE Étoile").await;
    show(&fleet, anna, "Anna").await;
    assert_eq!(found(&fleet, me, "ann").await, ["Anna", "annabel", "zoe"]);
    assert_eq!(found(&fleet, me, "ANNAB").await, ["annabel"]);
    assert_eq!(found(&fleet, me, "anne é").await, ["zoe"]);
    assert_eq!(found(&fleet, me, "nna").await, [""; 0], "only beginnings");
    assert_eq!(found(&fleet, me, "ann%").await, [""; 0], "no patterns");
    assert_eq!(found(&fleet, me, "me").await, [""; 0], "not oneself");
    let answer = fleet.expect(me, json!({"type": "find_users", "query": "zo", "limit": 1}), "users_found").await;
    let expected = json!({"userId": zoe, "username": "zoe", "displayName": "ANNE Étoile", "profileImage": "p"});
    assert_eq!(answer["users"], json!([expected]));

    // Names change, and users go.
    show(&fleet, zoe, "Zoe").await;
    sqlx::query("UPDATE users_auth SET username = 'Bert' WHERE user_id = $1")
        .bind(anna.0)
        .execute(&fleet.db)
        .await
        .unwrap();
    sqlx::query("DELETE FROM users_auth WHERE user_id = $1").bind(annabel.0).execute(&fleet.db).await.unwrap();
    assert_eq!(found(&fleet, me, "ann").await, ["Bert"], "by the display name");
    assert_eq!(found(&fleet, me, "ber").await, ["Bert"]);
}

#[tokio::test]
async fn nobody_blocked_is_found_and_contacts_may_be_all() {
    let fleet = Fleet::start_with("find_contacts", &[]).await;
    let [me, written, member, followed, stranger, blocked, blocking] =
        fleet.users(["me", "u_written", "u_member", "u_followed", "u_stranger", "u_blocked", "u_blocking"]).await;
    fleet.send(me, written, "x").await;
    create(&fleet, member, &[me]).await;
    fleet.follow(me, followed).await;
    for user in [blocked, blocking] {
        fleet.follow(user, me).await;
    }
    assert_eq!(found(&fleet, me, "u_b").await, ["u_blocked", "u_blocking"]);
    fleet.block(me, blocked).await;
    fleet.block(blocking, me).await;
    assert_eq!(found(&fleet, me, "U_").await, ["u_followed", "u_member", "u_written"]);
    let _ = stranger;

    let fleet = Fleet::start_with("find_blocked", ALL).await;
    let [me, stranger, blocked, blocking] = fleet.users(["me", "u_stranger", "u_blocked", "u_blocking"]).await;
    fleet.block(me, blocked).await;
    fleet.block(blocking, me).await;
    assert_eq!(found(&fleet, me, "u_").await, ["u_stranger"]);
    assert_eq!(found(&fleet, stranger, "u_").await, ["u_blocked", "u_blocking"]);

    let fleet = Fleet::start_with("find_off", &[("USER_SEARCH", "off")]).await;
    let me = fleet.user("me").await;
    fleet.refused(me, json!({"type": "find_users", "query": "u"}), "PERMISSION_DENIED").await;
}

#[tokio::test]
async fn users_are_blocked_here_only_where_accounts_are_kept() {
    let fleet = Fleet::start_with("blocks", ALL).await;
    let [alice, bob] = fleet.users(["alice", "bob"]).await;
    let command = |kind: &str| json!({"type": kind, "userId": bob});
    for _ in 0..2 {
        assert_eq!(fleet.expect(alice, command("block_user"), "user_blocked").await["userId"], json!(bob));
    }
    assert_eq!(fleet.event(Channel::User(alice), "user_blocked").await["userId"], json!(bob));
    let list = json!({"type": "get_blocked_users"});
    let listed = fleet.expect(alice, list.clone(), "blocked_users").await;
    let expected = json!([{"userId": bob, "username": "bob", "displayName": "bob", "profileImage": null}]);
    assert_eq!(listed["users"], expected);
    let send = json!({"type": "send_message", "recipientId": alice, "content": "x"});
    fleet.refused(bob, send.clone(), "USER_BLOCKED").await;
    fleet.expect(alice, command("unblock_user"), "user_unblocked").await;
    fleet.expect(bob, send, "message_sent").await;
    assert_eq!(fleet.expect(alice, list.clone(), "blocked_users").await["users"], json!([]));
    assert!(fleet.events(Channel::User(bob), "user_blocked").is_empty());
    let nobody = json!({"type": "block_user", "userId": 9999});
    assert_eq!(fleet.refused(alice, nobody, "RESOURCE_NOT_FOUND").await["field"], "userId");

    let fleet = Fleet::start("no_blocks").await;
    let [alice, bob] = fleet.users(["alice", "bob"]).await;
    for kind in ["block_user", "unblock_user", "get_blocked_users"] {
        fleet.refused(alice, json!({"type": kind, "userId": bob}), "PERMISSION_DENIED").await;
    }
}
