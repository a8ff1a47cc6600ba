//! What is finally deleted: deleted groups and conversations, old events and the records of old commands.

use std::time::Duration;

use serde_json::{Value, json};
use shared::ids::UserId;
use shared::publication::Header;
use shared::redis::keys::Channel;
use shared::stream::{Internal, InternalReply, ReplayPage};
use sqlx::Executor as _;

use crate::groups::{command, create, queued, text};
use crate::harness::Harness;
use crate::sessions::resumed;

#[tokio::test]
async fn a_deleted_group_is_hidden_at_once_and_purged_later() {
    let harness = Harness::start_with("softdelete", &[("GROUP_PURGE_AFTER", "1h")]).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    harness.expect(alice, text(group, "@bob secret"), "group_message_sent").await;
    let deleted = harness.expect(alice, json!({"type": "delete_group", "groupId": group}), "group_deleted").await;
    assert_eq!((&deleted["deletedBy"], &deleted["permanent"]), (&json!(alice), &json!(false)));
    let event = harness.event(Channel::Group(group), "group_deleted").await;
    assert_eq!(queued(&harness, &event).await, [bob, carol]);
    for user in [alice, bob, carol] {
        harness.wait_for("left", |p| p.channel == Channel::User(user) && p.header == Header::Left { group }).await;
        let groups = harness.expect(user, json!({"type": "get_user_groups"}), "user_groups").await;
        assert_eq!(groups["groups"], json!([]));
    }
    for message in [
        text(group, "x"),
        json!({"type": "get_group_messages", "groupId": group}),
        json!({"type": "send_announcement", "groupId": group, "content": "x"}),
        json!({"type": "delete_group", "groupId": group}),
        command("add_group_member", group, carol),
    ] {
        harness.refused(alice, message, "RESOURCE_NOT_FOUND").await;
    }
    // Nothing of the group waits for its members except its deletion.
    harness.until("SELECT count(*) = 2 FROM event_queue WHERE delivered_at IS NULL").await;
    harness.until("SELECT count(*) = 0 FROM due_events").await;
    let messages: i64 =
        sqlx::query_scalar("SELECT count(*) FROM private_messages").fetch_one(&harness.db).await.unwrap();
    assert_eq!(messages, 1);
    sqlx::query("UPDATE group_chats SET deleted_at = now() - interval '2h'").execute(&harness.db).await.unwrap();
    harness.add_worker().await;
    harness.until(NOTHING_LEFT).await;
}

const NOTHING_LEFT: &str = "SELECT NOT EXISTS (SELECT FROM group_chats) AND NOT EXISTS (SELECT FROM private_messages)
    AND NOT EXISTS (SELECT FROM group_members) AND NOT EXISTS (SELECT FROM conversations)
    AND NOT EXISTS (SELECT FROM conversation_members) AND NOT EXISTS (SELECT FROM message_reactions)";

#[tokio::test]
async fn a_permanent_deletion_leaves_nothing_however_long_the_history() {
    let harness = Harness::start("harddelete").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    for many in [false, true] {
        let group = create(&harness, alice, &[bob]).await;
        harness.expect(alice, text(group, "x"), "group_message_sent").await;
        if many {
            sqlx::query(
                "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, content, iv, key_id, created_at)
                 SELECT gen_random_uuid(), $1, n, 1, '', '', 1, now() FROM generate_series(2, 5000) AS n",
            )
            .bind(group.to_string())
            .execute(&harness.db)
            .await
            .unwrap();
            sqlx::query("INSERT INTO message_reactions SELECT message_id, 1, 'x' FROM private_messages")
                .execute(&harness.db)
                .await
                .unwrap();
        }
        let delete = json!({"type": "delete_group", "groupId": group, "permanent": true});
        assert_eq!(harness.expect(alice, delete, "group_deleted").await["permanent"], true);
        harness.refused(bob, text(group, "x"), "RESOURCE_NOT_FOUND").await;
        harness.until(NOTHING_LEFT).await;
    }
}

