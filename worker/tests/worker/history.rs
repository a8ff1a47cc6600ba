//! Pages of history: from both sides, their bounds, their content, and that a cached page is never out of date.

use fred::prelude::*;
use serde_json::{Value, json};
use shared::ids::{ConversationId, UserId};

use crate::harness::{DEADLINE, Harness};

async fn fill(harness: &Harness, from: UserId, to: UserId, count: usize) {
    let mut last = None;
    for i in 1..=count {
        let send = json!({"type": "send_message", "recipientId": to, "content": format!("{i}")});
        let prepared = harness.prepare(from, &send);
        harness.append(&prepared).await;
        last = Some(prepared.envelope.id);
    }
    harness.answer(last.unwrap()).await;
}

async fn page(harness: &Harness, user: UserId, other: UserId, mut request: Value) -> Value {
    request["type"] = json!("get_private_messages");
    request["recipientId"] = json!(other);
    harness.expect(user, request, "private_messages").await
}

fn seqs(page: &Value) -> Vec<i64> {
    page["messages"].as_array().unwrap().iter().map(|message| message["seq"].as_i64().unwrap()).collect()
}

fn run(from: i64, to: i64) -> Vec<i64> {
    (from..=to).collect()
}

/// The cached value after `user` was shown a page. A worker on a busy machine may skip the cache, for which it waits
/// only briefly; then the page is requested again.
async fn cached(harness: &Harness, user: UserId, other: UserId) -> bytes::Bytes {
    let key = harness.keys.conversation_cache(ConversationId::direct(user, other));
    let kept = async {
        loop {
            page(harness, user, other, json!({})).await;
            if let Some(kept) = harness.redis.get::<Option<bytes::Bytes>, _>(&key).await.unwrap() {
                break kept;
            }
        }
    };
    tokio::time::timeout(DEADLINE, kept).await.expect("a page in the cache")
}

