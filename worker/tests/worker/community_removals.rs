//! The main backend takes many members out of a community at once.

use serde::Serialize;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::publication::Header;
use shared::redis::keys::Channel;
use uuid::Uuid;

use crate::communities::{default_group, group_roles, sync};
use crate::harness::{Harness, Published};

/// Messages to the group wait for a part of it only, however many leave, and however much waits for them.
#[tokio::test]
async fn many_members_leave_a_community_in_parts() {
    let settings = [("WAITING_EVENTS_PER_USER", "2000"), ("REPLAY_LIMIT", "1000")];
    let harness = Harness::start_with("leavinginparts", &settings).await;
    harness.add_worker().await;
    let alice = harness.user("alice").await;
    let ids: Vec<i64> = sqlx::query_scalar(
        "INSERT INTO users_auth (username) SELECT 'u' || n FROM generate_series(1, 300) AS n RETURNING user_id::bigint",
    )
    .fetch_all(&harness.db)
    .await
    .unwrap();
    let community = json!({"communityId": "c", "name": "Big"});
    let members: Vec<Value> = ids.iter().map(|id| json!({"userId": id})).collect();
    let owner = json!([{"userId": alice, "role": "owner"}]);
    let group = default_group(&sync(&harness, &json!({"community": community, "members": owner})).await);
    sync(&harness, &json!({"community": community, "members": members})).await;
    let (crowded, full) = (ids[0], &ids[1..10]);
    let noted = format!(
        "INSERT INTO event_log (event_id, conversation_id, body)
         SELECT lpad(to_hex(n), 32, '0')::uuid, '{group}', '' FROM generate_series(1, 20000) n;
         INSERT INTO event_queue (user_id, event_id)
         SELECT u, lpad(to_hex(n), 32, '0')::uuid FROM unnest(ARRAY{full:?}::bigint[]) u, generate_series(1, 1900) n
         UNION ALL SELECT {crowded}, lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, 20000) n;
         ANALYZE;
         CREATE TABLE gone_together (part bigint, what text, many bigint);
         CREATE FUNCTION note_gone() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             INSERT INTO gone_together SELECT txid_current(), TG_TABLE_NAME, count(*) FROM gone;
             RETURN NULL;
         END $$;
         CREATE TRIGGER note_gone AFTER DELETE ON event_queue REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_gone();
         CREATE TRIGGER note_gone AFTER DELETE ON group_members REFERENCING OLD TABLE AS gone
         FOR EACH STATEMENT EXECUTE FUNCTION note_gone()"
    );
    sqlx::raw_sql(&noted).execute(&harness.db).await.unwrap();
    sync(&harness, &json!({"community": community, "members": owner, "membersComplete": true})).await;
    let is_told = |p: &Published| p.channel == Channel::Group(group) && p.json()["memberCount"] == 1;
    harness.wait_for("the others' group_info_updated", is_told).await;
    assert_eq!(group_roles(&harness).await, [(alice.0, "owner".to_owned())]);
    harness.until("SELECT removing IS NULL FROM communities").await;
    let most: Vec<(String, i64)> = sqlx::query_as(
        "SELECT what, max(many)::bigint FROM (SELECT what, sum(many) AS many FROM gone_together GROUP BY part, what) p
         GROUP BY what ORDER BY what",
    )
    .fetch_all(&harness.db)
    .await
    .unwrap();
    assert!(most[0].1 <= 5_000 && most[1].1 <= 200, "{most:?}");
    // Each of them knows, once, and nothing else of the group waits for them.
    let waiting = "SELECT count(*) = 300 AND count(DISTINCT user_id) = 300 FROM event_queue WHERE user_id <> ";
    harness.until(&format!("{waiting}{alice}")).await;
    let told = |is_it: fn(&Published) -> bool| -> Vec<i64> {
        let published = harness.published();
        let users = published.iter().filter(|p| is_it(p)).filter_map(|p| match p.channel {
            Channel::User(user) => Some(user.0),
            _ => None,
        });
        let mut users: Vec<i64> = users.collect();
        users.sort_unstable();
        users
    };
    let is_left = |p: &Published| matches!(p.header, Header::Left { .. });
    harness.wait_for("all have left", |_| told(is_left).len() >= 300).await;
    assert_eq!(told(is_left), ids);
    assert_eq!(told(|p| p.json()["type"] == "member_removed"), ids);
}

/// The worker died after its commit: gateways still deliver the group's messages to those who are no longer members.
#[tokio::test]
async fn what_a_dead_worker_removed_is_told_by_another() {
    #[derive(Serialize)]
    enum Audience {
        _Gateway,
        User(UserId),
    }
    let harness = Harness::start("halfremoved").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let members = json!([{"userId": alice, "role": "owner"}, {"userId": bob}]);
    let body = json!({"community": {"communityId": "c", "name": "Runners"}, "members": members});
    let group = default_group(&sync(&harness, &body).await);
    let part = Uuid::new_v4();
    let publications = vec![(Audience::User(bob), Header::Left { group }, Vec::<u8>::new())];
    let outcome = harness.wire.seal_outcome(part, &postcard::to_stdvec(&publications).unwrap());
    sqlx::query(
        "WITH gone AS (DELETE FROM community_members WHERE user_id = $1), left_group AS (DELETE FROM group_members WHERE user_id = $1),
              kept AS (INSERT INTO applied_commands (command_id, outcome) VALUES ($2, $3))
         UPDATE communities SET removing = $2",
    )
    .bind(bob.0)
    .bind(part)
    .bind(outcome)
    .execute(&harness.db)
    .await
    .unwrap();
    harness.wait_for("left", |p| p.channel == Channel::User(bob) && p.header == Header::Left { group }).await;
    let is_past = "SELECT applied_at < now() - interval '5 s' FROM applied_commands WHERE command_id = $1";
    let is_past: bool = sqlx::query_scalar(is_past).bind(part).fetch_one(&harness.db).await.unwrap();
    assert!(is_past, "the other worker might have been about to publish it");
    harness.until("SELECT removing IS NULL FROM communities").await;
}
