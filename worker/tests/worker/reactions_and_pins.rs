//! What other users add to a message: reactions and pins; direct and in groups.

use serde_json::{Value, json};
use shared::publication::Header;
use shared::redis::keys::Channel;

use crate::harness::{Harness, without_timestamp};
use crate::messages::{group, group_channel, history, say};

#[tokio::test]
async fn a_second_reaction_replaces_and_the_same_removes() {
    let harness = Harness::start("react").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let id = harness.send(alice, bob, "x").await["messageId"].clone();
    let react = |reaction: &str| json!({"type": "add_reaction", "messageId": id, "emoji": reaction});
    let added = harness.expect(bob, react("👍"), "reaction_added").await;
    assert_eq!(
        without_timestamp(added),
        json!({
            "type": "reaction_added", "messageId": id, "conversationId": format!("conv_{alice}_{bob}"), "userId": bob,
            "username": "bob", "reaction": "👍", "emoji": "👍",
        })
    );
    let event = harness.event(Channel::User(alice), "reaction_added").await;
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [alice.0]);
    harness.expect(bob, react("❤"), "reaction_added").await;
    harness.expect(alice, react("❤"), "reaction_added").await;
    let shown = history(&harness, alice, bob).await[0]["reactions"].clone();
    let shown: Vec<_> =
        shown.as_array().unwrap().iter().map(|r| (r["username"].clone(), r["reaction"].clone())).collect();
    assert_eq!(shown, [(json!("bob"), json!("❤")), (json!("alice"), json!("❤"))]);

    let removed = harness.expect(bob, react("❤"), "reaction_removed").await;
    assert_eq!((&removed["reaction"], &removed["userId"]), (&json!("❤"), &json!(bob)));
    let remove = json!({"type": "remove_reaction", "messageId": id});
    assert_eq!(harness.refused(bob, remove.clone(), "RESOURCE_NOT_FOUND").await["field"], "messageId");
    harness.refused(carol, react("x"), "RESOURCE_NOT_FOUND").await;
    let group_command = json!({"type": "add_group_reaction", "messageId": id, "reaction": "x"});
    harness.refused(bob, group_command, "VALIDATION_ERROR").await;

    harness.block(alice, bob).await;
    assert_eq!(harness.refused(alice, react("x"), "USER_BLOCKED").await["field"], "messageId");
    harness.refused(bob, react("x"), "USER_BLOCKED").await;
    // Removing is not a contact.
    harness.expect(alice, remove, "reaction_removed").await;
    assert_eq!(history(&harness, bob, alice).await[0].get("reactions"), None);
}

#[tokio::test]
async fn a_redelivered_reaction_is_not_taken_away_again() {
    let harness = Harness::start("reacttwice").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let id = harness.send(alice, bob, "x").await["messageId"].clone();
    let react = harness.prepare(bob, &json!({"type": "add_reaction", "messageId": id, "reaction": "x"}));
    for _ in 0..2 {
        harness.append(&react).await;
    }
    harness.send(bob, alice, "y").await;
    let answers = harness
        .published()
        .into_iter()
        .filter(|event| matches!(event.header, Header::Answer { command, .. } if command == react.envelope.id));
    let kinds: Vec<_> = answers.map(|answer| answer.json()["type"].clone()).collect();
    assert_eq!(kinds, [json!("reaction_added"), json!("reaction_added")]);
    assert_eq!(history(&harness, alice, bob).await[0]["reactions"][0]["reaction"], "x");
}

#[tokio::test]
async fn members_react_in_groups() {
    let harness = Harness::start("reactgroup").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "member")]).await;
    let id = say(&harness, alice, &group, "x").await;
    let react = json!({"type": "add_group_reaction", "messageId": id, "reaction": "👍"});
    let added = harness.expect(bob, react.clone(), "group_reaction_added").await;
    assert_eq!(
        (&added["groupId"], &added["username"], &added["reaction"]),
        (&json!(group), &json!("bob"), &json!("👍"))
    );
    let event = harness.event(group_channel(&group), "group_reaction_added").await;
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [alice.0]);
    harness.expect(bob, react.clone(), "group_reaction_removed").await;
    harness.expect(bob, react.clone(), "group_reaction_added").await;
    let remove = json!({"type": "remove_group_reaction", "messageId": id});
    let removed = harness.expect(bob, remove.clone(), "group_reaction_removed").await;
    assert_eq!((&removed["reaction"], &removed["username"]), (&json!("👍"), &json!("bob")));
    harness.refused(bob, remove, "RESOURCE_NOT_FOUND").await;
    harness.refused(carol, react, "RESOURCE_NOT_FOUND").await;
    harness.refused(bob, json!({"type": "add_reaction", "messageId": id, "reaction": "x"}), "VALIDATION_ERROR").await;
}

