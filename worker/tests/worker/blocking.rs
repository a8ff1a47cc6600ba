//! Blocking within a group: both users stay members and can read each other, but neither can notify the other.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::harness::Harness;

fn mentioned(harness: &Harness, user: UserId, message: &Value) -> bool {
    let events = harness.events(Channel::User(user), "mentioned_in_group");
    events.iter().any(|event| event["messageId"] == message["messageId"])
}

#[tokio::test]
async fn blocked_members_are_not_told_of_mentions() {
    let harness = Harness::start("mentionblocked").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob, carol]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    harness.block(bob, alice).await;
    let say = |content: &str| json!({"type": "send_group_message", "groupId": group, "content": content});
    let names = ["alice", "bob", "carol"];
    for (sender, text, told) in [
        (alice, "@bob and @carol", [false, false, true]),
        (alice, "@everyone", [false, false, true]),
        (bob, "@alice and @carol", [false, false, true]),
        (bob, "@all", [false, false, true]),
        (carol, "@everyone", [true, true, false]),
        (alice, "@bob alone", [false, false, false]),
    ] {
        let sent = harness.expect(sender, say(text), "group_message_sent").await;
        // Published events arrive with the answer; waiting ones are stored with the message.
        for ((user, expected), name) in [alice, bob, carol].into_iter().zip(told).zip(names) {
            if expected {
                let of = |p: &crate::harness::Published| {
                    p.channel == Channel::User(user) && p.json()["messageId"] == sent["messageId"]
                };
                harness.wait_for(name, of).await;
            }
            let waits: i64 =
                sqlx::query_scalar("SELECT count(*) FROM event_queue WHERE user_id = $1 AND event_id = $2::text::uuid")
                    .bind(user.0)
                    .bind(sent["messageId"].as_str().unwrap().trim_start_matches("msg_"))
                    .fetch_one(&harness.db)
                    .await
                    .unwrap();
            assert_eq!((mentioned(&harness, user, &sent), waits == 1), (expected, expected), "{name}: {text}");
        }
        let event = harness.wait_for("the message", |p| {
            p.channel == Channel::Group(group.as_str().unwrap().parse().unwrap())
                && p.json()["messageId"] == sent["messageId"]
        });
        assert_eq!(event.await.json()["content"], text, "everyone reads the text as written");
    }
}

#[tokio::test]
async fn what_was_read_is_not_shown_between_blocked_users() {
    let harness = Harness::start("read_marks").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "hello").await;
    let mark = json!({"type": "mark_message_read", "messageId": sent["messageId"]});
    harness.command(bob, mark).await;
    let is_read = async || {
        let page = json!({"type": "get_private_messages", "recipientId": bob});
        harness.expect(alice, page, "private_messages").await["messages"][0]["isRead"].clone()
    };
    assert_eq!(is_read().await, true);
    harness.block(bob, alice).await;
    assert_eq!(is_read().await, false);
}
