//! Blocking within a group: both users stay members and can read each other, but neither can notify the other.

use serde_json::{Value, json};
use shared::ids::{ConversationId, UserId};
use shared::publication::Receipt;
use shared::redis::keys::Channel;
use shared::stream::ReplayedEvent;

use crate::harness::Harness;
use crate::sessions::resumed;

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

/// Everything that says how far the other one has read.
async fn seen_as_read(harness: &Harness, user: UserId, other: UserId) -> Vec<Value> {
    let conversation = ConversationId::direct(user, other);
    let page = harness
        .expect(user, json!({"type": "get_private_messages", "recipientId": other}), "private_messages")
        .await["messages"][0]
        .clone();
    let pins = json!({"type": "get_pinned_messages", "conversationId": conversation});
    let pinned = harness.expect(user, pins, "pinned_messages").await["messages"][0].clone();
    let entry = harness.expect(user, json!({"type": "get_inbox"}), "inbox").await["entries"][0].clone();
    let (synced, _) = harness.sync(user, json!({conversation.to_string(): 0})).await;
    let mut seen = vec![entry["peerReadSeq"].clone()];
    for message in [&page, &pinned, &entry["lastMessage"], &synced[0]["messages"][0]] {
        assert_eq!(message["content"], "hello");
        seen.push(message["isRead"].clone());
    }
    seen
}

#[tokio::test]
async fn what_was_read_is_not_shown_between_blocked_users() {
    for bob_blocks in [true, false] {
        let harness = Harness::start("read_marks").await;
        let [alice, bob] = harness.users(["alice", "bob"]).await;
        let sent = harness.send(alice, bob, "hello").await;
        let id = &sent["messageId"];
        harness.command(bob, json!({"type": "mark_message_read", "messageId": id})).await;
        let pin = json!({"type": "pin_message", "messageId": id, "conversationId": sent["conversationId"]});
        harness.expect(alice, pin, "message_pinned").await;
        let (read, nothing) = (json!([1, true, true, true, true]), json!([0, false, false, false, false]));
        assert_eq!(json!(seen_as_read(&harness, alice, bob).await), read);
        let (blocker, blocked) = if bob_blocks { (bob, alice) } else { (alice, bob) };
        harness.block(blocker, blocked).await;
        assert_eq!(json!(seen_as_read(&harness, alice, bob).await), nothing);
        let own = harness.expect(bob, json!({"type": "get_inbox"}), "inbox").await["entries"][0].clone();
        assert_eq!((&own["readSeq"], &own["lastMessage"]["isRead"]), (&json!(1), &json!(true)), "one's own mark");
    }
}

/// How far the members have read, as this user is shown it.
async fn positions(harness: &Harness, user: UserId, group: &Value, members: [UserId; 3]) -> [Value; 3] {
    let listed = harness.expect(user, json!({"type": "get_group_members", "groupId": group}), "group_members").await;
    members.map(|member| {
        let of = |listed: &&Value| listed["userId"] == json!(member);
        listed["members"].as_array().unwrap().iter().find(of).unwrap()["readSeq"].clone()
    })
}

#[tokio::test]
async fn blocked_members_of_a_group_do_not_see_read_marks() {
    for bob_blocks in [true, false] {
        let harness = Harness::start("group_marks").await;
        let users @ [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
        let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob, carol]});
        let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
        let say = json!({"type": "send_group_message", "groupId": group, "content": "x"});
        let mut sent = Vec::new();
        for sender in [alice, bob] {
            sent.push(harness.expect(sender, say.clone(), "group_message_sent").await["messageId"].clone());
        }
        let read = |index: usize| json!({"type": "mark_message_read", "messageId": sent[index]});
        let told = |user: UserId| {
            let events = harness.events(Channel::User(user), "message_read");
            events.iter().map(|event| event["readBy"].clone()).collect::<Vec<_>>()
        };
        let (blocker, blocked) = if bob_blocks { (bob, alice) } else { (alice, bob) };
        harness.block(blocker, blocked).await;
        // Each marks the other's message, and carol both.
        for (reader, index) in [(bob, 0), (alice, 1), (carol, 0), (carol, 1)] {
            harness.expect(reader, read(index), "message_read").await;
        }
        for (user, other) in [(alice, bob), (bob, alice)] {
            let of_carol = |published: &crate::harness::Published| {
                let event = published.json();
                published.channel == Channel::User(user)
                    && event["type"] == "message_read"
                    && event["readBy"] == json!(carol)
            };
            harness.wait_for("the mark of another member", of_carol).await;
            assert!(!told(user).contains(&json!(other)), "{:?}", told(user));
            assert!(told(user).contains(&json!(user)), "one's own other connections: {:?}", told(user));
        }
        let nothing = Value::Null;
        assert_eq!(positions(&harness, alice, &group, users).await, [json!(2), nothing.clone(), json!(2)]);
        assert_eq!(positions(&harness, bob, &group, users).await, [nothing, json!(1), json!(2)]);
        assert_eq!(positions(&harness, carol, &group, users).await, [json!(2), json!(1), json!(2)]);
    }
}

#[tokio::test]
async fn a_blocked_sender_is_not_told_that_an_earlier_message_arrived() {
    let harness = Harness::start("hidden_delivery").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    for sender in [alice, bob, carol] {
        harness.send(sender, dave, "x").await;
    }
    harness.block(alice, dave).await;
    harness.block(dave, bob).await;
    let (_, page) = resumed(&harness, dave, 1).await;
    let sender = |event: &ReplayedEvent| match event.receipt {
        Receipt::Message { sender, .. } => sender,
        _ => panic!("{event:?}"),
    };
    assert_eq!(page.events.iter().map(sender).collect::<Vec<_>>(), [UserId(0), UserId(0), carol]);
}