/// The same pages are correct with the cache off, with one smaller than the conversation, and with one that holds all
/// of it.
#[tokio::test]
async fn pages_are_right_whatever_is_cached() {
    for cached in ["0", "60", "1000"] {
        let harness = Harness::start_with("pages", &[("CACHE_MESSAGES", cached)]).await;
        let [alice, bob] = harness.users(["alice", "bob"]).await;
        fill(&harness, alice, bob, 250).await;
        let cases = [
            (json!({}), run(201, 250), true, json!(0)),
            (json!({"limit": 10}), run(241, 250), true, json!(0)),
            (json!({"limit": 10, "offset": 55}), run(186, 195), true, json!(55)),
            (json!({"limit": 10, "offset": 245}), run(1, 5), false, json!(245)),
            (json!({"limit": 10, "offset": 240}), run(1, 10), false, json!(240)),
            (json!({"limit": 10, "offset": 300}), vec![], false, json!(300)),
            (json!({"limit": 1000}), run(51, 250), true, json!(0)),
            (json!({"limit": 10, "beforeSeq": 241}), run(231, 240), true, Value::Null),
            (json!({"limit": 10, "beforeSeq": 6, "offset": 3}), run(1, 5), false, Value::Null),
            (json!({"limit": 10, "beforeSeq": 0}), vec![], false, Value::Null),
            (json!({"limit": 10, "afterSeq": 0}), run(1, 10), true, Value::Null),
            (json!({"limit": 10, "afterSeq": 230}), run(231, 240), true, Value::Null),
            (json!({"limit": 10, "afterSeq": 245}), run(246, 250), false, Value::Null),
            (json!({"limit": 10, "afterSeq": 250}), vec![], false, Value::Null),
            (json!({"limit": 10, "afterSeq": i64::MAX}), vec![], false, Value::Null),
            (json!({"limit": 10, "afterSeq": 100, "beforeSeq": 106}), run(101, 105), false, Value::Null),
            (json!({"limit": 3, "afterSeq": 240, "beforeSeq": 246}), run(241, 243), true, Value::Null),
        ];
        // Twice: the second time from the cache, where possible.
        for _ in 0..2 {
            for (request, expected, has_more, offset) in &cases {
                let answer = page(&harness, bob, alice, request.clone()).await;
                let name = format!("{request} with {cached} cached");
                assert_eq!(seqs(&answer), *expected, "{name}");
                assert_eq!(answer["hasMore"], *has_more, "{name}");
                let limit = request["limit"].as_i64().unwrap_or(50).min(200);
                let pagination = json!({"limit": limit, "offset": offset, "hasMore": has_more, "total": 250});
                assert_eq!((&answer["pagination"], &answer["total"]), (&pagination, &json!(250)), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_hidden_is_neither_shown_nor_counted() {
    for cached in ["0", "1000"] {
        let harness = Harness::start_with("hidden", &[("CACHE_MESSAGES", cached)]).await;
        let [alice, bob] = harness.users(["alice", "bob"]).await;
        fill(&harness, alice, bob, 10).await;
        let all = page(&harness, bob, alice, json!({})).await;
        let id = |seq: usize| all["messages"][seq - 1]["messageId"].clone();
        for seq in [10, 8] {
            let hide = json!({"type": "delete_message", "messageId": id(seq), "deleteForEveryone": false});
            harness.expect(bob, hide, "message_deleted").await;
        }
        harness.expect(alice, json!({"type": "delete_message", "messageId": id(2)}), "message_deleted").await;
        let answer = page(&harness, bob, alice, json!({"limit": 3})).await;
        assert_eq!((seqs(&answer), &answer["hasMore"], &answer["total"]), (vec![6, 7, 9], &json!(true), &json!(7)));
        let answer = page(&harness, bob, alice, json!({"afterSeq": 6})).await;
        assert_eq!((seqs(&answer), &answer["hasMore"]), (vec![7, 9], &json!(false)));
        assert_eq!(page(&harness, alice, bob, json!({})).await["total"], 9);

        let clear = json!({"type": "delete_conversation", "conversationId": format!("conv_{alice}_{bob}")});
        harness.expect(bob, clear, "conversation_deleted").await;
        harness.send(alice, bob, "new").await;
        let answer = page(&harness, bob, alice, json!({"afterSeq": 0})).await;
        assert_eq!((seqs(&answer), &answer["total"]), (vec![11], &json!(1)));
        assert_eq!(page(&harness, alice, bob, json!({})).await["total"], 10);
    }
}

#[tokio::test]
async fn an_empty_conversation_exists_only_for_its_participants() {
    let harness = Harness::start("empty").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.send(bob, carol, "x").await;
    let answer = page(&harness, alice, bob, json!({})).await;
    assert_eq!((&answer["messages"], &answer["total"], &answer["hasMore"]), (&json!([]), &json!(0), &json!(false)));
    for conversation in [format!("conv_{bob}_{carol}"), format!("conv_{alice}_999")] {
        let get = json!({"type": "get_messages", "conversationId": conversation});
        assert_eq!(harness.refused(alice, get, "RESOURCE_NOT_FOUND").await["field"], "conversationId");
    }
    harness.block(bob, carol).await;
    assert_eq!(page(&harness, carol, bob, json!({})).await["total"], 1, "history stays readable");
}

#[tokio::test]
async fn a_cached_page_is_used_sealed_and_given_up_with_every_change() {
    let harness = Harness::start("cache").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    fill(&harness, alice, bob, 3).await;
    let key = harness.keys.conversation_cache(ConversationId::direct(alice, bob));
    let first = page(&harness, bob, alice, json!({})).await;
    let kept = cached(&harness, bob, alice).await;
    assert!(!kept.is_empty());
    assert!(!String::from_utf8_lossy(&kept).contains("senderUsername"), "it is sealed");
    let lives: i64 = harness.redis.ttl(&key).await.unwrap();
    assert!((3_500..=3_600).contains(&lives), "{lives}");

    // A change that bypasses the version is not noticed, so the page comes from the cache. Names are not stored in it.
    sqlx::query("UPDATE private_messages SET pinned_at = now() WHERE seq = 1").execute(&harness.db).await.unwrap();
    sqlx::query("UPDATE users_auth SET username = 'alicia' WHERE user_id = $1")
        .bind(alice.0)
        .execute(&harness.db)
        .await
        .unwrap();
    let from_cache = async {
        loop {
            // Without the cache the page was read from the database, and stored as it is there.
            let _: () = harness.redis.set(&key, kept.clone(), None, None, false).await.unwrap();
            let shown = page(&harness, bob, alice, json!({})).await;
            if shown["messages"][0]["isPinned"] == false {
                break shown;
            }
        }
    };
    let shown = tokio::time::timeout(DEADLINE, from_cache).await.expect("a page from the cache");
    assert_eq!(shown["messages"][0]["senderUsername"], "alicia");

    let id = |seq: usize| first["messages"][seq - 1]["messageId"].clone();
    let (conversation, shown) = (format!("conv_{alice}_{bob}"), |answer: &Value| answer["messages"].clone());
    type Holds = fn(&Value) -> bool;
    let changes: [(UserId, Value, &str, Holds); 7] = [
        (alice, json!({"type": "edit_message", "messageId": id(1), "content": "new"}), "message_edited", |page| {
            page[0]["content"] == "new"
        }),
        (bob, json!({"type": "add_reaction", "messageId": id(1), "reaction": "x"}), "reaction_added", |page| {
            page[0]["reactions"][0]["username"] == "bob"
        }),
        (bob, json!({"type": "remove_reaction", "messageId": id(1)}), "reaction_removed", |page| {
            page[0].get("reactions").is_none()
        }),
        (
            bob,
            json!({"type": "pin_message", "messageId": id(2), "conversationId": conversation}),
            "message_pinned",
            |page| page[1]["isPinned"] == true,
        ),
        (
            bob,
            json!({"type": "unpin_message", "messageId": id(2), "conversationId": conversation}),
            "message_unpinned",
            |page| page[1]["isPinned"] == false,
        ),
        (bob, json!({"type": "mark_message_read", "messageId": id(2)}), "message_read", |page| {
            page[1]["isRead"] == true && page[2]["isRead"] == false
        }),
        (alice, json!({"type": "delete_message", "messageId": id(3)}), "message_deleted", |page| {
            page.as_array().unwrap().len() == 2
        }),
    ];
    for (user, command, kind, holds) in changes {
        harness.expect(user, command, kind).await;
        for reader in [(alice, bob), (bob, alice)] {
            let answer = page(&harness, reader.0, reader.1, json!({})).await;
            assert!(holds(&shown(&answer)), "after {kind}: {answer}");
        }
    }
    harness.send(bob, alice, "another").await;
    assert_eq!(seqs(&page(&harness, alice, bob, json!({})).await), [1, 2, 4]);

    // A value that is not one of our pages counts as missing.
    let _: () = harness.redis.set(&key, "garbage", None, None, false).await.unwrap();
    assert_eq!(seqs(&page(&harness, alice, bob, json!({})).await), [1, 2, 4]);
    // So does another conversation's page.
    let [carol] = harness.users(["carol"]).await;
    harness.send(carol, alice, "c").await;
    let others = cached(&harness, alice, carol).await;
    let _: () = harness.redis.set(&key, others, None, None, false).await.unwrap();
    assert_eq!(seqs(&page(&harness, alice, bob, json!({})).await), [1, 2, 4]);
}

#[tokio::test]
async fn a_row_that_does_not_open_is_left_out() {
    let harness = Harness::start("unreadable").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    fill(&harness, alice, bob, 3).await;
    sqlx::query("UPDATE private_messages SET content = content || content WHERE seq = 2")
        .execute(&harness.db)
        .await
        .unwrap();
    assert_eq!(seqs(&page(&harness, bob, alice, json!({})).await), [1, 3]);
}

/// An attacker who can write to the database but has no key cannot put one message's content in another's place.
#[tokio::test]
async fn a_content_under_another_message_is_left_out() {
    let harness = Harness::start("swapped").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    fill(&harness, alice, bob, 3).await;
    let copied = sqlx::query(
        "UPDATE private_messages AS copy SET content = original.content, iv = original.iv, mac = original.mac \
         FROM private_messages AS original WHERE copy.seq = 2 AND original.seq = 1",
    );
    assert_eq!(copied.execute(&harness.db).await.unwrap().rows_affected(), 1);
    assert_eq!(seqs(&page(&harness, bob, alice, json!({})).await), [1, 3]);
}

/// It would leave out everything that is stored, and store what no other process can read.
#[tokio::test]
async fn a_worker_with_another_key_than_the_stored_messages_stops() {
    let mut harness = Harness::start("otherkey").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    fill(&harness, alice, bob, 3).await;
    harness.set("CHAT_ENCRYPTION_KEY", "another key for tests only, long enough");
    let worker = harness.add_worker().await;
    let (_signals, none) = tokio::sync::mpsc::channel(1);
    let ended = tokio::time::timeout(DEADLINE, worker.run_until(none)).await.expect("the worker stops");
    let failure = format!("{:?}", ended.unwrap_err());
    assert!(failure.contains("key id 1") && failure.contains("CHAT_ENCRYPTION_KEY"), "{failure}");
}

/// Of long messages a page holds fewer than were asked for. Opening the others would be work that nobody is charged for.
#[tokio::test]
async fn a_page_opens_no_more_than_it_may_show() {
    let harness = Harness::start("longpages").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let long = "\u{8a9e}".repeat(5_000);
    for number in 1..=150 {
        let send =
            json!({"type": "send_message", "recipientId": bob, "content": format!("{number} {}", &long[..14_970])});
        harness.expect(alice, send, "message_sent").await;
    }
    // What does not fit cannot be opened.
    sqlx::query("UPDATE private_messages SET mac = '' WHERE seq NOT BETWEEN 31 AND 110")
        .execute(&harness.db)
        .await
        .unwrap();
    let before = harness.unreadable_rows();
    for request in [json!({"limit": 200, "beforeSeq": 111}), json!({"limit": 200, "afterSeq": 30})] {
        let answer = page(&harness, bob, alice, request.clone()).await;
        let messages = answer["messages"].as_array().unwrap();
        assert!((60..80).contains(&messages.len()), "{request}: {}", messages.len());
        assert_eq!(answer["hasMore"], true, "{request}");
        assert_eq!(answer["pagination"]["limit"], messages.len() as u64, "{request}");
    }
    assert_eq!(harness.unreadable_rows(), before);
}