#[tokio::test]
async fn a_long_conversation_vanishes_at_once_and_is_purged_in_parts() {
    let harness = Harness::start("deletelong").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let conversation = format!("conv_{alice}_{bob}");
    let first = harness.prepare(alice, &json!({"type": "send_message", "recipientId": bob, "content": "one"}));
    harness.append(&first).await;
    harness.answer(first.envelope.id).await;
    for statement in [
        "INSERT INTO private_messages (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, key_id, created_at)
         SELECT gen_random_uuid(), conversation_id, n, 1, 2, '', '', 1, now() FROM conversations, generate_series(2, 7000) AS n",
        "UPDATE conversations SET last_seq = 7000, message_count = 7000",
        "INSERT INTO message_reactions SELECT message_id, 1, 'x' FROM private_messages",
        "INSERT INTO message_deletions SELECT 2, conversation_id, seq, message_id FROM private_messages WHERE seq % 2 = 0",
        "CREATE TABLE deleted (messages BIGINT)",
        "CREATE FUNCTION count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO deleted SELECT count(*) FROM gone; RETURN NULL; END $$",
        "CREATE TRIGGER count_deleted AFTER DELETE ON private_messages REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION count_deleted()",
    ] {
        sqlx::query(statement).execute(&harness.db).await.unwrap();
    }
    let last: uuid::Uuid = sqlx::query_scalar("SELECT message_id FROM private_messages WHERE seq = 6999")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    let delete = json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": true});
    harness.expect(alice, delete, "conversation_deleted").await;
    let read = |other| json!({"type": "get_private_messages", "recipientId": other});
    for (user, other) in [(alice, bob), (bob, alice)] {
        let page = harness.expect(user, read(other), "private_messages").await;
        assert_eq!((&page["messages"], &page["total"]), (&json!([]), &json!(0)));
        let listed = harness.expect(user, json!({"type": "get_conversations"}), "conversations").await;
        assert_eq!(listed["conversations"], json!([]));
    }
    assert_eq!(harness.send(alice, bob, "new").await["seq"], 7001);
    let page = harness.expect(bob, read(alice), "private_messages").await;
    assert_eq!((&page["messages"][0]["content"], &page["total"]), (&json!("new"), &json!(1)));
    let react = json!({"type": "add_reaction", "messageId": format!("msg_{last}"), "reaction": "x"});
    harness.refused(bob, react, "RESOURCE_NOT_FOUND").await;

    harness.until("SELECT count(*) = 1 FROM private_messages").await;
    harness
        .until(
            "SELECT NOT EXISTS (SELECT FROM message_reactions) AND NOT EXISTS (SELECT FROM message_deletions)
                 AND NOT EXISTS (SELECT FROM conversation_purges)",
        )
        .await;
    let (all, most): (i64, i64) = sqlx::query_as("SELECT sum(messages)::bigint, max(messages) FROM deleted")
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert_eq!((all, most), (7000, 2000));
    // A redelivered send does not come back.
    harness.append(&first).await;
    assert_eq!(harness.send(alice, bob, "newer").await["seq"], 7002);
    assert_eq!(harness.expect(bob, read(alice), "private_messages").await["total"], 2);
}

#[tokio::test]
async fn old_events_and_commands_are_forgotten_and_others_kept() {
    let harness = Harness::without_worker("retention", &[]).await;
    let event = |id: u32, age_days: i32, delivered_days: Option<i32>| {
        let db = harness.db.clone();
        async move {
            sqlx::query(
                "WITH e AS (INSERT INTO event_log (event_id, body, created_at)
                            SELECT lpad($1::text, 32, '0')::uuid, '', now() - make_interval(days => $2) RETURNING *)
                 INSERT INTO event_queue (user_id, event_id, created_at, delivered_at)
                 SELECT 1, event_id, created_at, now() - make_interval(days => $3) FROM e",
            )
            .bind(id.to_string())
            .bind(age_days)
            .bind(delivered_days)
            .execute(&db)
            .await
            .unwrap();
        }
    };
    event(1, 31, None).await;
    event(2, 29, None).await;
    event(3, 9, Some(8)).await;
    event(4, 9, Some(6)).await;
    event(5, 1, None).await;
    sqlx::query(
        "INSERT INTO event_log (event_id, body, created_at) VALUES (gen_random_uuid(), '', now() - interval '8 days')",
    )
    .execute(&harness.db)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO applied_commands (command_id, applied_at)
         VALUES (gen_random_uuid(), now() - interval '25h'), (gen_random_uuid(), now() - interval '23h')",
    )
    .execute(&harness.db)
    .await
    .unwrap();
    harness.add_worker().await;
    harness.until("SELECT count(*) = 1 FROM applied_commands").await;
    harness
        .until("SELECT array_agg(right(event_id::text, 1) ORDER BY event_id) = ARRAY['2', '4', '5'] FROM event_queue")
        .await;
    harness.until("SELECT count(*) = 3 FROM event_log").await;
}

