//! The hook before send: a real HTTP server that allows, rejects and changes messages, and behaves badly.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use devstack::{Post, Receiver, Reply};
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::{ConnectionId, ConnectionRef, UserId};
use shared::redis::keys::Channel;
use shared::webhooks::{WebhookSecret, signatures};
use tokio::time::Instant;

use crate::harness::{DEADLINE, Harness, Prepared};

const SECRETS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn start(label: &str, settings: &[(&str, &str)]) -> (Harness, Receiver) {
    let receiver = Receiver::start().unwrap();
    receiver.behave(|_| answer(json!({"action": "allow"})));
    let url = receiver.url();
    let own = [
        ("BEFORE_SEND_URL", url.as_str()),
        ("BEFORE_SEND_SECRETS", SECRETS),
        ("BEFORE_SEND_TIMEOUT", "500ms"),
        ("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
    ];
    let settings: Vec<(&str, &str)> = own.iter().chain(settings).copied().collect();
    (Harness::start_with(label, &settings).await, receiver)
}

fn json_of(post: &Post) -> Value {
    serde_json::from_str(&post.body).unwrap()
}

fn content_of(post: &Post) -> String {
    json_of(post)["data"]["content"].as_str().unwrap().to_owned()
}

fn answer(answer: Value) -> Reply {
    Reply::Json(answer.to_string())
}

fn message(to: UserId, content: &str) -> Value {
    json!({"type": "send_private_message", "recipientId": to, "content": content})
}

async fn history(harness: &Harness, user: UserId, other: UserId) -> Vec<Value> {
    let page = json!({"type": "get_private_messages", "recipientId": other});
    let page = harness.expect(user, page, "private_messages").await;
    page["messages"].as_array().unwrap().clone()
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_hook_is_asked_with_the_message_and_signed() {
    let (harness, receiver) = start("hookasked", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let mut send = message(bob, "hello");
    send["metadata"] = json!({"a": 1});
    send["clientMessageId"] = json!("c-1");
    let sent = harness.expect(alice, send, "message_sent").await;
    let asked = receiver.taken();
    assert_eq!(asked.len(), 1);
    let question = json_of(&asked[0]);
    let id = sent["messageId"].as_str().unwrap();
    assert_eq!(question["type"], "message.sending");
    assert_eq!(
        question["data"],
        json!({
            "messageId": id, "conversationId": sent["conversationId"], "senderId": alice, "recipientId": bob,
            "kind": "text", "content": "hello", "metadata": {"a": 1}, "clientMessageId": "c-1",
        })
    );
    let secrets = WebhookSecret::parse_pair(SECRETS).unwrap();
    let (header, at) = (asked[0].header("webhook-id"), asked[0].header("webhook-timestamp").parse().unwrap());
    assert_eq!(question["id"], header);
    assert_eq!(asked[0].header("webhook-signature"), signatures(&secrets, header, at, asked[0].body.as_bytes()));

    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob]});
    let group = harness.expect(alice, create, "group_created").await["groupId"].clone();
    let announce = json!({"type": "send_announcement", "groupId": group, "content": "to all"});
    harness.expect(alice, announce, "announcement_sent").await;
    let data = json_of(&receiver.taken()[1])["data"].clone();
    assert_eq!((&data["groupId"], &data["kind"], data.get("recipientId")), (&group, &json!("announcement"), None));
}

