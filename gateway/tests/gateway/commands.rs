//! A command's path into the streams, and the path of its answer back.

use std::time::Duration;

use fred::prelude::*;
use serde_json::json;
use shared::commands::Command;
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::publication::Header;
use shared::stream::{Internal, InternalReply, SyncPosition, SyncRound};
use uuid::Uuid;

use crate::harness::{BRIEFLY, Harness, SOON, token};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_enqueued_sealed_and_its_answer_returned() {
    let mut harness = Harness::start(&[]).await;
    let mut alice = harness.login(1).await;
    alice.send(json!({"type": "send_message", "recipientId": 2, "content": "MARKER", "requestId": "r"})).await.unwrap();
    let (envelope, command) = harness.worker.command().await;
    assert!(matches!(&command, Command::SendPrivateMessage(send) if send.content == "MARKER"));
    assert_eq!((envelope.name.as_str(), envelope.user), ("send_private_message", UserId(1)));
    let hint = ConversationId::direct(UserId(1), UserId(2)).route_hint();
    assert_eq!(u16::from_be_bytes(envelope.id.as_bytes()[14..].try_into().unwrap()), hint);

    harness.worker.answer(&envelope, json!({"type": "message_sent", "seq": 1})).await;
    let answer = alice.expect("message_sent", |_| true, SOON).await.unwrap();
    assert_eq!(answer["requestId"], "r");
    // A second answer to the same command goes to no client.
    harness.worker.answer(&envelope, json!({"type": "message_sent", "seq": 1})).await;
    alice.expect_none("message_sent", |_| true, BRIEFLY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_connection_sends_stays_in_order() {
    let mut harness = Harness::start(&[("MESSAGE_RATE_LIMIT", "100000")]).await;
    let alice = harness.login(1).await;
    for number in 0..500 {
        let command = json!({"type": "send_message", "recipientId": 2, "content": number.to_string()});
        alice.send(command).await.unwrap();
        if number % 100 == 99 {
            // More than may be in flight: the gateway stops reading until these are answered.
            for expected in number - 99..=number {
                let (envelope, command) = harness.worker.command().await;
                let Command::SendPrivateMessage(send) = command else { panic!("{command:?}") };
                assert_eq!(send.content, expected.to_string());
                harness.worker.answer(&envelope, json!({"type": "message_sent"})).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_commands_than_may_be_in_flight_wait_in_the_socket() {
    let mut harness = Harness::start(&[("MAX_IN_FLIGHT", "2"), ("MESSAGE_RATE_LIMIT", "100000")]).await;
    let mut alice = harness.login(1).await;
    for number in 0..2 {
        alice.send(json!({"type": "get_user_groups", "requestId": number})).await.unwrap();
    }
    let (first, _) = harness.worker.command().await;
    harness.worker.command().await;
    alice.send(json!({"type": "ping"})).await.unwrap();
    alice.expect_none("pong", |_| true, BRIEFLY).await.unwrap();
    harness.worker.answer(&first, json!({"type": "user_groups"})).await;
    alice.expect("pong", |_| true, SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_overtakes_the_lookup_of_a_held_id() {
    let mut harness = Harness::start(&[]).await;
    harness.worker.rote.lock().leave = Some("held_conversation");
    let mut alice = harness.login(1).await;
    let conversation = ConversationId::direct(UserId(1), UserId(2));
    let page = |number: u64| json!({"type": "get_private_messages", "conversationId": "conv_user-1_user-2", "requestId": number});
    for (number, found) in [(1, Some(conversation)), (2, None)] {
        alice.send(page(number)).await.unwrap();
        alice.send(json!({"type": "ping"})).await.unwrap();
        let (envelope, asked) = harness.worker.internal("held_conversation").await;
        assert_eq!(asked, Internal::HeldConversation { held: "conv_user-1_user-2".to_owned() });
        alice.expect_none("pong", |_| true, BRIEFLY).await.unwrap();
        harness.worker.reply(&envelope, &InternalReply::HeldConversation(found)).await;
        match found {
            Some(conversation) => {
                let (envelope, command) = harness.worker.command().await;
                let Command::GetPrivateMessages(get) = command else { panic!("{command:?}") };
                assert_eq!(get.conversation, conversation);
                harness.worker.answer(&envelope, json!({"type": "private_messages"})).await;
            }
            None => {
                let error = alice.expect("error", |_| true, SOON).await.unwrap();
                assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!("conversationId")));
                assert_eq!(error["requestId"], number);
            }
        }
        alice.expect("pong", |_| true, SOON).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_id_of_the_original_is_looked_up() {
    let mut harness = Harness::start(&[]).await;
    harness.worker.rote.lock().leave = Some("held_conversation");
    let mut alice = harness.login(1).await;
    let direct = ConversationId::direct(UserId(1), UserId(2));
    let group = GroupId(Uuid::from_u128(7));
    for found in [None, Some(direct), Some(ConversationId::Group(group))] {
        alice.send(json!({"type": "get_group_messages", "groupId": "general"})).await.unwrap();
        let (envelope, asked) = harness.worker.internal("held_conversation").await;
        assert_eq!(asked, Internal::HeldConversation { held: "general".to_owned() });
        harness.worker.reply(&envelope, &InternalReply::HeldConversation(found)).await;
        if found == Some(ConversationId::Group(group)) {
            let (_, command) = harness.worker.command().await;
            assert!(matches!(command, Command::GetGroupMessages(get) if get.group == group));
        } else {
            let error = alice.expect("error", |_| true, SOON).await.unwrap();
            assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!("groupId")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_messages_are_looked_up_one_after_another() {
    let mut harness = Harness::start(&[]).await;
    let mut alice = harness.login(1).await;
    let conversation = ConversationId::direct(UserId(1), UserId(2));
    let message = MessageId(Uuid::from_u128(7));
    alice
        .send(json!({"type": "mark_message_read", "messageId": "draft 17", "conversationId": "dm-1-2"}))
        .await
        .unwrap();
    let (envelope, asked) = harness.worker.internal("held_conversation").await;
    assert_eq!(asked, Internal::HeldConversation { held: "dm-1-2".to_owned() });
    harness.worker.reply(&envelope, &InternalReply::HeldConversation(Some(conversation))).await;
    let (envelope, asked) = harness.worker.internal("held_message").await;
    assert_eq!(asked, Internal::HeldMessage { held: "draft 17".to_owned() });
    harness.worker.reply(&envelope, &InternalReply::HeldMessage(Some(message))).await;
    let (envelope, command) = harness.worker.command().await;
    let Command::MarkMessageRead(read) = command else { panic!("{command:?}") };
    assert_eq!((read.message, read.conversation), (message, Some(conversation)));
    harness.worker.answer(&envelope, json!({"type": "message_read"})).await;
    alice.expect("message_read", |_| true, SOON).await.unwrap();
    // Either name of a field, and what cannot be an id of anybody's is not asked for.
    alice.send(json!({"type": "send_message", "recipientId": 2, "content": "x", "replyTo": "draft 18"})).await.unwrap();
    let (envelope, _) = harness.worker.internal("held_message").await;
    harness.worker.reply(&envelope, &InternalReply::HeldMessage(Some(message))).await;
    let (_, command) = harness.worker.command().await;
    assert!(matches!(command, Command::SendPrivateMessage(send) if send.reply_to == Some(message)));
    for (field, id) in
        [("messageId", "draft\0".to_owned()), ("messageId", "x".repeat(256)), ("conversationId", "dm\0".to_owned())]
    {
        let mut command = json!({"type": "mark_message_read", "messageId": message});
        command[field] = json!(id);
        let error = alice.request(command).await.unwrap();
        assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!(field)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_ids_of_conversations_are_looked_up_together() {
    let mut harness = Harness::start(&[]).await;
    let mut alice = harness.connect().open().await.unwrap();
    alice.authenticate_with(json!({"token": token(1), "acks": true})).await.unwrap();
    let (direct, group) = (ConversationId::direct(UserId(1), UserId(2)), GroupId(Uuid::from_u128(7)));
    let known = ConversationId::direct(UserId(1), UserId(3));
    let conversations = json!({"dm-1-2": 5, "general": 6, "conv_1_3": 7});
    let all = [(direct, 5), (ConversationId::Group(group), 6), (known, 7)];
    let found = [("dm-1-2", Some(direct)), ("general", Some(ConversationId::Group(group)))];
    for kind in ["sync", "ack"] {
        alice.send(json!({"type": kind, "conversations": conversations})).await.unwrap();
        let (envelope, asked) = harness.worker.internal("held_conversation").await;
        let Internal::HeldConversations { held } = asked else { panic!("{asked:?}") };
        let found = |held: &String| found.iter().find(|(name, _)| name == held).and_then(|(_, found)| *found);
        assert_eq!(held.len(), 2, "{held:?}");
        let reply = InternalReply::HeldConversations(held.iter().map(found).collect());
        harness.worker.reply(&envelope, &reply).await;
        let mut positions = match kind {
            "sync" => {
                let (envelope, command) = harness.worker.command().await;
                let Command::Sync(sync) = command else { panic!("{command:?}") };
                harness.worker.answer(&envelope, json!({"type": "sync_complete"})).await;
                sync.conversations
            }
            _ => harness.worker.receipts().await.into_iter().flat_map(|receipts| receipts.conversations).collect(),
        };
        positions.sort_unstable_by_key(|(_, seq)| *seq);
        assert_eq!(positions, all, "{kind}");
    }
    // One that stands for nothing spoils the whole.
    alice.send(json!({"type": "sync", "conversations": {"dm-1-2": 5, "nothing": 6}})).await.unwrap();
    let (envelope, asked) = harness.worker.internal("held_conversation").await;
    let Internal::HeldConversations { held } = asked else { panic!("{asked:?}") };
    let found = |held: &String| (held == "dm-1-2").then_some(direct);
    let reply = InternalReply::HeldConversations(held.iter().map(found).collect());
    harness.worker.reply(&envelope, &reply).await;
    let error = alice.expect("error", |_| true, SOON).await.unwrap();
    assert_eq!((&error["code"], &error["field"]), (&json!("VALIDATION_ERROR"), &json!("conversations")));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_commands_have_a_limit_ten_times_as_high() {
    let mut harness = Harness::start(&[("MESSAGE_RATE_LIMIT", "2")]).await;
    let (mut phone, laptop) = (harness.login(1).await, harness.login(1).await);
    for number in 0..20 {
        let client = if number % 2 == 0 { &phone } else { &laptop };
        let message = "msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b";
        client.send(json!({"type": "add_reaction", "messageId": message, "reaction": "x"})).await.unwrap();
        harness.worker.command().await;
    }
    let refused = phone.request(json!({"type": "get_user_groups"})).await.unwrap();
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("RATE_LIMIT_EXCEEDED")));
    assert!(refused["retryAfter"].as_u64().is_some_and(|seconds| (1..=60).contains(&seconds)), "{refused}");
    // Messages and other users have separate counts.
    phone.send(json!({"type": "send_message", "recipientId": 2, "content": "x"})).await.unwrap();
    assert!(matches!(harness.worker.command().await.1, Command::SendPrivateMessage(_)));
    let other = harness.login(2).await;
    other.send(json!({"type": "get_online_users"})).await.unwrap();
    harness.worker.command().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_over_the_rate_limit_is_rejected_without_asking_redis() {
    let mut harness = Harness::start(&[("MESSAGE_RATE_LIMIT", "1")]).await;
    let (mut phone, mut laptop) = (harness.login(1).await, harness.login(1).await);
    let send = json!({"type": "send_message", "recipientId": 2, "content": "x"});
    phone.send(send.clone()).await.unwrap();
    harness.worker.command().await;
    assert_eq!(phone.request(send.clone()).await.unwrap()["code"], "RATE_LIMIT_EXCEEDED");
    let _: () = harness.worker.redis.del(harness.worker.keys.message_rate(UserId(1))).await.unwrap();
    let refused = laptop.request(send).await.unwrap();
    assert_eq!(refused["code"], "RATE_LIMIT_EXCEEDED", "Redis has forgotten, and would accept it");
    assert!(refused["retryAfter"].as_u64().is_some_and(|seconds| (50..=60).contains(&seconds)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_limit_counts_only_messages_on_all_connections() {
    let mut harness = Harness::start(&[("MESSAGE_RATE_LIMIT", "2")]).await;
    let (mut phone, laptop) = (harness.login(1).await, harness.login(1).await);
    let send = json!({"type": "send_message", "recipientId": 2, "content": "x"});
    for client in [&phone, &laptop] {
        client.send(send.clone()).await.unwrap();
        harness.worker.command().await;
    }
    let refused = phone.request(send).await.unwrap();
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("RATE_LIMIT_EXCEEDED")));
    let retry_after = refused["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    phone.send(json!({"type": "typing", "recipientId": 2, "isTyping": true})).await.unwrap();
    assert!(matches!(harness.worker.command().await.1, Command::Typing(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_parts_ends_with_its_last() {
    let mut harness = Harness::start(&[]).await;
    let mut alice = harness.login(1).await;
    alice.send(json!({"type": "sync", "conversations": {"conv_1_2": 0}})).await.unwrap();
    let (envelope, _) = harness.worker.command().await;
    let channel = harness.worker.keys.gateway_channel(envelope.reply_to.gateway);
    let part = Header::AnswerPart { connection: envelope.reply_to.connection, command: envelope.id };
    for _ in 0..2 {
        harness.worker.publish_to(channel.clone(), &part, &json!({"type": "sync_messages"})).await;
    }
    harness.worker.answer(&envelope, json!({"type": "sync_complete"})).await;
    harness.worker.publish_to(channel, &part, &json!({"type": "sync_messages"})).await;
    alice.expect("sync_complete", |_| true, SOON).await.unwrap();
    let parts = alice.drain();
    assert_eq!(parts.len(), 2, "{parts:?}");
    alice.expect_none("sync_messages", |_| true, BRIEFLY).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_goes_on_when_what_came_of_it_is_taken() {
    let mut harness = Harness::start(&[("COMMAND_TIMEOUT", "2s")]).await;
    let mut alice = harness.login(1).await;
    let known = json!({"conv_1_2": {"seq": 3, "version": 9}, "conv_1_3": 5});
    alice.send(json!({"type": "sync", "requestId": "s", "conversations": known})).await.unwrap();
    let (envelope, command) = harness.worker.command().await;
    let Command::Sync(sync) = command else { panic!("a sync, not {command:?}") };
    assert_eq!(sync.versions.len(), 1);
    let channel = harness.worker.keys.gateway_channel(envelope.reply_to.gateway);
    let (connection, command) = (envelope.reply_to.connection, envelope.id);
    let part = Header::AnswerPart { connection, command };
    let position = |seq| SyncPosition {
        conversation: ConversationId::direct(UserId(1), UserId(3)),
        seq,
        version: Some(4),
        hidden_after: 0,
    };
    for seq in [6, 7] {
        let round = SyncRound { positions: vec![position(seq)], is_first: false };
        harness.worker.publish_to(channel.clone(), &part, &json!({"type": "sync_messages"})).await;
        let payload = postcard::to_stdvec(&round).unwrap();
        let header = Header::AnswerContinues { connection, command };
        harness.worker.publish_bytes(channel.clone(), &header, &payload).await;
        let (next, body) = harness.worker.command().await;
        assert_eq!((next.id, next.request_id, next.user), (envelope.id, envelope.request_id.clone(), envelope.user));
        let Command::Sync(rest) = body else { panic!("a sync, not {body:?}") };
        assert_eq!(rest.into_round().positions, round.positions);
    }
    harness.worker.answer(&envelope, json!({"type": "sync_complete"})).await;
    alice.expect("sync_complete", |_| true, SOON).await.unwrap();
    assert_eq!(alice.drain().len(), 2);
    // A round without an answer gets an error, like any command.
    alice.send(json!({"type": "sync", "requestId": "t", "conversations": {}})).await.unwrap();
    alice.expect("error", |error| error["code"] == "SERVICE_UNAVAILABLE", SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_answered_for() {
    let mut harness = Harness::start(&[("COMMAND_TIMEOUT", "100ms")]).await;
    let mut alice = harness.login(1).await;
    alice.send(json!({"type": "typing", "recipientId": 2, "isTyping": true})).await.unwrap();
    let answer = alice.request(json!({"type": "get_user_groups"})).await.unwrap();
    assert_eq!(answer["code"], "SERVICE_UNAVAILABLE");
    assert!(answer["retryAfter"].is_u64());
    assert_eq!(answer["requestType"], "get_user_groups");
    let (typing, _) = harness.worker.command().await;
    assert_eq!(typing.name, "typing");
    // `typing` is never answered, not even late.
    assert!(alice.drain().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_with_a_backlog_rejects_at_once_and_others_do_not() {
    let mut harness = Harness::start(&[("BACKLOG_LIMIT", "1"), ("BACKLOG_MAX_AGE", "10m")]).await;
    let mut alice = harness.login(1).await;
    harness.worker.rote.lock().keep = true;
    let send = json!({"type": "send_message", "recipientId": 2, "content": "x", "requestId": 1});
    for _ in 0..2 {
        alice.send(send.clone()).await.unwrap();
        harness.worker.command().await;
    }
    let refused = async {
        loop {
            alice.send(send.clone()).await.unwrap();
            if let Ok(error) = alice.expect("error", |_| true, Duration::from_millis(100)).await {
                return error;
            }
        }
    };
    let refused = tokio::time::timeout(SOON, refused).await.unwrap();
    assert_eq!(refused["code"], "SERVICE_UNAVAILABLE");
    assert!(refused["retryAfter"].as_u64().unwrap() >= 1);
    alice.send(json!({"type": "get_user_groups"})).await.unwrap();
    while !matches!(harness.worker.command().await.1, Command::GetUserGroups(_)) {}
}