#[tokio::test]
async fn of_too_many_waiting_events_the_newest_are_kept() {
    let settings = [("WAITING_EVENTS_PER_USER", "100"), ("REPLAY_LIMIT", "50")];
    let harness = Harness::without_worker("crowded", &settings).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let wait = "WITH logged AS (
             INSERT INTO event_log (event_id, body)
             SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '' FROM generate_series(1, 6000) AS n
             RETURNING event_id
         )
         INSERT INTO event_queue (user_id, event_id)
         SELECT $1, event_id FROM logged UNION ALL (SELECT $2, event_id FROM logged ORDER BY event_id LIMIT 100)";
    sqlx::query(wait).bind(alice.0).bind(bob.0).execute(&harness.db).await.unwrap();
    harness.add_worker().await;
    harness.until("SELECT count(*) = 200 FROM event_queue").await;
    let oldest: String = sqlx::query_scalar("SELECT min(event_id::text) FROM event_queue WHERE user_id = $1")
        .bind(alice.0)
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert_eq!(oldest, "00000000-0000-7000-8000-000000005901");
}

/// Taking a member out of a group must not hold up others while a great many of its events wait for the member.
#[tokio::test]
async fn no_command_deletes_more_events_than_may_wait_for_a_user() {
    const MOST: i64 = 2_000;
    const PART: i64 = 5_000;
    let settings = [("WAITING_EVENTS_PER_USER", "2000"), ("REPLAY_LIMIT", "1000")];
    let harness = Harness::start_with("crowdedmember", &settings).await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let group = create(&harness, alice, &[bob, carol]).await;
    let (first, last) = (1, 200_000);
    let rows = format!(
        "INSERT INTO event_log (event_id, conversation_id, body)
         SELECT lpad(to_hex(n), 32, '0')::uuid, '{group}', '' FROM generate_series({first}, {last}) n;
         INSERT INTO event_queue (user_id, event_id)
         SELECT u, lpad(to_hex(n), 32, '0')::uuid FROM unnest(ARRAY[{bob}, {carol}]) u, generate_series({first}, {last}) n;
         ANALYZE;
         CREATE TABLE deleted (events bigint, by_job boolean);
         CREATE FUNCTION note_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO deleted SELECT count(*), bool_and(EXISTS (SELECT FROM group_members m WHERE m.user_id = gone.user_id)) FROM gone;
             RETURN NULL;
         END $$;
         CREATE TRIGGER note_deleted AFTER DELETE ON event_queue REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_deleted()"
    );
    sqlx::raw_sql(&rows).execute(&harness.db).await.unwrap();
    for (kind, user, done) in [("remove_group_member", bob, "member_removed"), ("ban_member", carol, "member_banned")] {
        loop {
            let answer = harness.command(alice, command(kind, group, user)).await;
            if answer["type"] == done {
                break;
            }
            assert_eq!(answer["code"], "SERVICE_UNAVAILABLE", "{answer}");
        }
    }
    let deleted: Vec<(i64, bool)> =
        sqlx::query_as("SELECT events, by_job FROM deleted WHERE events > 0").fetch_all(&harness.db).await.unwrap();
    for (events, by_job) in deleted {
        assert!(events <= if by_job { PART } else { MOST }, "{events} in one transaction");
    }
    let left = "SELECT count(*) FROM event_queue q JOIN event_log l USING (event_id) WHERE l.body = ''";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&harness.db).await.unwrap(), 0);
}

