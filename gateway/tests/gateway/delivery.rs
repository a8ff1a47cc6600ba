//! An event's path to the sockets: who gets it, in which order, and what is reported back.

use std::time::Duration;

use fred::prelude::*;
use serde_json::json;
use shared::ids::{ConnectionRef, ConversationId, GroupId, UserId};
use shared::publication::{EventHeader, Header, Receipt, Report, ReportedMessages};
use shared::stream::{Internal, InternalReply, MissingMessages};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fake_worker::{FakeWorker, message, message_event, replayed};
use crate::harness::{BRIEFLY, Harness, SOON, redis_url};
use crate::sessions::until_unsubscribed;

pub async fn seqs(client: &mut client::Client, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let event = client.expect("new_message", |_| true, SOON).await.unwrap();
        seqs.push(event["seq"].as_i64().unwrap());
    }
    seqs
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_skips_only_the_excluded_connection() {
    let mut harness = Harness::start(&[]).await;
    let (mut phone, mut laptop, mut other) = (harness.login(1).await, harness.login(1).await, harness.login(2).await);
    // Sent by a user who is not connected, because a sender would be told of the delivery.
    harness.worker.event(1, message(3, 1, 1), message_event(1)).await;
    for client in [&mut phone, &mut laptop] {
        assert_eq!(seqs(client, 1).await, [1]);
    }
    phone.send(json!({"type": "get_user_groups"})).await.unwrap();
    let (envelope, _) = harness.worker.command().await;
    let exclude = |reply_to: ConnectionRef| {
        Header::Event(EventHeader { exclude: Some(reply_to), ..EventHeader::new(Receipt::None) })
    };
    let channel = harness.worker.keys.user_channel(UserId(1));
    harness.worker.publish_to(channel, &exclude(envelope.reply_to), &json!({"type": "message_read"})).await;
    laptop.expect("message_read", |_| true, SOON).await.unwrap();
    phone.expect_none("message_read", |_| true, BRIEFLY).await.unwrap();
    assert!(other.drain().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_subscribed_to_while_anybody_needs_it() {
    let harness = Harness::start(&[]).await;
    let channel = harness.worker.keys.user_channel(UserId(1));
    let (mut phone, mut laptop) = (harness.login(1).await, harness.login(1).await);
    assert_eq!(harness.worker.subscribers(&channel).await, 1);
    phone.close().await;
    harness.worker.event(1, message(2, 1, 1), message_event(1)).await;
    assert_eq!(seqs(&mut laptop, 1).await, [1]);
    laptop.close().await;
    until_unsubscribed(&harness, &channel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_reaches_everybody_but_those_left_out() {
    let harness = Harness::start(&[]).await;
    let (mut alice, mut bob) = (harness.login(1).await, harness.login(2).await);
    let header = EventHeader { exclude_users: vec![UserId(2)], ..EventHeader::new(Receipt::None) };
    let channel = harness.worker.keys.presence_channel();
    harness.worker.publish_to(channel, &Header::Event(header), &json!({"type": "user_online"})).await;
    alice.expect("user_online", |_| true, SOON).await.unwrap();
    bob.expect_none("user_online", |_| true, BRIEFLY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_events_come_before_live_ones_and_none_twice() {
    let mut harness = Harness::start(&[]).await;
    let event = Uuid::from_u128(77);
    harness.worker.rote.lock().replay = [
        vec![replayed(message(2, 1, 1), &message_event(1)), replayed(message(2, 1, 2), &message_event(2))],
        vec![
            replayed(message(2, 1, 3), &message_event(3)),
            replayed(Receipt::Durable { event }, &json!({"type": "message_edited"})),
        ],
    ]
    .into();
    harness.worker.rote.lock().leave = Some("replay");
    let mut client = harness.login(1).await;
    assert_eq!(seqs(&mut client, 2).await, [1, 2]);
    // Live while the second page is on its way; 3 and the edit are also in that page.
    let (request, _) = harness.worker.internal("replay").await;
    for seq in [3, 4] {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
    }
    harness.worker.event(1, Receipt::Durable { event }, json!({"type": "message_edited"})).await;
    // A message sent from the user's other device is not in any replay.
    harness.worker.event(1, message(1, 2, 2), json!({"type": "new_message", "seq": -2})).await;
    client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    let page =
        shared::stream::ReplayPage { events: harness.worker.rote.lock().replay.pop_front().unwrap(), next: None };
    harness.worker.reply(&request, &shared::stream::InternalReply::Replayed(page)).await;
    assert_eq!(seqs(&mut client, 3).await, [3, 4, -2]);
    client.expect("message_edited", |_| true, SOON).await.unwrap();
    client.expect_none("message_edited", |_| true, BRIEFLY).await.unwrap();
    harness.worker.event(1, message(2, 1, 5), message_event(5)).await;
    assert_eq!(seqs(&mut client, 1).await, [5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_the_replay_is_chosen_comes_after_it() {
    let mut harness = Harness::start(&[]).await;
    let group = GroupId(Uuid::new_v4());
    harness.worker.rote.lock().groups = vec![group];
    harness.worker.rote.lock().leave = Some("resume");
    let mut client = harness.connect().open().await.unwrap();
    client.send(json!({"type": "authenticate", "token": crate::harness::token(1)})).await.unwrap();
    let (request, _) = harness.worker.internal("resume").await;
    // The worker looked before these were stored: they are not in a replay, but arrive because the subscriptions
    // already stand.
    harness.worker.event(1, message(2, 1, 2), message_event(2)).await;
    let to_group = Header::Event(EventHeader::new(Receipt::None));
    let channel = harness.worker.keys.group_channel(group);
    harness.worker.publish_to(channel, &to_group, &json!({"type": "new_group_message"})).await;
    client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    let replay = shared::stream::ReplayPage { events: vec![replayed(message(2, 1, 1), &message_event(1))], next: None };
    let auth_success = json!({"type": "auth_success"}).to_string().into_bytes();
    harness.worker.reply(&request, &InternalReply::Resumed { auth_success, replay }).await;
    let mut kinds = Vec::new();
    while kinds.len() < 4 {
        let event = client.next_event(SOON).await.unwrap();
        kinds.push((event["type"].as_str().unwrap().to_owned(), event["seq"].as_i64()));
    }
    let expected =
        [("auth_success", None), ("new_message", Some(1)), ("new_message", Some(2)), ("new_group_message", None)];
    assert_eq!(kinds, expected.map(|(kind, seq)| (kind.to_owned(), seq)));
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_decides_over_a_groups_events_at_once() {
    let mut harness = Harness::start(&[]).await;
    let (old, new) = (GroupId(Uuid::new_v4()), GroupId(Uuid::new_v4()));
    harness.worker.rote.lock().groups = vec![old];
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    let user = harness.worker.keys.user_channel(UserId(1));
    let say = async |group: GroupId, n: i64| {
        let header = Header::Event(EventHeader::new(Receipt::None));
        let channel = harness.worker.keys.group_channel(group);
        harness.worker.publish_to(channel, &header, &json!({"type": "new_group_message", "n": n})).await;
    };
    say(old, 1).await;
    client.expect("new_group_message", |event| event["n"] == 1, SOON).await.unwrap();

    harness.worker.publish_to(user.clone(), &Header::Left { group: old }, &json!(null)).await;
    say(old, 2).await;
    harness.worker.rote.lock().groups = vec![new];
    // What was sent in the new group before the subscription stood arrives through the catch-up.
    harness.worker.rote.lock().replay = [vec![replayed(message(2, 1, 1), &message_event(1))]].into();
    harness.worker.publish_to(user, &Header::Joined { group: new }, &json!(null)).await;
    assert_eq!(seqs(&mut client, 1).await, [1]);
    say(new, 3).await;
    client.expect("new_group_message", |event| event["n"] == 3, SOON).await.unwrap();
    assert!(client.drain().iter().all(|event| event["n"] != 2));
    until_unsubscribed(&harness, &harness.worker.keys.group_channel(old)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_a_group_repeats_nothing_that_is_not_confirmed() {
    // More than a connection remembers with all that it knows of them.
    const EDITS: u128 = 300;
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.connect().open().await.unwrap();
    client.authenticate_with(json!({"token": crate::harness::token(1), "acks": true})).await.unwrap();
    harness.worker.internal("resume").await;
    let edit = |version: u128| (Receipt::Durable { event: Uuid::from_u128(version) }, version);
    for version in 1..=EDITS {
        let (receipt, version) = edit(version);
        harness.worker.event(1, receipt, json!({"type": "message_edited", "v": version})).await;
    }
    client.expect("message_edited", |event| event["v"] == EDITS as u64, SOON).await.unwrap();
    client.drain();
    let mut missed: Vec<_> = (1..=EDITS)
        .map(|version| replayed(edit(version).0, &json!({"type": "message_edited", "v": version})))
        .collect();
    missed.push(replayed(Receipt::Durable { event: Uuid::from_u128(999) }, &json!({"type": "group_created"})));
    harness.worker.rote.lock().replay = [missed].into();
    let user = harness.worker.keys.user_channel(UserId(1));
    harness.worker.publish_to(user, &Header::Joined { group: GroupId(Uuid::new_v4()) }, &json!(null)).await;
    assert_eq!(client.next_event(SOON).await.unwrap()["type"], "group_created");
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_a_group_repeats_nothing_with_a_pending_receipt() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    let edit = |version: u128| (Receipt::Durable { event: Uuid::from_u128(version) }, version);
    for (receipt, version) in [edit(1), edit(2)] {
        harness.worker.event(1, receipt, json!({"type": "message_edited", "v": version})).await;
    }
    for seq in [1, 2] {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
    }
    assert_eq!(seqs(&mut client, 2).await, [1, 2]);
    client.expect("message_edited", |event| event["v"] == 2, SOON).await.unwrap();
    // The worker that chooses the replay knows nothing of this.
    let repeated =
        |(receipt, version): (Receipt, u128)| replayed(receipt, &json!({"type": "message_edited", "v": version}));
    let created = (Receipt::Durable { event: Uuid::from_u128(3) }, json!({"type": "group_created"}));
    harness.worker.rote.lock().replay = [vec![
        replayed(message(2, 1, 1), &message_event(1)),
        replayed(message(2, 1, 2), &message_event(2)),
        replayed(message(2, 1, 3), &message_event(3)),
        repeated(edit(1)),
        repeated(edit(2)),
        replayed(created.0, &created.1),
    ]]
    .into();
    client.drain();
    let user = harness.worker.keys.user_channel(UserId(1));
    harness.worker.publish_to(user, &Header::Joined { group: GroupId(Uuid::new_v4()) }, &json!(null)).await;
    let mut got = Vec::new();
    while got.last().is_none_or(|kind| kind != "group_created") {
        let event = client.next_event(SOON).await.unwrap();
        got.push(event["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(got, ["new_message", "group_created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_hid_the_quoted_message_get_the_reduced_form() {
    let harness = Harness::start(&[]).await;
    let group = GroupId(Uuid::new_v4());
    harness.worker.rote.lock().groups = vec![group];
    let (mut alice, mut bob) = (harness.login(1).await, harness.login(2).await);
    let reduced = json!({"type": "new_group_message"}).to_string();
    let header = Header::ReducedFor {
        users: vec![UserId(2)],
        bytes: reduced.len() as u32,
        event: EventHeader::new(Receipt::None),
    };
    let payload = reduced + r#"{"type": "new_group_message", "replyTo": {"content": "hidden"}}"#;
    let channel = harness.worker.keys.group_channel(group);
    harness.worker.publish_bytes(channel, &header, payload.as_bytes()).await;
    let whole = alice.expect("new_group_message", |_| true, SOON).await.unwrap();
    assert_eq!(whole["replyTo"]["content"], "hidden");
    let reduced = bob.expect("new_group_message", |_| true, SOON).await.unwrap();
    assert_eq!(reduced["replyTo"], json!(null));
    bob.expect_none("new_group_message", |_| true, BRIEFLY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn written_events_are_reported_unless_clients_send_acks() {
    let mut harness = Harness::start(&[("CURSOR_FLUSH_INTERVAL", "500ms")]).await;
    let conversation = ConversationId::direct(UserId(1), UserId(2));
    let event = Uuid::new_v4();
    let mut plain = harness.login(1).await;
    for seq in 1..=3 {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
    }
    harness.worker.event(1, Receipt::Durable { event }, json!({"type": "message_edited"})).await;
    let receipts = harness.worker.receipts().await;
    assert_eq!(receipts[0].user, UserId(1));
    assert_eq!(receipts[0].conversations, [(conversation, 3)]);
    assert_eq!(receipts[0].events, [event]);
    // On a close immediately, without waiting for the interval.
    harness.worker.event(1, message(2, 1, 4), message_event(4)).await;
    seqs(&mut plain, 4).await;
    plain.close().await;
    assert_eq!(harness.worker.receipts().await[0].conversations, [(conversation, 4)]);

    let mut acking = harness.connect().open().await.unwrap();
    let fields = json!({"token": crate::harness::token(2), "acks": true});
    acking.authenticate_with(fields).await.unwrap();
    for seq in [5, 6] {
        harness.worker.event(2, message(1, 2, seq), message_event(seq)).await;
    }
    seqs(&mut acking, 2).await;
    acking.send(json!({"type": "ack", "conversations": {"conv_1_2": 5}})).await.unwrap();
    let receipts = harness.worker.receipts().await;
    assert_eq!((receipts[0].user, &receipts[0].conversations[..]), (UserId(2), &[(conversation, 5)][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed_and_harms_nobody() {
    let harness = Harness::start(&[("OUTBOX_LIMIT", "1MiB")]).await;
    let connect = harness.connect().queue_events(1).recv_buffer_bytes(4096);
    let mut slow = connect.open().await.unwrap();
    slow.authenticate(&crate::harness::token(1)).await.unwrap();
    let mut quick = harness.login(1).await;
    let filler = "x".repeat(50_000);
    for seq in 1..=300 {
        let event = json!({"type": "new_message", "seq": seq, "content": filler});
        harness.worker.event(1, message(2, 1, seq), event).await;
        assert_eq!(seqs(&mut quick, 1).await, [seq]);
    }
    let closed = async {
        while slow.close_info().is_none() {
            slow.drain();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        slow.close_info().unwrap()
    };
    let close = tokio::time::timeout(SOON, closed).await.unwrap();
    assert_eq!(close.code, Some(1013), "{close}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_gateway_answers_commands_in_flight() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    client.send(json!({"type": "get_user_groups"})).await.unwrap();
    let (envelope, _) = harness.worker.command().await;
    harness.worker.event(1, message(2, 1, 1), message_event(1)).await;
    seqs(&mut client, 1).await;
    harness.terminate().await;
    client.expect_none("user_groups", |_| true, BRIEFLY).await.unwrap();
    assert!(client.close_info().is_none());
    harness.worker.answer(&envelope, json!({"type": "user_groups"})).await;
    client.expect("user_groups", |_| true, SOON).await.unwrap();
    assert_eq!(client.wait_closed(SOON).await.unwrap().code, Some(1012));
    assert_eq!(harness.worker.receipts().await[0].conversations.len(), 1);
    harness.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_gateway_sends_its_clients_away_over_a_while() {
    let harness = Harness::start(&[("DRAIN_WINDOW", "2s")]).await;
    let mut clients = Vec::new();
    for user in 1..=20 {
        clients.push(harness.login(user).await);
    }
    let began = Instant::now();
    harness.terminate().await;
    let closing = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            assert_eq!(client.wait_closed(SOON).await.unwrap().code, Some(1012));
            began.elapsed()
        })
    });
    let mut closed = Vec::new();
    for client in closing.collect::<Vec<_>>() {
        closed.push(client.await.unwrap());
    }
    closed.sort();
    // One every 100 ms, the last just before the end. A busy machine is late and never early.
    for (place, after) in closed.iter().enumerate() {
        let early = Duration::from_millis(50 * place as u64).saturating_sub(Duration::from_millis(100));
        assert!(*after >= early, "number {place} was closed after {after:?}: {closed:?}");
    }
    assert!(closed[0] < Duration::from_secs(2), "nobody was closed before the end: {closed:?}");
    harness.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_gateway_empties_its_outboxes_first() {
    // More than the kernel buffers for a client that does not read.
    const COUNT: i64 = 160;
    let harness = Harness::start(&[("OUTBOX_LIMIT", "32MiB")]).await;
    let mut client = harness.connect().queue_events(1).recv_buffer_bytes(4096).open().await.unwrap();
    client.authenticate(&crate::harness::token(1)).await.unwrap();
    let mut quick = harness.login(1).await;
    let filler = "x".repeat(50_000);
    for seq in 1..=COUNT {
        let event = json!({"type": "new_message", "seq": seq, "content": filler});
        harness.worker.event(1, message(2, 1, seq), event).await;
    }
    assert_eq!(seqs(&mut quick, COUNT as usize).await.last(), Some(&COUNT));
    harness.terminate().await;
    assert_eq!(quick.wait_closed(SOON).await.unwrap().code, Some(1012));
    assert_eq!(seqs(&mut client, COUNT as usize).await, (1..=COUNT).collect::<Vec<_>>());
    assert_eq!(client.wait_closed(SOON).await.unwrap().code, Some(1012));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_between_gateways() {
    let mut one = Harness::start(&[]).await;
    let idle = FakeWorker::start(redis_url(), "unused:").await;
    let two = Harness::start_with(idle, &one.prefix, redis_url(), &[]).await;
    two.until_ready().await;
    let (mut alice, mut bob) = (one.login(1).await, two.login(2).await);
    alice.send(json!({"type": "send_message", "recipientId": 2, "content": "x"})).await.unwrap();
    let (envelope, _) = one.worker.command().await;
    for user in [1, 2] {
        one.worker.event(user, message(1, 2, 1), message_event(1)).await;
    }
    one.worker.answer(&envelope, json!({"type": "message_sent"})).await;
    assert_eq!(seqs(&mut bob, 1).await, [1]);
    assert_eq!(seqs(&mut alice, 1).await, [1]);
    alice.expect("message_sent", |_| true, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_messages_are_asked_for_once_and_come_in_order() {
    let mut harness = Harness::start(&[]).await;
    let (mut phone, mut laptop) = (harness.login(1).await, harness.login(1).await);
    harness.worker.rote.lock().leave = Some("missing");
    for seq in [1, 4, 5] {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
    }
    let (request, asked) = harness.worker.internal("missing").await;
    let conversation = ConversationId::direct(UserId(1), UserId(2));
    assert_eq!(asked, Internal::Missing { conversation, from: 2 });
    // A third connection opens meanwhile: its replay holds everything, so it does not wait.
    let mut late = harness.login(1).await;
    // Only what is missing in the answer counts: the user's own message from another device, too, but not what arrived
    // by itself.
    let events = [(2, 2), (3, 1), (4, 2), (5, 2), (6, 2)]
        .map(|(seq, from)| replayed(message(from, 1, seq), &message_event(seq)));
    for client in [&mut phone, &mut laptop] {
        assert_eq!(seqs(client, 1).await, [1]);
        client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    }
    let missing = MissingMessages { events: events.to_vec(), ..MissingMessages::default() };
    harness.worker.reply(&request, &InternalReply::Missing(missing)).await;
    // Repetitions are dropped.
    for seq in [5, 6] {
        harness.worker.event(1, message(2, 1, seq), message_event(seq)).await;
    }
    for client in [&mut phone, &mut laptop] {
        assert_eq!(seqs(client, 5).await, [2, 3, 4, 5, 6]);
        client.expect_none("new_message", |_| true, BRIEFLY).await.unwrap();
    }
    assert_eq!(seqs(&mut late, 1).await, [6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reported_messages_that_never_arrived_are_fetched() {
    let mut harness = Harness::start(&[]).await;
    let mut client = harness.login(1).await;
    harness.worker.internal("resume").await;
    harness.worker.event(1, message(2, 1, 1), message_event(1)).await;
    assert_eq!(seqs(&mut client, 1).await, [1]);
    harness.worker.rote.lock().leave = Some("missing");
    let (redis, channel) = (harness.worker.redis.clone(), harness.worker.keys.report_channel());
    let wire = harness.worker.wire.clone();
    let report = async |seq: i64, other: i64, events: Vec<(UserId, Uuid)>| {
        let messages = vec![ReportedMessages {
            conversation: ConversationId::direct(UserId(1), UserId(other)),
            first: seq,
            last: seq,
            first_age_ms: 0,
            last_age_ms: 0,
        }];
        let payload = postcard::to_stdvec(&Report { messages, events }).unwrap();
        let publication = wire.publication(&channel, &Header::Report, &payload);
        let _: i64 = redis.publish(channel.as_str(), bytes::Bytes::from(publication)).await.unwrap();
    };
    // Nothing is missing, so nothing is requested.
    report(1, 2, vec![(UserId(5), Uuid::nil())]).await;
    report(2, 2, vec![]).await;
    let (request, asked) = harness.worker.internal("missing").await;
    assert!(matches!(asked, Internal::Missing { from: 2, .. }), "{asked:?}");
    let events = vec![replayed(message(2, 1, 2), &message_event(2))];
    let missing = MissingMessages { events, ..MissingMessages::default() };
    harness.worker.reply(&request, &InternalReply::Missing(missing)).await;
    assert_eq!(seqs(&mut client, 1).await, [2]);
    // Nothing of another conversation arrived, nor a certain event: the session catches up.
    for (seq, events) in [(9, vec![]), (2, vec![(UserId(1), Uuid::from_u128(8))])] {
        let other = if seq == 9 { 3 } else { 2 };
        harness.worker.rote.lock().replay = [vec![replayed(message(3, 1, seq + 10), &message_event(seq + 10))]].into();
        report(seq, other, events).await;
        assert_eq!(seqs(&mut client, 1).await, [seq + 10]);
    }
}