#[tokio::test]
async fn either_participant_pins_and_unpins() {
    let harness = Harness::start("pin").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    let first = harness.send(alice, bob, "first").await["messageId"].clone();
    let second = harness.send(bob, alice, "second").await["messageId"].clone();
    let pin = |id: &Value| json!({"type": "pin_message", "messageId": id, "conversationId": conversation});
    let unpin = |id: &Value| json!({"type": "unpin_message", "messageId": id, "conversationId": conversation});
    harness.expect(alice, pin(&second), "message_pinned").await;
    let pinned = harness.expect(bob, pin(&first), "message_pinned").await;
    assert_eq!(
        without_timestamp(pinned),
        json!({"type": "message_pinned", "messageId": first, "conversationId": conversation, "pinnedBy": bob})
    );
    let event = harness.event(Channel::User(bob), "message_pinned").await;
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [bob.0]);
    // Already pinned: the answer says by whom, and nobody is told.
    assert_eq!(harness.expect(alice, pin(&first), "message_pinned").await["pinnedBy"], json!(bob));

    let get = json!({"type": "get_pinned_messages", "conversationId": conversation});
    let shown = harness.expect(alice, get.clone(), "pinned_messages").await;
    let ids: Vec<_> =
        shown["messages"].as_array().unwrap().iter().map(|message| message["messageId"].clone()).collect();
    assert_eq!(ids, [first.clone(), second.clone()]);
    assert!(shown["messages"][0]["isPinned"].as_bool().unwrap());
    assert_eq!(history(&harness, bob, alice).await[0]["isPinned"], true);
    let hide = json!({"type": "delete_message", "messageId": second, "deleteForEveryone": false});
    harness.expect(alice, hide, "message_deleted").await;
    assert_eq!(harness.expect(alice, get.clone(), "pinned_messages").await["messages"].as_array().unwrap().len(), 1);
    assert_eq!(harness.expect(bob, get.clone(), "pinned_messages").await["messages"].as_array().unwrap().len(), 2);
    assert_eq!(harness.refused(carol, get, "RESOURCE_NOT_FOUND").await["field"], "conversationId");

    let unpinned = harness.expect(alice, unpin(&first), "message_unpinned").await;
    assert_eq!(unpinned["unpinnedBy"], json!(alice));
    harness.event(Channel::User(bob), "message_unpinned").await;
    harness.expect(alice, unpin(&first), "message_unpinned").await;
    harness.send(alice, bob, "after").await;
    assert_eq!(harness.events(Channel::User(bob), "message_unpinned").len(), 1);
    assert_eq!(harness.events(Channel::User(alice), "message_pinned").len(), 2);

    harness.refused(carol, pin(&first), "RESOURCE_NOT_FOUND").await;
    let elsewhere = json!({"type": "pin_message", "messageId": first, "conversationId": format!("conv_{bob}_{carol}")});
    assert_eq!(harness.refused(bob, elsewhere, "VALIDATION_ERROR").await["field"], "conversationId");
    harness.block(bob, alice).await;
    harness.refused(alice, pin(&first), "USER_BLOCKED").await;
    harness.expect(bob, unpin(&second), "message_unpinned").await;
}

#[tokio::test]
async fn in_groups_owner_and_admins_pin_and_members_read() {
    let harness = Harness::start("pingroup").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = group(&harness, &[(alice, "owner"), (bob, "admin"), (carol, "member")]).await;
    let id = say(&harness, carol, &group, "x").await;
    let of = |kind: &str| json!({"type": kind, "messageId": id, "groupId": group});
    for kind in ["pin_message", "unpin_message"] {
        harness.refused(carol, of(kind), "PERMISSION_DENIED").await;
        harness.refused(dave, of(kind), "RESOURCE_NOT_FOUND").await;
    }
    let pinned = harness.expect(bob, of("pin_message"), "message_pinned").await;
    assert_eq!((&pinned["groupId"], &pinned["conversationId"]), (&json!(group), &json!(group)));
    let event = harness.event(group_channel(&group), "message_pinned").await;
    assert_eq!(harness.queued_for(event["eventId"].as_str().unwrap()).await, [alice.0, carol.0]);
    let get = json!({"type": "get_pinned_messages", "groupId": group});
    let shown = harness.expect(carol, get.clone(), "pinned_messages").await;
    assert_eq!((&shown["groupId"], &shown["messages"][0]["messageId"]), (&json!(group), &id));
    assert_eq!(harness.refused(dave, get, "RESOURCE_NOT_FOUND").await["field"], "groupId");
    harness.expect(alice, of("unpin_message"), "message_unpinned").await;
}
