//! The main backend's tables as its own definitions make them, and changed while workers run.

use devstack::original;
use serde_json::{Value, json};
use shared::ids::{ConnectionId, TokenId, UserId};
use shared::stream::{Internal, InternalReply};
use uuid::Uuid;

use crate::harness::Harness;

/// The first answer of a session.
pub async fn sign_in(harness: &Harness, user: UserId) -> Value {
    let authenticate = Internal::Authenticate { token_id: TokenId("good".to_owned()) };
    let reply = harness.internal(user, authenticate).await;
    assert!(matches!(reply, InternalReply::Authenticated { .. }), "{reply:?}");
    let resume = Internal::Resume {
        token_id: TokenId("good".to_owned()),
        session: Uuid::new_v4(),
        connection: ConnectionId(1),
        wants_acks: false,
        renewal: false,
    };
    match harness.internal(user, resume).await {
        InternalReply::Resumed { auth_success, .. } => serde_json::from_slice(&auth_success).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Uses everything that reads the main backend's tables once.
async fn use_all(harness: &Harness, [ann, bob]: [UserId; 2], name: &str) {
    let session = sign_in(harness, ann).await;
    assert_eq!(session["user"]["displayName"], name);
    harness.send(ann, bob, "hello").await;
    let started =
        harness.expect(bob, json!({"type": "start_conversation", "recipientId": ann}), "conversation_started").await;
    assert_eq!(started["recipient"]["displayName"], name);
    let listed = harness.expect(bob, json!({"type": "get_conversations"}), "conversations").await;
    assert_eq!(listed["conversations"][0]["participant"]["displayName"], name);
    let page = harness.expect(bob, json!({"type": "get_messages", "recipientId": ann}), "private_messages").await;
    let message = page["messages"][0]["messageId"].clone();
    assert_eq!(page["messages"][0]["senderUsername"], "ann");
    harness.expect(bob, json!({"type": "add_reaction", "messageId": message, "reaction": "x"}), "reaction_added").await;
    harness.expect(bob, json!({"type": "remove_reaction", "messageId": message}), "reaction_removed").await;
    let made = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let group = harness.expect(ann, made, "group_created").await["groupId"].clone();
    let members = harness.expect(bob, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    assert!(members["members"].as_array().unwrap().iter().any(|member| member["displayName"] == name), "{members}");
    harness.expect(ann, json!({"type": "get_online_users"}), "online_users").await;
}

#[tokio::test]
async fn real_tables_serve_and_may_change_while_workers_run() {
    // Types without time zones and of 32 bits, a first and a last name, the key `user_id_serial`.
    let harness = Harness::on_tables("main_backend", &[], original::MAIN_BACKEND).await;
    harness.add_worker().await;
    let users = harness.users(["ann", "bob"]).await;
    let ann = users[0].0;
    let sql = async |statement: &str| {
        sqlx::raw_sql(statement).execute(&harness.db).await.unwrap();
    };
    sql(&format!("INSERT INTO user_profile_info (user_id_serial, first_name, last_name) VALUES ({ann}, 'Ann', 'Lee')"))
        .await;
    use_all(&harness, users, "Ann Lee").await;

    // Wider numbers, texts and times, under statements that are already prepared.
    sql("ALTER TABLE users_auth ALTER user_id TYPE BIGINT, ALTER username TYPE TEXT, ALTER email TYPE TEXT").await;
    sql("ALTER TABLE user_profile_info ALTER first_name TYPE TEXT, ALTER last_name TYPE TEXT").await;
    sql("ALTER TABLE jwt_revocation ALTER revoked_at TYPE TIMESTAMPTZ, ALTER jti TYPE VARCHAR(300)").await;
    sql("ALTER TABLE blocked_relationships ALTER blocker_id TYPE INTEGER, ALTER blocked_id TYPE INTEGER").await;
    sql("ALTER TABLE user_follows ALTER follower_id TYPE INTEGER, ALTER followee_id TYPE INTEGER").await;
    use_all(&harness, users, "Ann Lee").await;

    // Another key, a display name, and back to narrow numbers.
    sql("ALTER TABLE user_profile_info RENAME user_id_serial TO user_id").await;
    sql("ALTER TABLE user_profile_info ADD display_name VARCHAR(80), ADD profile_picture VARCHAR").await;
    sql("UPDATE user_profile_info SET display_name = 'Annie', profile_picture = 'https://p/ann'").await;
    sql("ALTER TABLE user_profile_info ALTER user_id TYPE INTEGER").await;
    sql("ALTER TABLE users_auth ALTER user_id TYPE INTEGER, ALTER username TYPE VARCHAR(50)").await;
    use_all(&harness, users, "Annie").await;
    assert_eq!(sign_in(&harness, users[0]).await["user"]["profileImage"], "https://p/ann");

    // A block and a revocation count, whatever their types.
    sql(&format!("INSERT INTO blocked_relationships VALUES ({}, {ann})", users[1].0)).await;
    harness
        .refused(users[0], json!({"type": "send_message", "recipientId": users[1], "content": "x"}), "USER_BLOCKED")
        .await;
    sql("INSERT INTO jwt_revocation (jti) VALUES ('bad')").await;
    let refused = harness.internal(users[0], Internal::Authenticate { token_id: TokenId("bad".to_owned()) }).await;
    assert!(matches!(refused, InternalReply::Refused { .. }), "{refused:?}");
}

#[tokio::test]
async fn revocations_without_a_time_zone_are_noticed_by_looking() {
    let harness = Harness::on_tables("no_zone", &[], original::MAIN_BACKEND).await;
    // The main backend's clock is eight hours behind UTC, and there is no notification.
    sqlx::raw_sql(
        "DROP TRIGGER chat_revocation ON jwt_revocation;
         INSERT INTO jwt_revocation VALUES ('early', now() - interval '3 days')",
    )
    .execute(&harness.db)
    .await
    .unwrap();
    harness.add_worker().await;
    harness.until("SELECT count(*) > 0 FROM workers").await;
    sqlx::raw_sql("INSERT INTO jwt_revocation VALUES ('late', now() - interval '8 hours')")
        .execute(&harness.db)
        .await
        .unwrap();
    let token = shared::auth::TokenHash::of(&TokenId("late".to_owned()));
    harness
        .wait_for("the revocation", |published| {
            matches!(published.header, shared::publication::Header::Revoked { token: found } if found == token)
        })
        .await;
}
