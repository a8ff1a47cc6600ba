//! Whom a message of a group mentions, when it is sent and when it is edited.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::groups::{command, create, text};
use crate::harness::Harness;
use crate::sessions::resumed;

#[tokio::test]
async fn everyone_is_mentioned_by_members_of_small_groups_only() {
    let harness = Harness::start_with("everyone", &[("EVERYONE_GROUP_SIZE", "2")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let mentions = async |user| {
        let sent = harness.expect(user, text(group, "@everyone"), "group_message_sent").await;
        let page = json!({"type": "get_group_messages", "groupId": group, "limit": 1});
        let page = harness.expect(alice, page, "group_messages").await;
        assert_eq!(page["messages"][0]["messageId"], sent["messageId"]);
        page["messages"][0]["mentions"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(mentions(bob).await, 1);
    harness.expect(alice, command("add_group_member", group, carol), "member_added").await;
    assert_eq!((mentions(bob).await, mentions(alice).await), (0, 1));
}

#[tokio::test]
async fn an_edit_mentions_everyone_only_where_a_send_may() {
    let harness = Harness::start_with("editeveryone", &[("EVERYONE_GROUP_SIZE", "2")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let unread = async || {
        let inbox = harness.expect(carol, json!({"type": "get_inbox"}), "inbox").await;
        inbox["entries"][0]["unreadMentions"].clone()
    };
    for (author, expected) in [(bob, json!(0)), (alice, json!(1))] {
        let sent = harness.expect(author, text(group, "hi"), "group_message_sent").await;
        let edit =
            json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": "@everyone and @all"});
        harness.expect(author, edit, "group_message_edited").await;
        let page = json!({"type": "get_group_messages", "groupId": group, "limit": 1});
        let page = harness.expect(carol, page, "group_messages").await;
        let mentions = page["messages"][0]["mentions"].as_array().map_or(0, Vec::len);
        assert_eq!((json!(mentions), unread().await), (expected.clone(), expected), "{author}");
    }
}

#[tokio::test]
async fn a_mention_of_everyone_names_the_same_users_live_and_replayed() {
    let harness = Harness::start("named").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    harness.expect(alice, text(group, "@everyone"), "group_message_sent").await;
    let live = harness.event(Channel::Group(group), "new_group_message").await;
    assert_eq!(live["mentions"][0]["userIds"], json!([bob, carol]));
    let (_, page) = resumed(&harness, bob, 1).await;
    let replayed: Vec<Value> = page.events.iter().map(|event| serde_json::from_slice(&event.json).unwrap()).collect();
    let message = replayed.iter().find(|event| event["type"] == "new_group_message").expect("the message");
    assert_eq!(message["mentions"], live["mentions"]);
}

#[tokio::test]
async fn mentions_between_blocked_members_are_not_counted_as_unread() {
    let harness = Harness::start("mentioncount").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    harness.block(bob, alice).await;
    let unread = async |user: UserId| {
        let inbox = harness.expect(user, json!({"type": "get_inbox"}), "inbox").await;
        inbox["entries"][0]["unreadMentions"].as_i64().unwrap()
    };
    for (author, other, words) in
        [(alice, bob, "@bob and @carol"), (bob, alice, "@alice and @carol"), (alice, bob, "@all")]
    {
        for edited in [false, true] {
            let before = (unread(other).await, unread(carol).await);
            let content = if edited { "hi" } else { words };
            let sent = harness.expect(author, text(group, content), "group_message_sent").await;
            if edited {
                let edit = json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": words});
                harness.expect(author, edit, "group_message_edited").await;
            }
            let after = (unread(other).await, unread(carol).await);
            assert_eq!(after, (before.0, before.1 + 1), "{words}, edited: {edited}");
            let page = json!({"type": "get_group_messages", "groupId": group, "limit": 1});
            let page = harness.expect(carol, page, "group_messages").await;
            assert_eq!(page["messages"][0]["content"], words);
            assert_eq!(page["messages"][0]["mentions"].as_array().map(Vec::len), Some(1), "{words}, edited: {edited}");
        }
    }
}
