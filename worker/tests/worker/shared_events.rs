//! Events for all participants of a conversation: stored once, and replayed in the conversation's order until they were
//! received.

use std::time::Duration;

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::{GroupId, UserId};
use shared::publication::Receipt;
use shared::stream::{Internal, InternalReply, Receipts, ReplayPage};
use uuid::Uuid;

use crate::groups::{command, create, text};
use crate::harness::Harness;
use crate::messages::{group as group_of, say};
use crate::sessions::resumed;

fn react(message: &Value, reaction: &str) -> Value {
    json!({"type": "add_group_reaction", "messageId": message, "reaction": reaction})
}

/// Sets a different reaction each time, starting with `first`.
async fn react_often(harness: &Harness, user: UserId, message: &Value, numbers: std::ops::Range<usize>) {
    for number in numbers {
        harness.expect(user, react(message, &number.to_string()), "group_reaction_added").await;
    }
}

/// One word for each event: the reaction, the content, or the type.
fn words(page: &ReplayPage) -> Vec<String> {
    let word = |json: &[u8]| {
        let event: Value = serde_json::from_slice(json).unwrap();
        let known = ["reaction", "content"].iter().find_map(|field| event[field].as_str());
        known.or(event["type"].as_str()).unwrap().to_owned()
    };
    page.events.iter().map(|event| word(&event.json)).collect()
}

pub fn event_ids(page: &ReplayPage) -> Vec<Uuid> {
    let id = |receipt: &Receipt| match receipt {
        Receipt::Durable { event } => Some(*event),
        _ => None,
    };
    page.events.iter().filter_map(|event| id(&event.receipt)).collect()
}

async fn replayed(harness: &Harness, user: UserId) -> Vec<String> {
    words(&resumed(harness, user, 1).await.1)
}

/// Makes the user receive these events, and waits until that is recorded.
pub async fn receive(harness: &Harness, user: UserId, events: &[Uuid]) {
    let receipts = Receipts { user, conversations: vec![], events: events.to_vec() };
    harness.append(&harness.prepare_internal(user, Internal::RecordReceipts { receipts: vec![receipts] })).await;
    let mut due = "SELECT count(*) = 0 FROM due_events WHERE user_id = ".to_owned();
    let ids: Vec<String> = events.iter().map(|event| format!("'{event}'")).collect();
    due += &format!("{user} AND event_id IN ({})", ids.join(","));
    harness.until(&due).await;
}

async fn receive_all(harness: &Harness, user: UserId) {
    let page = resumed(harness, user, 1).await.1;
    let events = event_ids(&page);
    if !events.is_empty() {
        receive(harness, user, &events).await;
    }
    sqlx::query("UPDATE event_queue SET delivered_at = now() WHERE user_id = $1")
        .bind(user.0)
        .execute(&harness.db)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE conversation_members m SET delivered_seq = last_seq FROM conversations c
         WHERE c.conversation_id = m.conversation_id AND m.user_id = $1",
    )
    .bind(user.0)
    .execute(&harness.db)
    .await
    .unwrap();
    assert_eq!(replayed(harness, user).await, [""; 0]);
}

async fn count(harness: &Harness, query: &str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&harness.db).await.unwrap()
}

/// A group in which nobody has anything to receive, with one message from its owner.
async fn quiet_group(harness: &Harness, owner: UserId, members: &[UserId]) -> (GroupId, Value) {
    let group = create(harness, owner, members).await;
    let message = harness.expect(owner, text(group, "message"), "group_message_sent").await["messageId"].clone();
    for member in members {
        receive_all(harness, *member).await;
    }
    (group, message)
}

