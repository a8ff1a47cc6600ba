//! `FOLLOW_POLICY`: the answer to users who write to another user, or add one to a group, without following them. Each
//! policy is tried with every command that it affects, and with some that it does not.

use serde_json::{Value, json};
use shared::ids::{GroupId, UserId};

use crate::harness::Harness;

struct Scene {
    harness: Harness,
    alice: UserId,
    /// Alice follows her.
    followed: UserId,
    /// Follows alice, who does not follow back; that does not count.
    follower: UserId,
}

impl Scene {
    async fn start(policy: &str) -> Scene {
        let harness = Harness::start_with(&format!("follow{policy}"), &[("FOLLOW_POLICY", policy)]).await;
        let [alice, followed, follower] = harness.users(["alice", "followed", "follower"]).await;
        harness.follow(alice, followed).await;
        harness.follow(follower, alice).await;
        Scene { harness, alice, followed, follower }
    }

    /// A group with only alice in it.
    async fn group(&self) -> GroupId {
        let created = self.create(&[]).await;
        created["groupId"].as_str().unwrap().parse().unwrap()
    }

    async fn create(&self, members: &[UserId]) -> Value {
        let create = json!({"type": "create_group", "groupName": "g", "initialMembers": members});
        self.harness.expect(self.alice, create, "group_created").await
    }

    /// What alice may do to `user`, with the answer if it is allowed.
    async fn commands(&self, user: UserId) -> [(Value, &'static str); 3] {
        let group = self.group().await;
        [
            (json!({"type": "start_conversation", "recipientId": user}), "conversation_started"),
            (json!({"type": "send_private_message", "recipientId": user, "content": "x"}), "message_sent"),
            (json!({"type": "add_group_member", "groupId": group, "userId": user}), "member_added"),
        ]
    }

    /// Asserts that alice may do all of it, and is warned each time or never.
    async fn is_let(&self, user: UserId, warning: Option<&str>) {
        for (command, answer) in self.commands(user).await {
            let answered = self.harness.expect(self.alice, command.clone(), answer).await;
            assert_eq!(answered.get("warning").and_then(Value::as_str), warning, "{command}");
        }
    }

    /// Asserts that both may be in a new group from the beginning.
    async fn are_initial_members(&self) {
        let created = self.create(&[self.followed, self.follower]).await;
        assert_eq!((&created["memberCount"], created.get("skippedMembers")), (&json!(3), None));
        assert_eq!(created.get("warning"), None);
    }
}

#[tokio::test]
async fn without_the_rule_nothing_is_said_about_following() {
    let scene = Scene::start("off").await;
    scene.is_let(scene.followed, None).await;
    scene.is_let(scene.follower, None).await;
    scene.are_initial_members().await;
}

#[tokio::test]
async fn a_warning_goes_to_non_followers_and_hinders_nothing() {
    let scene = Scene::start("warn").await;
    scene.is_let(scene.followed, None).await;
    scene.is_let(scene.follower, Some("NOT_FOLLOWING")).await;
    scene.are_initial_members().await;
}

#[tokio::test]
async fn enforced_the_rule_refuses_what_it_concerns_until_one_follows() {
    let scene = Scene::start("enforce").await;
    let (harness, alice) = (&scene.harness, scene.alice);
    scene.is_let(scene.followed, None).await;
    for (command, _) in scene.commands(scene.follower).await {
        let field = if command["type"] == "add_group_member" { "userId" } else { "recipientId" };
        assert_eq!(harness.refused(alice, command, "NOT_FOLLOWING").await["field"], field);
    }
    let created = scene.create(&[scene.followed, scene.follower]).await;
    assert_eq!(created["memberCount"], 2);
    assert_eq!(created["skippedMembers"], json!([{"userId": scene.follower, "reason": "NOT_FOLLOWING"}]));
    // The follower may write to her, and members of a group need not follow each other.
    let back = json!({"type": "send_private_message", "recipientId": alice, "content": "x"});
    harness.expect(scene.follower, back, "message_sent").await;
    let say = json!({"type": "send_group_message", "groupId": created["groupId"], "content": "@alice"});
    harness.expect(scene.followed, say, "group_message_sent").await;

    harness.follow(alice, scene.follower).await;
    scene.is_let(scene.follower, None).await;
    scene.are_initial_members().await;
}
