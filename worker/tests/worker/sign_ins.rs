//! Where users are signed in: which tokens are listed, who ends them, and how long they are remembered.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::{ConnectionId, ConnectionRef, TokenId, UserId, new_command_id};
use shared::stream::{Body, Envelope, Internal, SignIn};

use crate::harness::{Harness, Prepared};

const HOUR: Duration = Duration::from_secs(3600);

/// Tells the worker that a user is connected under this token, and waits until it is noted.
async fn connect(harness: &Harness, user: UserId, token_id: &str, address: &str, lives: Duration) {
    let request = Internal::RecordSignIn(SignIn {
        token_id: TokenId(token_id.to_owned()),
        expires_at: Timestamp::now().plus(lives),
        user_agent: Some("a test".to_owned()),
        address: address.to_owned(),
    });
    let now = Timestamp::now();
    let body = Body::Internal(request);
    let reply_to = ConnectionRef { gateway: harness.gateway, connection: ConnectionId(1) };
    let envelope = Envelope::new(new_command_id(now, 0), &body, user, reply_to, now, now.plus(HOUR));
    harness.append(&Prepared { envelope, body, stream: harness.keys.queries() }).await;
    harness
        .until(&format!("SELECT EXISTS (SELECT FROM sign_ins WHERE token_id = '{token_id}' AND address = '{address}')"))
        .await;
}

async fn listed(harness: &Harness, user: UserId) -> Vec<(String, String)> {
    let answer = harness.expect(user, json!({"type": "get_sign_ins"}), "sign_ins").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sign_ins = answer["signIns"].as_array().unwrap().iter();
    sign_ins.map(|sign_in| (text(&sign_in["signInId"]), text(&sign_in["address"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, address)| ((*id).to_owned(), (*address).to_owned())).collect()
}

fn end(id: &str, others: bool) -> Value {
    json!({"type": "end_sign_in", "signInId": id, "others": others})
}

#[tokio::test]
async fn valid_tokens_are_listed_and_ended_by_their_user_alone() {
    let harness = Harness::start_with("sign_ins", &[("BUILTIN_AUTH", "true")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    connect(&harness, alice, "one", "203.0.113.1", HOUR).await;
    connect(&harness, alice, "two", "203.0.113.2", HOUR).await;
    connect(&harness, alice, "three", "203.0.113.3", HOUR).await;
    connect(&harness, alice, "over", "203.0.113.4", Duration::ZERO).await;
    // This process may be ahead of Postgres by as much as its clock is uncertain.
    harness.until("SELECT expires_at <= now() FROM sign_ins WHERE token_id = 'over'").await;
    connect(&harness, bob, "his", "203.0.113.5", HOUR).await;
    // Seen again, from elsewhere.
    connect(&harness, alice, "one", "203.0.113.9", HOUR).await;
    let all = [("one", "203.0.113.9"), ("three", "203.0.113.3"), ("two", "203.0.113.2")];
    assert_eq!(listed(&harness, alice).await, pairs(&all));

    for others in [false, true] {
        let refusal = harness.refused(bob, end("one", others), "RESOURCE_NOT_FOUND").await;
        assert_eq!(refusal["field"], "signInId");
    }
    for _ in 0..2 {
        harness.expect(alice, end("two", false), "sign_in_ended").await;
    }
    assert_eq!(listed(&harness, alice).await, pairs(&all[..2]));
    // Its connection is noted once more when it is closed.
    connect(&harness, alice, "two", "203.0.113.22", HOUR).await;
    assert_eq!(listed(&harness, alice).await, pairs(&all[..2]));
    assert_eq!(harness.expect(alice, end("three", true), "sign_in_ended").await["others"], true);
    assert_eq!(listed(&harness, alice).await, pairs(&all[1..2]));
    assert_eq!(listed(&harness, bob).await, pairs(&[("his", "203.0.113.5")]));
    harness.until("SELECT count(*) = 2 FROM jwt_revocation").await;
}

#[tokio::test]
async fn sign_ins_are_forgotten_when_they_are_over() {
    let harness = Harness::without_worker("old_sign_ins", &[("BUILTIN_AUTH", "true")]).await;
    let insert = "INSERT INTO sign_ins (token_id, user_id, address, last_seen_at, expires_at) VALUES
        ('over', 1, '203.0.113.1', now(), now() - interval '1 s'),
        ('unused', 1, '203.0.113.2', now() - interval '91 days', now() + interval '1 day'),
        ('used', 1, '203.0.113.3', now() - interval '89 days', now() + interval '1 day')";
    sqlx::query(insert).execute(&harness.db).await.unwrap();
    harness.add_worker().await;
    harness.until("SELECT array_agg(token_id) = ARRAY['used'] FROM sign_ins").await;
}

#[tokio::test]
async fn logins_of_the_main_backend_are_not_ours_to_end() {
    let harness = Harness::start("foreign_sign_ins").await;
    let alice = harness.user("alice").await;
    harness.refused(alice, json!({"type": "get_sign_ins"}), "PERMISSION_DENIED").await;
    harness.refused(alice, end("one", false), "PERMISSION_DENIED").await;
}
