//! Whom a message of a group mentions, when it is sent and when it is edited.

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::redis::keys::Channel;

use crate::groups::{add_many, command, create, text};
use crate::harness::Harness;
use crate::plans::{add_users, buffers, run};
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

#[tokio::test]
async fn names_are_found_in_large_groups_as_in_small_ones() {
    let harness = Harness::start("largenames").await;
    // Composed, decomposed, and half of each.
    let names = ["alice", "bob", "Bob.Smith", "ZO\u{eb}", "Zoe\u{308}2", "Vi\u{ea}\u{323}t", "m-", "\u{398}\u{3a3}"];
    let users = harness.users(names).await;
    let outsider = harness.user("outsider").await;
    let small = create(&harness, users[0], &users[1..]).await;
    let large = create(&harness, users[0], &users[1..]).await;
    add_many(&harness, large, 150).await;
    let content =
        "@Alice @BOB. @bob.smith- @zoe\u{308} @ZO\u{cb}2, @vi\u{1ec7}t @m-- @\u{3b8}\u{3c2} @outsider @bobby a@bob @m";
    let mut found = Vec::new();
    for group in [small, large] {
        let sent = harness.expect(users[0], text(group, content), "group_message_sent").await;
        let mentioned = async || {
            let page = json!({"type": "get_group_messages", "groupId": group, "limit": 1});
            let page = harness.expect(users[0], page, "group_messages").await;
            let ids = page["messages"][0]["mentions"].as_array().into_iter().flatten();
            ids.map(|mention| mention["userId"].clone()).collect::<Vec<_>>()
        };
        found.push(mentioned().await);
        for content in ["hi", content] {
            let edit = json!({"type": "edit_group_message", "messageId": sent["messageId"], "content": content});
            harness.expect(users[0], edit, "group_message_edited").await;
            found.push(mentioned().await);
        }
    }
    let all: Vec<Value> = users[1..].iter().map(|user| json!(user)).collect();
    assert_eq!(found, [&all, &Vec::new(), &all, &all, &Vec::new(), &all].map(Clone::clone), "not {outsider}");
    let none = "SELECT count(*) FROM pg_trigger WHERE tgname = 'chat_name' AND tgrelid = 'users_auth'::regclass";
    assert_eq!(sqlx::query_scalar::<_, i64>(none).fetch_one(&harness.db).await.unwrap(), 1);
    // The main backend may not let us know of new names.
    let rename = format!("UPDATE users_auth SET username = 'robert' WHERE user_id = {}", users[1]);
    run(&harness, &["ALTER TABLE users_auth DISABLE TRIGGER chat_name", &rename]).await;
    harness.expect(users[0], text(large, "@robert"), "group_message_sent").await;
    let page = json!({"type": "get_group_messages", "groupId": large, "limit": 1});
    let page = harness.expect(users[0], page, "group_messages").await;
    assert_eq!(page["messages"][0]["mentions"][0]["userId"], json!(users[1]));
}

#[tokio::test]
async fn a_name_is_looked_up_without_reading_the_other_members() {
    let harness = Harness::start("plan_names").await;
    let alice = harness.user("alice").await;
    let group = create(&harness, alice, &[]).await;
    add_users(&harness, 20_000).await;
    let join = format!(
        "INSERT INTO group_members (group_id, user_id, role) SELECT '{group}', n, 'member' FROM generate_series(1000, 10999) n"
    );
    run(&harness, &[&join, "VACUUM ANALYZE"]).await;
    let asked = format!("ARRAY['{group}', '{group}', '{group}'], ARRAY['u01000', 'u15000', 'nobody'], 100");
    let touched = buffers(&harness, "chat_composed(s.username)", &asked).await;
    assert!(touched < 200, "{touched}");
}

#[tokio::test]
async fn what_reaches_too_many_is_rejected_before_any_work() {
    let harness = Harness::start_with("reachedit", &[("DELIVERIES_PER_MINUTE", "300")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let [small, large] = [create(&harness, alice, &[bob]).await, create(&harness, alice, &[bob]).await];
    add_many(&harness, large, 198).await;
    let mut sent = Vec::new();
    for (author, group) in [(alice, large), (bob, small), (bob, large), (bob, large)] {
        sent.push(harness.expect(author, text(group, "x"), "group_message_sent").await["messageId"].clone());
    }
    // Without the early rejection the errors would be others: the message is not his own, and there is no reaction.
    let edit = |message: &Value| json!({"type": "edit_group_message", "messageId": message, "content": "y"});
    let removal = json!({"type": "remove_group_reaction", "messageId": sent[0], "emoji": "x"});
    for command in [edit(&sent[0]), removal] {
        harness.refused(bob, command, "RATE_LIMIT_EXCEEDED").await;
    }
    harness.expect(bob, edit(&sent[1]), "group_message_edited").await;
    harness.expect(alice, edit(&sent[0]), "group_message_edited").await;
}