/// Events that arrive all the time do not put off a removal.
#[tokio::test]
async fn a_member_who_is_told_much_is_removed_at_once() {
    let settings = [("WAITING_EVENTS_PER_USER", "2000"), ("REPLAY_LIMIT", "1000")];
    let harness = Harness::start_with("toldmuch", &settings).await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let group = create(&harness, alice, &[bob]).await;
    let db = harness.db.clone();
    let rows = format!(
        "WITH told AS (
             INSERT INTO event_log (event_id, conversation_id, body)
             SELECT gen_random_uuid(), '{group}', '' FROM generate_series(1, $1) RETURNING event_id
         )
         INSERT INTO event_queue (user_id, event_id) SELECT {bob}, event_id FROM told"
    );
    sqlx::query(&rows).bind(3_000).execute(&db).await.unwrap();
    // As fast as twenty accounts may mention somebody.
    let telling = tokio::spawn(async move {
        loop {
            sqlx::query(&rows).bind(2).execute(&db).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let began = tokio::time::Instant::now();
    harness.expect(alice, command("remove_group_member", group, bob), "member_removed").await;
    telling.abort();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A conversation that does not exist is reported at once.
    let rejected = json!({"type": "delete_conversation", "conversationId": "conv_1_2", "deleteForEveryone": true});
    harness.refused(alice, rejected, "RESOURCE_NOT_FOUND").await;
}

/// Notes how many waiting events each transaction deletes, and holds it up while a test has the lock.
const NOTE_DELETED: &str = "
    CREATE TABLE gone_together (part bigint, many bigint);
    CREATE FUNCTION note_gone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO gone_together SELECT txid_current(), count(*) FROM gone;
        RETURN NULL;
    END $$;
    CREATE TRIGGER note_gone AFTER DELETE ON event_queue REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION note_gone();
    CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(4711);
        RETURN OLD;
    END $$;
    CREATE TRIGGER wait_for_test BEFORE DELETE ON event_queue FOR EACH ROW EXECUTE FUNCTION wait_for_test()";

fn kinds(page: &ReplayPage) -> Vec<String> {
    let kind = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap()["type"].as_str().unwrap().to_owned();
    page.events.iter().map(|event| kind(&event.json)).collect()
}

/// However many members a group has, and however much waits for each of them.
#[tokio::test]
async fn a_deleted_groups_events_are_hidden_and_go_in_parts() {
    for permanent in [false, true] {
        delete_while_events_wait(permanent).await;
    }
}

async fn delete_while_events_wait(permanent: bool) {
    let settings = [("WAITING_EVENTS_PER_USER", "2000"), ("REPLAY_LIMIT", "1000")];
    let harness = Harness::start_with("deletedinparts", &settings).await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let group = create(&harness, alice, &[bob, carol, dave]).await;
    let many: Vec<i64> = sqlx::query_scalar(
        "WITH users AS (INSERT INTO users_auth (username) SELECT 'u' || n FROM generate_series(1, 30) n RETURNING user_id)
         INSERT INTO group_members (group_id, user_id, role) SELECT $1, user_id, 'member' FROM users RETURNING user_id",
    )
    .bind(group.to_string())
    .fetch_all(&harness.db)
    .await
    .unwrap();
    for number in 0..60 {
        harness.expect(alice, text(group, &format!("@everyone {number}")), "group_message_sent").await;
    }
    harness.send(carol, bob, "still yours").await;
    harness.expect(alice, command("remove_group_member", group, dave), "member_removed").await;
    let rows = format!(
        "INSERT INTO event_log (event_id, conversation_id, body)
         SELECT lpad(to_hex(n), 32, '0')::uuid, '{group}', '' FROM generate_series(1, 20000) n;
         INSERT INTO event_queue (user_id, event_id)
         SELECT u, lpad(to_hex(n), 32, '0')::uuid FROM unnest(ARRAY{many:?}::bigint[]) u, generate_series(1, 1500) n
         UNION ALL SELECT {carol}, lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, 20000) n;
         ANALYZE; {NOTE_DELETED}"
    );
    sqlx::raw_sql(&rows).execute(&harness.db).await.unwrap();
    let (_, first) = resumed(&harness, bob, 1).await;
    assert!(kinds(&first).contains(&"mentioned_in_group".to_owned()));

    let mut test = harness.db.acquire().await.unwrap();
    test.execute("SELECT pg_advisory_lock(4711)").await.unwrap();
    let delete = json!({"type": "delete_group", "groupId": group, "permanent": permanent});
    harness.expect(alice, delete, "group_deleted").await;
    // Neither a new session nor the next page of an earlier one shows anything of the group.
    assert_eq!(kinds(&resumed(&harness, bob, 2).await.1), ["new_message", "group_deleted"]);
    assert_eq!(kinds(&resumed(&harness, UserId(many[7]), 3).await.1), ["group_deleted"]);
    assert_eq!(kinds(&resumed(&harness, dave, 4).await.1), ["member_removed"]);
    let cursor = first.next.unwrap();
    let InternalReply::Replayed(page) = harness.internal(bob, Internal::Replay { cursor }).await else { panic!() };
    assert_eq!(kinds(&page), ["new_message"]);
    test.execute("SELECT pg_advisory_unlock(4711)").await.unwrap();

    let done = "SELECT NOT EXISTS (SELECT FROM group_chats WHERE $1 OR clearing_after IS NOT NULL)";
    harness.until(&done.replace("$1", &permanent.to_string())).await;
    // For each member that the group is deleted, and for the former member that the membership ended.
    harness
        .until("SELECT count(*) = 33 AND count(DISTINCT user_id) = 33 FROM event_queue WHERE delivered_at IS NULL")
        .await;
    let most: i64 = sqlx::query_scalar(
        "SELECT max(many)::bigint FROM (SELECT sum(many) AS many FROM gone_together GROUP BY part) p",
    )
    .fetch_one(&harness.db)
    .await
    .unwrap();
    assert!(most <= 5_000, "{most} in one transaction");
}
