//! Sending direct messages: order, deduplication, durability, rejections.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::publication::{Header, Receipt};
use shared::redis::keys::Channel;

use crate::harness::{Harness, without_timestamp};

#[tokio::test]
async fn a_message_is_stored_sealed_and_published_to_both() {
    let harness = Harness::start("sending").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.follow(alice, bob).await;
    let message = json!({
        "type": "send_message", "recipientId": bob, "content": " plaintext marker ", "clientMessageId": "c1", "requestId": 7,
    });
    let sent = harness.expect(alice, message, "message_sent").await;
    assert_eq!(sent["seq"], 1);
    assert_eq!(sent["requestId"], 7);
    assert_eq!(sent["conversationId"], format!("conv_{alice}_{bob}"));
    assert_eq!(sent["clientMessageId"], "c1");
    assert_eq!(sent.get("warning"), None);
    for user in [alice, bob] {
        let event = harness.event(Channel::User(user), "new_message").await;
        assert_eq!(event["content"], " plaintext marker ");
        assert_eq!(event["messageId"], sent["messageId"]);
        assert_eq!(event["senderUsername"], "alice");
        assert_eq!(event["recipientId"], bob.to_string());
        assert_eq!(event.get("requestId"), None);
    }
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT content FROM private_messages").fetch_one(&harness.db).await.unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("marker"));
    let history = json!({"type": "get_private_messages", "recipientId": alice});
    let page = harness.expect(bob, history, "private_messages").await;
    assert_eq!(page["messages"][0]["content"], " plaintext marker ");
    assert_eq!(page["total"], 1);
}