#[tokio::test]
async fn a_hook_allows_rejects_and_changes() {
    let (harness, receiver) = start("hookdecides", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    receiver.behave(|post| match content_of(post).as_str() {
        "bad" => answer(json!({"action": "reject", "reason": "be kind"})),
        "secret" => answer(json!({"action": "change", "content": "***", "metadata": {"masked": true}})),
        "bare" => answer(json!({"action": "change", "metadata": null})),
        "quiet" => Reply::Status(204),
        _ => answer(json!({"action": "allow"})),
    });
    let rejected = harness.refused(alice, message(bob, "bad"), "MESSAGE_REJECTED").await;
    assert_eq!((&rejected["details"], &rejected["message"]), (&json!("be kind"), &json!("be kind")));
    for content in ["good", "secret", "quiet"] {
        harness.send(alice, bob, content).await;
    }
    let mut bare = message(bob, "bare");
    bare["metadata"] = json!({"a": 1});
    harness.expect(alice, bare, "message_sent").await;
    let stored = history(&harness, bob, alice).await;
    assert_eq!(contents(&stored), ["good", "***", "quiet", "bare"]);
    assert_eq!(stored[1]["metadata"], json!({"masked": true}));
    assert_eq!(stored[3].get("metadata"), None);
    let live = harness.events(Channel::User(bob), "new_message");
    assert_eq!(contents(&live), ["good", "***", "quiet", "bare"]);
    // Numbers have no gap where a message was rejected.
    assert_eq!(stored.iter().map(|message| message["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn edits_are_asked_about_and_what_the_backend_sends_is_not() {
    let (harness, receiver) = start("hookedits", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let sent = harness.send(alice, bob, "first").await;
    receiver.behave(|post| {
        assert_eq!(json_of(post)["type"], "message.editing");
        match content_of(post).as_str() {
            "bad" => answer(json!({"action": "reject", "reason": "no"})),
            _ => answer(json!({"action": "change", "content": "masked", "metadata": {"m": 1}})),
        }
    });
    let edit = |content: &str| json!({"type": "edit_message", "messageId": sent["messageId"], "content": content});
    harness.refused(alice, edit("bad"), "MESSAGE_REJECTED").await;
    let edited = harness.expect(alice, edit("rude"), "message_edited").await;
    assert_eq!((&edited["content"], &edited["metadata"]), (&json!("masked"), &json!({"m": 1})));
    let data = json_of(receiver.taken().last().unwrap())["data"].clone();
    assert_eq!((&data["messageId"], &data["recipientId"]), (&sent["messageId"], &json!(bob)));
    assert_eq!(contents(&history(&harness, bob, alice).await), ["masked"]);

    // Nobody is asked about what is none of the caller's business, nor about what the backend itself sends.
    let before = receiver.posts();
    harness.refused(bob, edit("not mine"), "PERMISSION_DENIED").await;
    let mut prepared = harness.prepare(alice, &message(bob, "bad"));
    prepared.envelope.reply_to = ConnectionRef { connection: ConnectionId(0), ..prepared.envelope.reply_to };
    harness.append(&prepared).await;
    harness.until("SELECT count(*) = 2 FROM private_messages").await;
    assert_eq!(receiver.posts(), before);
}

/// The ways in which a hook fails to answer.
fn failures(elsewhere: &Receiver) -> Vec<(&'static str, Reply)> {
    vec![
        ("hangs", Reply::Hang),
        ("fails", Reply::Status(500)),
        ("closes", Reply::Close),
        ("redirects", Reply::Redirect(elsewhere.url())),
        ("floods", Reply::Flood),
        ("says nonsense", Reply::Json("ok".to_owned())),
        ("says too little", answer(json!({"action": "change", "content": " "}))),
        ("says too much", answer(json!({"action": "change", "content": "x".repeat(5001)}))),
    ]
}

#[tokio::test]
async fn a_hook_that_fails_lets_messages_through_or_not_as_set() {
    for (policy, expected) in [("allow", "message_sent"), ("reject", "error")] {
        let elsewhere = Receiver::start().unwrap();
        for (name, reply) in failures(&elsewhere) {
            let (harness, receiver) = start("hookfails", &[("BEFORE_SEND_ON_FAILURE", policy)]).await;
            let [alice, bob] = harness.users(["alice", "bob"]).await;
            receiver.behave(move |_| reply.clone());
            let began = Instant::now();
            let answered = harness.expect(alice, message(bob, "hello"), expected).await;
            assert!(began.elapsed() < Duration::from_secs(5), "{name}: {:?}", began.elapsed());
            if policy == "reject" {
                assert_eq!(answered["code"], "SERVICE_UNAVAILABLE", "{name}");
                assert!(answered["retryAfter"].as_i64() > Some(0), "{name}");
            }
        }
        assert_eq!(elsewhere.posts(), 0, "redirections are not followed");
    }
}

#[tokio::test]
async fn a_dead_hook_does_not_cost_every_message_its_timeout() {
    let (harness, receiver) = start("hookdown", &[("BEFORE_SEND_TIMEOUT", "300ms")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    receiver.behave(|_| Reply::Hang);
    for n in 0..5 {
        harness.send(alice, bob, &format!("{n}")).await;
    }
    let (asked, began) = (receiver.posts(), Instant::now());
    for n in 5..25 {
        harness.send(alice, bob, &format!("{n}")).await;
    }
    // One of them may have found out whether it is back.
    assert!(receiver.posts() <= asked + 1, "{} questions to a hook that is down", receiver.posts() - asked);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let why: Option<String> =
        fred::prelude::KeysInterface::get(&harness.redis, harness.keys.before_send_down()).await.unwrap();
    assert!(why.is_some_and(|why| why.contains("no answer")));

    receiver.behave(|_| answer(json!({"action": "reject"})));
    let deadline = Instant::now() + DEADLINE;
    while harness.command(alice, message(bob, "x")).await["type"] == "message_sent" {
        assert!(Instant::now() < deadline, "it is asked again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let why: Option<String> =
        fred::prelude::KeysInterface::get(&harness.redis, harness.keys.before_send_down()).await.unwrap();
    assert_eq!(why, None);
}

#[tokio::test]
async fn a_slow_answer_holds_up_its_conversation_and_no_other() {
    // All conversations share a pipeline.
    let (harness, receiver) = start("hookslow", &[("BEFORE_SEND_TIMEOUT", "5s"), ("WORKER_PIPELINES", "1")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    // The first message of the conversation is answered last.
    receiver.behave(|post| match content_of(post).as_str() {
        "0" => Reply::After(Duration::from_secs(4), Box::new(answer(json!({"action": "allow"})))),
        _ => answer(json!({"action": "allow"})),
    });
    let mut waiting = Vec::new();
    for n in 0..4 {
        let prepared = harness.prepare(alice, &message(bob, &format!("{n}")));
        harness.append(&prepared).await;
        waiting.push(prepared.envelope.id);
    }
    for n in 10..30 {
        harness.send(alice, carol, &format!("{n}")).await;
        harness.send(carol, alice, &format!("{n}")).await;
    }
    assert!(!harness.was_answered(waiting[0]), "the others did not wait for it");
    assert!(!harness.was_answered(waiting[1]), "it waits for the one before it");
    for id in waiting {
        assert_eq!(harness.answer(id).await["type"], "message_sent");
    }
    assert_eq!(contents(&history(&harness, bob, alice).await), ["0", "1", "2", "3"]);
    assert_eq!(contents(&harness.events(Channel::User(bob), "new_message")), ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_held_message_goes_on_as_soon_as_the_hook_answers() {
    // A read lasts as long as the interval unless something comes.
    let settings =
        [("LEASE_INTERVAL", "10s"), ("LEASE_TTL", "50s"), ("BEFORE_SEND_TIMEOUT", "5s"), ("WORKER_PIPELINES", "1")];
    let (harness, receiver) = start("hookprompt", &settings).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    receiver.behave(|post| match content_of(post).as_str() {
        "slow" => Reply::After(Duration::from_secs(1), Box::new(answer(json!({"action": "allow"})))),
        _ => answer(json!({"action": "allow"})),
    });
    let began = Instant::now();
    for n in 0..3 {
        harness.send(alice, bob, &format!("{n}")).await;
    }
    // One that waits longer than a later one of another conversation, and one behind it.
    let mut waiting = Vec::new();
    for (to, content) in [(bob, "slow"), (bob, "behind"), (carol, "other")] {
        let prepared = harness.prepare(alice, &message(to, content));
        harness.append(&prepared).await;
        waiting.push(prepared.envelope.id);
    }
    assert_eq!(harness.answer(waiting[2]).await["type"], "message_sent");
    assert!(!harness.was_answered(waiting[0]));
    for id in waiting {
        assert_eq!(harness.answer(id).await["type"], "message_sent");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(contents(&history(&harness, bob, alice).await), ["0", "1", "2", "slow", "behind"]);
}

#[tokio::test]
async fn a_message_delivered_again_is_shown_as_it_is_stored() {
    let (harness, receiver) = start("hookagain", &[]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    receiver.behave(|_| answer(json!({"action": "change", "content": "masked"})));
    let prepared = harness.prepare(alice, &message(bob, "rude"));
    harness.append(&prepared).await;
    harness.answer(prepared.envelope.id).await;
    // As after a worker that died before it settled; meanwhile the hook has changed its mind.
    for decision in
        [json!({"action": "reject"}), json!({"action": "allow"}), json!({"action": "change", "content": "else"})]
    {
        receiver.behave(move |_| answer(decision.clone()));
        let known = harness.events(Channel::User(bob), "new_message").len();
        harness.append(&prepared).await;
        let fits = |_: &crate::harness::Published| harness.events(Channel::User(bob), "new_message").len() > known;
        harness.wait_for("the message once more", fits).await;
    }
    // The same question each time.
    let ids: HashSet<String> = receiver.taken().iter().map(|post| post.header("webhook-id").to_owned()).collect();
    assert_eq!((receiver.posts(), ids.len()), (4, 1));
    let told = harness.events(Channel::User(bob), "new_message");
    assert!(contents(&told).iter().all(|content| *content == "masked"), "{told:#?}");
    assert_eq!(contents(&history(&harness, bob, alice).await), ["masked"]);
    // The same for an edit.
    let edit = json!({"type": "edit_message", "messageId": told[0]["messageId"], "content": "ruder"});
    let prepared = harness.prepare(alice, &edit);
    harness.append(&prepared).await;
    harness.answer(prepared.envelope.id).await;
    receiver.behave(|_| answer(json!({"action": "reject"})));
    let known = harness.events(Channel::User(bob), "message_edited").len();
    harness.append(&prepared).await;
    let fits = |_: &crate::harness::Published| harness.events(Channel::User(bob), "message_edited").len() > known;
    harness.wait_for("the edit once more", fits).await;
}

/// A worker that asks two questions at a time, and twenty messages that it has to ask about.
async fn start_busy(label: &str, timeout: &str) -> (Harness, Receiver, Vec<Prepared>) {
    let settings =
        [("BEFORE_SEND_CONCURRENCY", "2"), ("BEFORE_SEND_TIMEOUT", timeout), ("BEFORE_SEND_ON_FAILURE", "reject")];
    let (harness, receiver) = start(label, &settings).await;
    let alice = harness.user("alice").await;
    let mut sent = Vec::new();
    for n in 0..20 {
        let other = harness.user(&format!("other{n}")).await;
        sent.push(harness.prepare(alice, &message(other, "x")));
    }
    (harness, receiver, sent)
}

#[tokio::test]
async fn more_questions_than_allowed_wait_within_their_time() {
    let (harness, receiver, sent) = start_busy("hookbusy", "1s").await;
    receiver.behave(|_| Reply::After(Duration::from_millis(300), Box::new(answer(json!({"action": "allow"})))));
    let began = Timestamp::now();
    for prepared in &sent {
        harness.append(prepared).await;
    }
    let mut kinds = Vec::new();
    for prepared in &sent {
        kinds.push(harness.answer(prepared.envelope.id).await["type"].as_str().unwrap().to_owned());
    }
    assert!(Timestamp::now().since(began) < Duration::from_secs(5));
    let through = kinds.iter().filter(|kind| *kind == "message_sent").count();
    // About six, if all are asked about at the same moment.
    assert!((2..20).contains(&through), "{through} within a second, two at a time: {kinds:?}");
}

#[tokio::test]
async fn no_more_questions_than_allowed_are_asked_at_a_time() {
    let (harness, receiver, sent) = start_busy("hooktwo", "5s").await;
    let (asked, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    receiver.behave(move |_| {
        seen.fetch_max(asked.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        asked.fetch_sub(1, Ordering::SeqCst);
        answer(json!({"action": "allow"}))
    });
    for prepared in &sent {
        harness.append(prepared).await;
    }
    for prepared in &sent {
        assert_eq!(harness.answer(prepared.envelope.id).await["type"], "message_sent");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}