#[tokio::test]
async fn a_change_is_one_row_for_any_number_of_members() {
    let harness = Harness::start("onerow").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = group_of(&harness, &[(alice, "owner"), (bob, "member"), (carol, "member")]).await;
    let message = say(&harness, alice, &group, "x").await;
    let fill = "WITH users AS (INSERT INTO users_auth (username) SELECT 'u' || n FROM generate_series(1, 197) AS n RETURNING user_id),
            members AS (INSERT INTO group_members (group_id, user_id, role) SELECT $1, user_id, 'member' FROM users)
        INSERT INTO conversation_members (conversation_id, user_id, delivered_seq) SELECT $1, user_id, 1 FROM users";
    sqlx::query(fill).bind(&group).execute(&harness.db).await.unwrap();
    let rows = "SELECT (SELECT count(*) FROM conversation_changes) + (SELECT count(*) FROM event_queue) + (SELECT count(*) FROM event_log)";
    let before = count(&harness, rows).await;
    harness.expect(bob, react(&message, "👍"), "group_reaction_added").await;
    assert_eq!(count(&harness, rows).await, before + 1);
    assert_eq!(count(&harness, "SELECT count(*) FROM due_events").await, 199);

    // Received by one device means received by this user, and by no other.
    let (success, page) = resumed(&harness, carol, 1).await;
    assert_eq!((&success["queuedEvents"], words(&page)), (&json!(2), vec!["x".to_owned(), "👍".to_owned()]));
    receive(&harness, carol, &event_ids(&page)).await;
    assert_eq!(replayed(&harness, carol).await, ["x"]);
    assert_eq!(count(&harness, "SELECT count(*) FROM due_events").await, 198);
    assert_eq!(replayed(&harness, bob).await, ["x"], "users are not told what they did");
}

#[tokio::test]
async fn changes_are_replayed_among_messages_in_the_order_of_versions() {
    let harness = Harness::start("versionorder").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let (group, message) = quiet_group(&harness, alice, &[bob, carol]).await;
    let mut expected = Vec::new();
    for number in 0..30_u64 {
        // From gateways whose clocks are seconds apart.
        let (user, change) = match number % 3 {
            0 => (bob, react(&message, &number.to_string())),
            1 => (carol, react(&message, &number.to_string())),
            _ => (alice, text(group, &number.to_string())),
        };
        let mut prepared = harness.prepare(user, &change);
        let hint = prepared.envelope.id.as_u128() as u16;
        let at = Timestamp::now().plus(Duration::from_secs(number * 7 % 5));
        prepared.envelope.id = shared::ids::new_command_id(at, hint);
        prepared.envelope.ingested_at = at;
        harness.append(&prepared).await;
        harness.answer(prepared.envelope.id).await;
        if user != bob {
            expected.push(number.to_string());
        }
    }
    assert_eq!(replayed(&harness, bob).await, expected);
}

#[tokio::test]
async fn receipts_out_of_order_leave_what_was_not_received() {
    let harness = Harness::start("receipts").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let (group, message) = quiet_group(&harness, alice, &[bob]).await;
    react_often(&harness, alice, &message, 0..3).await;
    harness.expect(alice, text(group, "between"), "group_message_sent").await;
    react_often(&harness, alice, &message, 3..6).await;
    let page = resumed(&harness, bob, 1).await.1;
    assert_eq!(words(&page), ["0", "1", "2", "between", "3", "4", "5"]);
    let ids = event_ids(&page);
    receive(&harness, bob, &[ids[4], ids[1]]).await;
    assert_eq!(replayed(&harness, bob).await, ["0", "2", "between", "3", "5"]);
    receive(&harness, bob, &[ids[0]]).await;
    // The same receipts again, in another order.
    receive(&harness, bob, &[ids[1], ids[0], ids[4]]).await;
    assert_eq!(replayed(&harness, bob).await, ["2", "between", "3", "5"]);
    let cursor = "SELECT delivered_version, delivered_beyond::text FROM conversation_members WHERE user_id = $1";
    let at = |user: UserId| {
        let db = harness.db.clone();
        async move { sqlx::query_as::<_, (i64, Option<String>)>(cursor).bind(user.0).fetch_one(&db).await.unwrap() }
    };
    let version: i64 = count(&harness, "SELECT version FROM conversations").await;
    // The last seven versions are the six reactions with the message in between.
    assert_eq!(at(bob).await, (version - 5, Some(format!("{{[{},{})}}", version - 1, version))));
    receive(&harness, bob, &[ids[5], ids[2], ids[3]]).await;
    assert_eq!(at(bob).await, (version, None));
    assert_eq!(replayed(&harness, bob).await, ["between"]);
    // A late repetition does not move it back.
    receive(&harness, bob, &[ids[2]]).await;
    assert_eq!(at(bob).await, (version, None));
    // Hers moved because of what she did.
    assert_eq!(at(alice).await, (version, None));
}