#[tokio::test]
async fn concurrent_sends_are_numbered_without_gaps_in_order() {
    let harness = Harness::start_with("ordering", &[("BATCH_MAX", "16")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let mut sent = Vec::new();
    for i in 0..100 {
        for to in [bob, carol] {
            let message = json!({"type": "send_message", "recipientId": to, "content": format!("{i}")});
            let prepared = harness.prepare(alice, &message);
            harness.append(&prepared).await;
            sent.push((i, prepared.envelope.id));
        }
    }
    for (i, command) in sent {
        assert_eq!(harness.answer(command).await["seq"], i + 1);
    }
    for to in [bob, carol] {
        let seqs: Vec<i64> =
            harness.events(Channel::User(to), "new_message").iter().map(|e| e["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_redelivered_command_is_applied_once_and_answered_again() {
    let harness = Harness::start("redelivery").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    harness.append(&prepared).await;
    harness.answer(prepared.envelope.id).await;
    harness.append(&prepared).await;
    harness.append(&prepared).await;
    let last = harness.send(alice, bob, "y").await;
    assert_eq!(last["seq"], 2);
    let answers: Vec<_> = harness
        .published()
        .into_iter()
        .filter(|p| matches!(&p.header, Header::Answer { command, .. } if *command == prepared.envelope.id))
        .collect();
    assert_eq!(answers.len(), 3);
    let first = without_timestamp(answers[0].json());
    assert!(answers.iter().all(|answer| without_timestamp(answer.json()) == first));
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM private_messages").fetch_one(&harness.db).await.unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_repeated_client_message_id_stores_one_message() {
    let harness = Harness::without_worker("repetition", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let message = json!({"type": "send_message", "recipientId": bob, "content": "x", "clientMessageId": "same"});
    let (first, second) = (harness.prepare(alice, &message), harness.prepare(alice, &message));
    harness.append(&first).await;
    harness.append(&second).await;
    harness.add_worker().await;
    let (first, second) = (harness.answer(first.envelope.id).await, harness.answer(second.envelope.id).await);
    assert_eq!(first.get("duplicate"), None);
    assert_eq!(second["duplicate"], true);
    assert_eq!(second["messageId"], first["messageId"]);
    assert_eq!(second["seq"], first["seq"]);
    let later = harness.command(alice, message).await;
    assert_eq!((&later["duplicate"], &later["messageId"]), (&json!(true), &first["messageId"]));
    assert_eq!(harness.events(Channel::User(bob), "new_message").len(), 1);
}

/// Two statements store messages: one for a direct message that is alone, and one for everything else.
#[tokio::test]
async fn a_message_is_judged_alone_as_in_a_batch() {
    let settings = [("FOLLOW_POLICY", "enforce"), ("WORKER_PIPELINES", "1")];
    let harness = Harness::without_worker("judged", &settings).await;
    let [alice, followed, stranger, blocker, blocked] =
        harness.users(["alice", "followed", "stranger", "blocker", "blocked"]).await;
    for followee in [followed, blocker, blocked] {
        harness.follow(alice, followee).await;
    }
    harness.block(blocker, alice).await;
    harness.block(alice, blocked).await;
    let nobody = UserId(999_999);
    let pairs =
        [(alice, followed), (alice, stranger), (alice, blocker), (alice, blocked), (alice, nobody), (nobody, followed)];
    let message = |to: UserId| json!({"type": "send_message", "recipientId": to, "content": "x"});
    let mut appended = Vec::new();
    for (from, to) in pairs {
        let prepared = harness.prepare(from, &message(to));
        harness.append(&prepared).await;
        appended.push(prepared.envelope.id);
    }
    harness.add_worker().await;
    let verdict = |answer: Value| answer.get("code").unwrap_or(&answer["type"]).clone();
    let (mut together, mut alone) = (Vec::new(), Vec::new());
    for command in appended {
        together.push(verdict(harness.answer(command).await));
    }
    for (from, to) in pairs {
        alone.push(verdict(harness.command(from, message(to)).await));
    }
    assert_eq!(together, alone);
    assert_eq!(
        alone[..5],
        ["message_sent", "NOT_FOLLOWING", "USER_BLOCKED", "USER_BLOCKED", "RESOURCE_NOT_FOUND"].map(Value::from)
    );
    assert_ne!(alone[5], "message_sent");
    let stored = sqlx::query_as::<_, (i64, i64)>("SELECT seq, version FROM private_messages ORDER BY seq");
    assert_eq!(stored.fetch_all(&harness.db).await.unwrap(), [(1, 2), (2, 3)]);
}

#[tokio::test]
async fn refusals_name_their_reason_and_store_nothing() {
    let harness = Harness::start_with("refusals", &[("FOLLOW_POLICY", "enforce")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    harness.follow(alice, carol).await;
    let to = |user: i64| json!({"type": "send_message", "recipientId": user, "content": "x"});
    assert_eq!(harness.refused(alice, to(999_999), "RESOURCE_NOT_FOUND").await["field"], "recipientId");
    harness.refused(alice, to(bob.0), "NOT_FOLLOWING").await;
    harness.expect(alice, to(carol.0), "message_sent").await;
    harness.block(carol, alice).await;
    harness.refused(alice, to(carol.0), "USER_BLOCKED").await;
    harness.refused(carol, to(alice.0), "USER_BLOCKED").await;
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM private_messages").fetch_one(&harness.db).await.unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn by_default_writing_to_somebody_not_followed_warns() {
    let harness = Harness::start("warning").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    assert_eq!(harness.send(alice, bob, "x").await["warning"], "NOT_FOLLOWING");
}

#[tokio::test]
async fn an_expired_command_is_answered_only_if_it_was_applied() {
    let harness = Harness::start("deadline").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let message = json!({"type": "send_message", "recipientId": bob, "content": "x"});
    let mut late = harness.prepare(alice, &message);
    late.envelope.deadline = Timestamp(Timestamp::now().0 - 1);
    harness.append(&late).await;
    let answer = harness.answer(late.envelope.id).await;
    assert_eq!(answer["code"], "SERVICE_UNAVAILABLE");
    assert!(answer["retryAfter"].as_i64().unwrap() > 0);
    let mut applied = harness.prepare(alice, &message);
    harness.append(&applied).await;
    assert_eq!(harness.answer(applied.envelope.id).await["type"], "message_sent");
    applied.envelope.deadline = Timestamp(Timestamp::now().0 - 1);
    harness.append(&applied).await;
    assert_eq!(harness.send(alice, bob, "y").await["seq"], 2);
    let receipts = harness.published().into_iter().filter(|published| match &published.header {
        Header::Event(event) => matches!(event.receipt, Receipt::Message { seq: 1, .. }),
        _ => false,
    });
    // Published again on redelivery: twice to each of the two users.
    assert_eq!(receipts.count(), 4);
}

#[tokio::test]
async fn partitions_move_between_workers_and_order_holds() {
    let harness = Harness::start("moving").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let others = [bob, carol, dave];
    let mut commands = Vec::new();
    let mut second = None;
    for i in 0..150 {
        for to in others {
            let message = json!({"type": "send_message", "recipientId": to, "content": format!("{i}")});
            let prepared = harness.prepare(alice, &message);
            harness.append(&prepared).await;
            commands.push((i, prepared.envelope.id));
        }
        if i == 30 {
            second = Some(harness.add_worker().await);
        }
        if i == 60 {
            harness.until("SELECT count(DISTINCT owner) = 2 FROM partition_leases").await;
        }
        if i == 110 {
            second.take().unwrap().start_draining();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (i, command) in commands {
        assert_eq!(harness.answer(command).await["seq"], i + 1);
    }
    harness.until("SELECT count(DISTINCT owner) = 1 AND bool_and(owner IS NOT NULL) FROM partition_leases").await;
}

#[tokio::test]
async fn a_worker_that_goes_hands_its_partitions_over_at_once() {
    // Far longer than any wait of this test, so that no lease is handed over by expiring.
    let harness = Harness::start_with("handover", &[("LEASE_TTL", "2m")]).await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let second = harness.add_worker().await;
    harness.until("SELECT count(DISTINCT owner) = 2 FROM partition_leases").await;
    second.start_draining();
    harness.until("SELECT count(DISTINCT owner) = 1 AND bool_and(owner IS NOT NULL) FROM partition_leases").await;
    for to in [bob, carol, dave] {
        assert_eq!(harness.send(alice, to, "x").await["seq"], 1);
    }
}

/// The commands of one who has many under way share a pipeline with what others send.
#[tokio::test]
async fn who_has_many_commands_under_way_holds_up_nobody_for_long() {
    let harness = Harness::start_with("manyunderway", &[("WORKER_PIPELINES", "1")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "x").await["messageId"].clone();
    react_while_others_talk(&harness, alice, &vec![sent; COMMANDS]).await;
    let stored: String =
        sqlx::query_scalar("SELECT reaction FROM message_reactions").fetch_one(&harness.db).await.unwrap();
    assert_eq!(stored, format!("r{}", COMMANDS - 1), "in their order");
}

/// None of them waits for another one.
#[tokio::test]
async fn commands_in_many_conversations_hold_up_nobody_for_long() {
    let harness = Harness::start_with("manyconversations", &[("WORKER_PIPELINES", "1")]).await;
    let alice = harness.user("alice").await;
    let mut sent = Vec::new();
    for number in 0..COMMANDS {
        let other = harness.user(&format!("other{number}")).await;
        sent.push(harness.send(alice, other, "x").await["messageId"].clone());
    }
    react_while_others_talk(&harness, alice, &sent).await;
}

const COMMANDS: usize = 40;

/// Reacts slowly to each message, and sends one of others meanwhile.
async fn react_while_others_talk(harness: &Harness, user: UserId, messages: &[Value]) {
    let [carol, dave] = harness.users(["carol", "dave"]).await;
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;
         CREATE TRIGGER wait AFTER INSERT OR UPDATE ON message_reactions FOR EACH STATEMENT EXECUTE FUNCTION wait()";
    sqlx::raw_sql(slow).execute(&harness.db).await.unwrap();
    let mut commands = Vec::new();
    for (number, message) in messages.iter().enumerate() {
        let react = json!({"type": "add_reaction", "messageId": message, "reaction": format!("r{number}")});
        let prepared = harness.prepare(user, &react);
        harness.append(&prepared).await;
        commands.push(prepared.envelope.id);
    }
    // By now all of them were read.
    harness.answer(commands[COMMANDS / 3]).await;
    harness.send(carol, dave, "in between").await;
    let waiting = commands.iter().filter(|command| !harness.was_answered(**command)).count();
    assert!(waiting > 0, "the message waited for all of them");
    for command in commands {
        assert_ne!(harness.answer(command).await["type"], "error");
    }
}
