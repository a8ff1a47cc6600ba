//! An attacker who can write to Redis but has no key: entries that they append or replay are not applied, and nothing
//! is lost. Also entries written by another version of the program, which are left for a worker that knows them.

use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use serde_json::json;
use shared::clock::Timestamp;
use shared::ids::{ConversationId, TokenId, UserId};
use shared::redis::dead_letters::DeadLetters;
use shared::redis::keys::Channel;
use shared::stream::{Envelope, FIELD, HttpRequest, Internal, InternalReply, SignIn};
use shared::wire::{Wire, WireFormat};

use crate::harness::{Harness, Prepared};

async fn add(harness: &Harness, stream: &str, entry: Vec<u8>) {
    let _: String = harness.redis.xadd(stream, false, None, "*", vec![(FIELD, Bytes::from(entry))]).await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_added_again_for_another_user_is_not_applied() {
    let harness = Harness::start("forged").await;
    let [alice, bob, eve] = harness.users(["alice", "bob", "eve"]).await;
    harness.send(alice, bob, "a secret").await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    // Unauthenticated: the sealed body of the attacker's own command, under an envelope that names another user.
    let unauthenticated = Wire::new((*harness.keyring).clone(), WireFormat::One);
    let mut prepared = harness.prepare(eve, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    prepared.envelope = Envelope { user: alice, ..prepared.envelope };
    add(&harness, &prepared.stream, unauthenticated.entry("", &prepared.envelope, &prepared.body)).await;
    // An authenticated entry, in a stream that it was not written for.
    let moved = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "moved"}));
    add(&harness, &moved.stream, harness.wire.entry("another stream", &moved.envelope, &moved.body)).await;
    let rejected = async {
        while letters.count().await.unwrap() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rejected).await.expect("both rejected");
    assert_eq!(harness.send(alice, bob, "after").await["seq"], 2, "nothing else was stored");
    // The same entry twice is applied once.
    let prepared = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "once"}));
    harness.append(&prepared).await;
    harness.append(&prepared).await;
    assert_eq!(harness.answer(prepared.envelope.id).await["seq"], 3);
    assert_eq!(harness.send(alice, bob, "last").await["seq"], 4);
}

#[tokio::test]
async fn nothing_overtakes_a_command_of_another_version() {
    let harness = Harness::start("toonew").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let letters = DeadLetters::new(harness.redis.clone(), &harness.keys);
    let mut newer = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "x"}));
    newer.envelope.name = "send_a_hologram".to_owned();
    let deadline = Timestamp::now().plus(Duration::from_secs(2));
    newer.envelope.deadline = deadline;
    harness.append(&newer).await;
    let behind = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "behind"}));
    harness.append(&behind).await;
    assert_eq!(harness.answer(behind.envelope.id).await["seq"], 1);
    assert!(Timestamp::now() > deadline, "it was overtaken");
    assert_eq!(letters.count().await.unwrap(), 1, "and it is kept");
}