/// Waits until it is recorded that the user has received everything, without a gap.
async fn until_at_the_end(harness: &Harness, user: UserId) {
    let is_at_the_end = "SELECT delivered_version = version AND delivered_beyond IS NULL
         FROM conversation_members JOIN conversations USING (conversation_id) WHERE user_id = ";
    harness.until(&format!("{is_at_the_end}{user}")).await;
}

#[tokio::test]
async fn own_actions_leave_no_gap() {
    let harness = Harness::start("owngap").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let (_, message) = quiet_group(&harness, alice, &[bob, carol]).await;
    react_often(&harness, alice, &message, 0..1).await;
    react_often(&harness, bob, &message, 1..2).await;
    react_often(&harness, alice, &message, 2..3).await;
    let page = resumed(&harness, bob, 1).await.1;
    assert_eq!(words(&page), ["0", "2"]);
    receive(&harness, bob, &event_ids(&page)).await;
    until_at_the_end(&harness, bob).await;
}

#[tokio::test]
async fn own_actions_behind_a_gap_leave_none_once_it_is_filled() {
    let harness = Harness::start("ownbehind").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let (_, message) = quiet_group(&harness, alice, &[bob]).await;
    react_often(&harness, alice, &message, 0..1).await;
    let received = event_ids(&resumed(&harness, bob, 1).await.1);
    react_often(&harness, bob, &message, 1..2).await;
    receive(&harness, bob, &received).await;
    react_often(&harness, bob, &message, 2..3).await;
    until_at_the_end(&harness, bob).await;
}

#[tokio::test]
async fn of_very_many_gaps_the_newest_are_remembered() {
    let harness = Harness::start("gaps").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let (group, _) = quiet_group(&harness, alice, &[bob]).await;
    let many = "WITH told AS (
             UPDATE conversations SET version = 1000, told_version = 1000, told_at = now() WHERE conversation_id = $1
         )
         INSERT INTO conversation_changes (conversation_id, version, kind, event_id, actor_id, body)
         SELECT $1, n, 2, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $2, '' FROM generate_series(601, 1000) AS n";
    sqlx::query(many).bind(group.to_string()).bind(alice.0).execute(&harness.db).await.unwrap();
    let odd: Vec<Uuid> = (601..=1000)
        .filter(|n| n % 2 == 1)
        .map(|n| format!("00000000-0000-7000-8000-{n:012}").parse().unwrap())
        .collect();
    let receipts = Receipts { user: bob, conversations: vec![], events: odd[1..].to_vec() };
    harness.append(&harness.prepare_internal(bob, Internal::RecordReceipts { receipts: vec![receipts] })).await;
    // The newest hundred of 199: the others are sent again.
    harness.until(&format!("SELECT count(*) = 300 AND min(version) = 601 FROM due_events WHERE user_id = {bob}")).await;
    let beyond = "SELECT count(*) = 100 FROM (SELECT unnest(delivered_beyond) FROM conversation_members) AS ranges";
    harness.until(beyond).await;
}

