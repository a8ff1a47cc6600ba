//! The main backend deletes an account while its user is connected.

use serde_json::json;
use shared::publication::Header;
use shared::redis::keys::Channel;
use sqlx::Executor as _;

use crate::harness::Harness;

#[tokio::test]
async fn a_deleted_account_applies_nothing_and_passes_its_groups_on() {
    let harness = Harness::start("departed").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let sent = harness.send(bob, alice, "x").await;
    let create =
        |members: &[shared::ids::UserId]| json!({"type": "create_group", "groupName": "g", "initialMembers": members});
    let shared = harness.expect(alice, create(&[bob, carol]), "group_created").await["groupId"].clone();
    let lonely = harness.expect(alice, create(&[]), "group_created").await["groupId"].clone();

    harness.db.execute(format!("DELETE FROM users_auth WHERE user_id = {alice}").as_str()).await.unwrap();
    for command in [
        json!({"type": "promote_member", "groupId": shared, "userId": bob}),
        json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "+"}),
        json!({"type": "send_private_message", "recipientId": bob, "content": "x"}),
        json!({"type": "get_conversations"}),
        json!({"type": "get_user_groups"}),
    ] {
        harness.refused(alice, command, "PERMISSION_DENIED").await;
    }
    let ends = |published: &crate::harness::Published| {
        published.channel == Channel::User(alice) && published.header == Header::Departed
    };
    harness.wait_for("the end of the sessions", ends).await;
    harness.until("SELECT NOT EXISTS (SELECT FROM departed_users)").await;

    let info = harness.command(carol, json!({"type": "get_group_info", "groupId": shared})).await;
    let group = if info["group"].is_object() { &info["group"] } else { &info };
    assert_eq!(group["memberCount"], 2, "{info}");
    let members = harness.command(carol, json!({"type": "get_group_members", "groupId": shared})).await;
    let owners = members["members"].as_array().unwrap().iter().filter(|member| member["role"] == "owner").count();
    assert_eq!((members["members"].as_array().unwrap().len(), owners), (2, 1), "{members}");
    let lonely = lonely.as_str().unwrap();
    harness.until(&format!("SELECT deleted_at IS NOT NULL FROM group_chats WHERE group_id = '{lonely}'")).await;

    // Messages stay listed and readable for the other user.
    let listed = harness.command(bob, json!({"type": "get_conversations"})).await;
    assert_eq!(listed["conversations"].as_array().unwrap().len(), 1, "{listed}");
    let conversation = listed["conversations"][0]["conversationId"].clone();
    let page = harness.command(bob, json!({"type": "get_private_messages", "conversationId": conversation})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1, "{page}");
}

/// Groups are locked briefly one at a time, however many there are; and an account that cannot be cleaned up does not
/// delay the others.
#[tokio::test]
async fn a_deleted_account_leaves_all_groups_without_waiting() {
    let harness = Harness::start_with("manydeparted", &[("GROUP_CREATE_LIMIT", "1000")]).await;
    let [alice, bob, stuck] = harness.users(["alice", "bob", "stuck"]).await;
    let create = |owner_and: &[shared::ids::UserId]| json!({"type": "create_group", "groupName": "g", "initialMembers": owner_and});
    for _ in 0..25 {
        harness.expect(alice, create(&[bob]), "group_created").await;
    }
    harness.expect(stuck, create(&[bob]), "group_created").await;
    harness
        .db
        .execute(
            format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not this one''; END';
                 CREATE TRIGGER refuse BEFORE DELETE ON group_members FOR EACH ROW WHEN (OLD.user_id = {stuck})
                 EXECUTE FUNCTION refuse();"
            )
            .as_str(),
        )
        .await
        .unwrap();
    for user in [stuck, alice] {
        harness.db.execute(format!("DELETE FROM users_auth WHERE user_id = {user}").as_str()).await.unwrap();
    }
    harness.until(&format!("SELECT NOT EXISTS (SELECT FROM departed_users WHERE user_id = {alice})")).await;
    harness.until(&format!("SELECT NOT EXISTS (SELECT FROM group_members WHERE user_id = {alice})")).await;
    harness.until(&format!("SELECT count(*) = 25 FROM group_members WHERE role = 'owner' AND user_id = {bob}")).await;
    harness.until(&format!("SELECT EXISTS (SELECT FROM departed_users WHERE user_id = {stuck})")).await;
}

/// A user who was seen online must not stay so, even though the name is gone.
#[tokio::test]
async fn a_deleted_account_is_told_to_be_offline() {
    let harness = Harness::start_with("departedoffline", &[("OFFLINE_GRACE_PERIOD", "100ms")]).await;
    let alice = harness.user("alice").await;
    crate::main_backend::sign_in(&harness, alice).await;
    let is_about_alice = |kind: &'static str| {
        move |published: &crate::harness::Published| {
            let event = published.json();
            event["type"] == kind && event["user"]["userId"] == json!(alice)
        }
    };
    harness.wait_for("user_online", is_about_alice("user_online")).await;
    harness.db.execute(format!("DELETE FROM users_auth WHERE user_id = {alice}").as_str()).await.unwrap();
    // As its gateway does after it has ended the session.
    let session = shared::redis::presence::UserSession { user: alice, connection: shared::ids::ConnectionId(1) };
    let presence = shared::redis::presence::PresenceScripts::new(harness.keys.clone());
    presence.close(&harness.redis, harness.gateway, &[session], std::time::Duration::ZERO).await.unwrap();
    harness.wait_for("user_offline", is_about_alice("user_offline")).await;
}