/// What somebody kept and adds again when its time is over: of each lane, and whatever it would do.
#[tokio::test]
async fn what_is_added_again_after_its_time_is_not_carried_out() {
    let harness = Harness::start_with("addedlate", &[("BUILTIN_AUTH", "true")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "x").await;
    let late = |mut prepared: Prepared| {
        prepared.envelope.deadline = Timestamp(Timestamp::now().0 - 1);
        prepared
    };
    for command in [
        json!({"type": "send_message", "recipientId": bob, "content": "late"}),
        json!({"type": "add_reaction", "messageId": sent["messageId"], "reaction": "+"}),
        json!({"type": "get_conversations"}),
        json!({"type": "sync", "conversations": {}}),
    ] {
        let prepared = late(harness.prepare(alice, &command));
        harness.append(&prepared).await;
        assert_eq!(harness.answer(prepared.envelope.id).await["code"], "SERVICE_UNAVAILABLE", "{command}");
    }
    let community = json!({"community": {"communityId": "c", "name": "c"}, "members": [{"userId": alice}]});
    let account = json!({"username": "eve", "password": "correct horse battery"});
    for request in [
        HttpRequest::CommunitySync { body: community.to_string().into() },
        HttpRequest::Register { body: account.to_string().into() },
        HttpRequest::Logout { token_id: TokenId("alices".to_owned()), expires_at: Timestamp::now() },
    ] {
        let prepared = late(harness.prepare_internal(UserId(0), Internal::Http(request)));
        harness.append(&prepared).await;
        let is_reply = |published: &crate::harness::Published| {
            published.header == shared::publication::Header::Internal { command: prepared.envelope.id }
        };
        let reply = harness.wait_for("the refusal", is_reply).await;
        let reply = postcard::from_bytes(&reply.payload).unwrap();
        assert!(matches!(reply, InternalReply::Http { status: 503, .. }), "{reply:?}");
    }
    // Nobody is told of a session request that is too late: its gateway has given up.
    let sign_in = SignIn {
        token_id: TokenId("alices".to_owned()),
        expires_at: Timestamp::now().plus(Duration::from_secs(60)),
        user_agent: None,
        address: "192.0.2.1".to_owned(),
    };
    let requests = [Internal::RecordSignIn(sign_in), crate::sessions::resume(1)];
    let mut too_late = Vec::new();
    for request in requests {
        let mut prepared = harness.prepare_internal(alice, request);
        prepared.envelope.deadline = Timestamp(Timestamp::now().0 - 61_000);
        harness.append(&prepared).await;
        too_late.push(shared::publication::Header::Internal { command: prepared.envelope.id });
        let settled = async {
            while harness.redis.xlen::<u64, _>(harness.keys.queries()).await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), settled).await.expect("the entry is not settled");
    }
    // What was published before it has arrived, too.
    harness.internal(alice, Internal::Authenticate { token_id: TokenId("alices".to_owned()) }).await;
    assert!(!harness.published().iter().any(|published| too_late.contains(&published.header)));
    let done = "SELECT (SELECT count(*) FROM private_messages) + (SELECT count(*) FROM message_reactions)
        + (SELECT count(*) FROM communities) + (SELECT count(*) FROM jwt_revocation) + (SELECT count(*) FROM sign_ins)
        + (SELECT count(*) FROM users_auth WHERE username = 'eve')";
    let done: i64 = sqlx::query_scalar(done).fetch_one(&harness.db).await.unwrap();
    assert_eq!(done, 1, "the message from before");
}

#[tokio::test]
async fn an_end_of_typing_that_is_made_up_is_told_to_nobody() {
    let harness = Harness::start("madeup").await;
    let [alice, bob, eve] = harness.users(["alice", "bob", "eve"]).await;
    let typing = harness.keys.typing();
    let conversation = ConversationId::direct(alice, bob);
    let own = harness.wire.member("another set", &format!("{alice}:{conversation}:moved"));
    for member in [format!("{alice}:{conversation}:made up"), own] {
        let _: i64 = harness.redis.zadd(&typing, None, None, false, false, (0.0, member)).await.unwrap();
    }
    let type_to_bob = json!({"type": "typing", "recipientId": bob, "isTyping": true});
    harness.append(&harness.prepare(eve, &type_to_bob)).await;
    // What is over is taken in the order of its end: what was made up was taken before.
    let ends = |published: &crate::harness::Published| {
        let event = published.json();
        published.channel == Channel::User(bob) && event["type"] == "user_typing" && event["isTyping"] == false
    };
    let ended = harness.wait_for("the end of the typing", ends).await;
    assert_eq!(ended.json()["username"], "eve");
    assert_eq!(harness.published().iter().filter(|published| ends(published)).count(), 1);
    assert_eq!(harness.redis.zcard::<i64, _>(&typing).await.unwrap(), 0);
}