#[tokio::test]
async fn a_returning_member_hears_only_what_happens_since() {
    let harness = Harness::start("rejoining").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let (group, message) = quiet_group(&harness, alice, &[bob, carol]).await;
    react_often(&harness, alice, &message, 0..120).await;
    let (_, first) = resumed(&harness, bob, 1).await;
    harness.expect(bob, json!({"type": "leave_group", "groupId": group}), "member_left").await;
    assert_eq!(replayed(&harness, bob).await, [""; 0]);
    react_often(&harness, alice, &message, 120..122).await;
    harness.expect(alice, command("add_group_member", group, bob), "member_added").await;
    react_often(&harness, alice, &message, 122..124).await;
    assert_eq!(replayed(&harness, bob).await, ["group_created", "member_added", "122", "123"]);
    // What was chosen before is requested after it.
    let cursor = first.next.unwrap();
    let InternalReply::Replayed(page) = harness.internal(bob, Internal::Replay { cursor }).await else { panic!() };
    assert_eq!((words(&page), page.next), (vec![], None));
    // By a worker of the previous version, which does not know delivered versions.
    let dave = harness.user("dave").await;
    let add = "WITH member AS (INSERT INTO group_members (group_id, user_id, role) VALUES ($1, $2, 'member'))
               INSERT INTO conversation_members (user_id, conversation_id, delivered_seq, read_seq) VALUES ($2, $1, 1, 1)";
    sqlx::query(add).bind(group.to_string()).bind(dave.0).execute(&harness.db).await.unwrap();
    assert_eq!(replayed(&harness, dave).await, [""; 0]);
    react_often(&harness, alice, &message, 124..125).await;
    assert_eq!(replayed(&harness, dave).await, ["124"]);
    harness.expect(alice, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    assert_eq!(replayed(&harness, carol).await, ["group_deleted"]);
}

#[tokio::test]
async fn nothing_is_told_of_messages_that_are_hidden_or_gone() {
    let harness = Harness::start("toldofhidden").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let (group, hidden) = quiet_group(&harness, alice, &[bob, carol]).await;
    let deleted = harness.expect(alice, text(group, "deleted"), "group_message_sent").await["messageId"].clone();
    let lost = harness.expect(alice, text(group, "lost"), "group_message_sent").await["messageId"].clone();
    for member in [bob, carol] {
        receive_all(&harness, member).await;
    }
    for (message, reaction) in [(&hidden, "h"), (&deleted, "d"), (&lost, "l")] {
        harness.expect(alice, react(message, reaction), "group_reaction_added").await;
    }
    let hide = json!({"type": "delete_group_message", "messageId": hidden, "deleteForEveryone": false});
    harness.expect(bob, hide, "group_message_deleted").await;
    let delete = json!({"type": "delete_group_message", "messageId": deleted});
    harness.expect(alice, delete, "group_message_deleted").await;
    // By a worker of the previous version, which leaves the message's events.
    let id: Uuid = lost.as_str().unwrap()["msg_".len()..].parse().unwrap();
    sqlx::query("DELETE FROM private_messages WHERE message_id = $1").bind(id).execute(&harness.db).await.unwrap();
    let page = resumed(&harness, bob, 1).await.1;
    assert_eq!(words(&page), ["group_message_deleted"]);
    assert_eq!(replayed(&harness, carol).await, ["h", "group_message_deleted"]);
    assert_eq!(
        count(&harness, "SELECT count(about) FROM conversation_changes").await,
        2,
        "no event about a deleted message is kept"
    );
    // Events that are not sent leave no gap.
    receive(&harness, bob, &event_ids(&page)).await;
    harness.until(&format!("SELECT delivered_beyond IS NULL FROM conversation_members WHERE user_id = {bob}")).await;

    // A whole direct conversation.
    let sent = harness.send(alice, bob, "x").await;
    let edit = json!({"type": "edit_message", "messageId": sent["messageId"], "content": "y"});
    harness.expect(alice, edit, "message_edited").await;
    let delete = json!({"type": "delete_message", "messageId": sent["messageId"]});
    harness.expect(alice, delete, "message_deleted").await;
    let delete =
        json!({"type": "delete_conversation", "conversationId": sent["conversationId"], "deleteForEveryone": true});
    harness.expect(alice, delete, "conversation_deleted").await;
    assert_eq!(replayed(&harness, bob).await, ["conversation_deleted"]);
}

#[tokio::test]
async fn what_the_version_before_queued_is_replayed_too() {
    let harness = Harness::start("queuedbefore").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let (group, message) = quiet_group(&harness, alice, &[bob]).await;
    react_often(&harness, alice, &message, 0..1).await;
    // As it stores an event; here one that a worker of this version sealed.
    let queue = "WITH moved AS (
             UPDATE conversation_changes SET event_id = NULL, body = NULL WHERE conversation_id = $1 AND event_id IS NOT NULL AND about IS NOT NULL
             RETURNING conversation_id, message_id
         ),
         logged AS (
             INSERT INTO event_log (event_id, conversation_id, message_id, body) SELECT $2, conversation_id, message_id, $3 FROM moved
         )
         INSERT INTO event_queue (user_id, event_id) VALUES ($4, $2)";
    let (id, body): (Uuid, Vec<u8>) =
        sqlx::query_as("SELECT event_id, body FROM conversation_changes WHERE about IS NOT NULL")
            .fetch_one(&harness.db)
            .await
            .unwrap();
    sqlx::query(queue).bind(group.to_string()).bind(id).bind(body).bind(bob.0).execute(&harness.db).await.unwrap();
    react_often(&harness, alice, &message, 1..2).await;
    let page = resumed(&harness, bob, 1).await.1;
    assert_eq!(words(&page), ["0", "1"]);
    // Received in any order and together.
    let ids = event_ids(&page);
    receive(&harness, bob, &ids[1..]).await;
    assert_eq!(replayed(&harness, bob).await, ["0"]);
    receive(&harness, bob, &ids).await;
    harness.until("SELECT count(*) = 0 FROM event_queue WHERE delivered_at IS NULL").await;
    assert_eq!(replayed(&harness, bob).await, [""; 0]);
}

#[tokio::test]
async fn old_events_are_forgotten_and_others_kept_with_changes() {
    let harness = Harness::without_worker("forgotten", &[("CHANGES_RETENTION", "1h")]).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    let id = |age_days: u64, version: u64| {
        let at = Timestamp(Timestamp::now().0 - (age_days * 24 * 3_600_000) as i64);
        let id = shared::ids::new_command_id(at, version as u16);
        (id, version as i64, age_days as f64)
    };
    sqlx::query("INSERT INTO conversations (conversation_id, version) VALUES ($1, 10020)")
        .bind(&conversation)
        .execute(&harness.db)
        .await
        .unwrap();
    for (event, version, days) in [id(31, 2), id(31, 3), id(29, 4), id(1, 5)] {
        let insert = "INSERT INTO conversation_changes (conversation_id, version, kind, event_id, actor_id, body, at)
                      VALUES ($1, $2, 2, $3, 1, '', now() - make_interval(days => $4::int))";
        sqlx::query(insert)
            .bind(&conversation)
            .bind(version)
            .bind(event)
            .bind(days)
            .execute(&harness.db)
            .await
            .unwrap();
    }
    // Those two would be too old and too many if their events were not kept.
    let newer = "INSERT INTO conversation_changes (conversation_id, version, kind) SELECT $1, n, 2 FROM generate_series(6, 10005) AS n";
    sqlx::query(newer).bind(&conversation).execute(&harness.db).await.unwrap();
    harness.add_worker().await;
    harness
        .until(
            "SELECT array_agg(version ORDER BY version) FILTER (WHERE version <= 6) = ARRAY[4, 5, 6]::bigint[]
                    AND count(event_id) = 2 FROM conversation_changes",
        )
        .await;
}
