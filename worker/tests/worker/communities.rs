//! Communities and the HTTP requests that the gateway passes on.

use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::ids::{ConnectionId, GroupId, TokenId, UserId};
use shared::publication::Header;
use shared::redis::keys::Channel;
use shared::redis::presence::{PresenceScripts, UserSession};
use shared::stream::{HttpRequest, Internal, InternalReply};

use crate::harness::{Harness, Prepared, Published};

async fn http(harness: &Harness, user: UserId, request: HttpRequest) -> (u16, Value) {
    match harness.internal(user, Internal::Http(request)).await {
        InternalReply::Http { status, json } => (status, serde_json::from_slice(&json).unwrap()),
        InternalReply::SignedIn { user, profile } => {
            let profile: Value = serde_json::from_slice(&profile).unwrap();
            assert_eq!(profile["userId"], json!(user));
            (200, profile)
        }
        other => panic!("{other:?}"),
    }
}

pub async fn sync(harness: &Harness, body: &Value) -> Value {
    let (status, answer) = http(harness, UserId(0), HttpRequest::CommunitySync { body: body.to_string().into() }).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

pub fn default_group(answer: &Value) -> GroupId {
    answer["defaultGroupId"].as_str().unwrap().parse().unwrap()
}

pub async fn group_roles(harness: &Harness) -> Vec<(i64, String)> {
    sqlx::query_as("SELECT user_id, role FROM group_members ORDER BY user_id").fetch_all(&harness.db).await.unwrap()
}

#[tokio::test]
async fn a_community_gets_a_group_that_follows_its_members() {
    let harness = Harness::start("community").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let community = json!({"communityId": "c1", "name": "Runners", "description": "d", "avatarUrl": "u"});
    let members = json!([{"userId": alice, "role": "owner"}, {"userId": bob, "role": "admin"}, {"userId": 999_999}]);
    let answer = sync(&harness, &json!({"community": community, "members": members})).await;
    assert_eq!((&answer["status"], &answer["communityId"]), (&json!("ok"), &json!("c1")));
    assert_eq!((&answer["event"], &answer["progress"]), (&Value::Null, &Value::Null));
    assert_eq!(answer["skippedMembers"], json!([{"userId": "999999", "reason": "RESOURCE_NOT_FOUND"}]));
    let group = default_group(&answer);
    assert_eq!(group_roles(&harness).await, [(alice.0, "owner".to_owned()), (bob.0, "admin".to_owned())]);
    let created = harness.event(Channel::User(bob), "group_created").await;
    assert_eq!((&created["groupName"], &created["memberCount"]), (&json!("Runners"), &json!(2)));
    assert_eq!(harness.queued_for(created["eventId"].as_str().unwrap()).await, [alice.0, bob.0]);
    let joined = |p: &Published| p.channel == Channel::User(bob) && p.header == Header::Joined { group };
    harness.wait_for("joined", joined).await;

    // Ordinary commands work; what belongs to the community does not, not even for the owner.
    let text = json!({"type": "send_group_message", "groupId": group, "content": "hi"});
    harness.expect(bob, text.clone(), "group_message_sent").await;
    let about = |kind: &str, user: UserId| json!({"type": kind, "groupId": group, "userId": user});
    for message in [
        about("add_group_member", carol),
        about("remove_group_member", bob),
        about("promote_member", bob),
        about("demote_member", bob),
        about("transfer_ownership", bob),
        json!({"type": "leave_group", "groupId": group}),
        json!({"type": "delete_group", "groupId": group}),
        json!({"type": "update_group", "groupId": group, "maxMembers": 5}),
    ] {
        harness.refused(alice, message, "PERMISSION_DENIED").await;
    }

    // Adding and changing, without listing the others.
    let changes = json!([{"userId": bob, "role": "member"}, {"userId": carol, "role": "admin"}]);
    let again = sync(&harness, &json!({"community": community, "members": changes})).await;
    assert_eq!(default_group(&again), group);
    let demoted = harness.event(Channel::Group(group), "member_demoted").await;
    assert_eq!((&demoted["userId"], &demoted["newRole"]), (&json!(bob), &json!("member")));
    let added = harness.event(Channel::Group(group), "member_added").await;
    assert_eq!((&added["userId"], &added["role"]), (&json!(carol), &json!("admin")));
    assert_eq!(harness.queued_for(added["eventId"].as_str().unwrap()).await, [alice.0, bob.0, carol.0]);
    let page = json!({"type": "get_user_groups"});
    let groups = harness.expect(carol, page, "user_groups").await;
    assert_eq!((&groups["groups"][0]["lastSeq"], &groups["groups"][0]["unreadCount"]), (&json!(1), &json!(0)));

    // The complete list: members who are not on it are removed.
    let whole = json!([{"userId": alice, "role": "owner"}, {"userId": dave}]);
    sync(&harness, &json!({"community": community, "members": whole, "membersComplete": true})).await;
    assert_eq!(group_roles(&harness).await, [(alice.0, "owner".to_owned()), (dave.0, "member".to_owned())]);
    let removed = harness.event(Channel::User(bob), "member_removed").await;
    assert_eq!(harness.queued_for(removed["eventId"].as_str().unwrap()).await, [alice.0, bob.0, dave.0]);
    harness.wait_for("left", |p| p.channel == Channel::User(bob) && p.header == Header::Left { group }).await;
    harness.refused(bob, text, "RESOURCE_NOT_FOUND").await;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM event_queue WHERE user_id = $1")
        .bind(bob.0)
        .fetch_one(&harness.db)
        .await
        .unwrap();
    assert_eq!(waiting, 1, "nothing but the removal");

    let renamed = json!({"communityId": "c1", "name": "Walkers"});
    sync(&harness, &json!({"community": renamed})).await;
    let updated = harness.event(Channel::Group(group), "group_info_updated").await;
    assert_eq!((&updated["groupName"], &updated["groupDescription"]), (&json!("Walkers"), &json!("d")));
}

#[tokio::test]
async fn members_hear_of_nothing_after_their_removal() {
    let harness = Harness::start("removals").await;
    let [alice, bob, carol, dave] = harness.users(["alice", "bob", "carol", "dave"]).await;
    let community = json!({"communityId": "c1", "name": "Runners"});
    let members = json!([{"userId": alice, "role": "owner"}, {"userId": bob}, {"userId": carol}, {"userId": dave}]);
    sync(&harness, &json!({"community": community, "members": members})).await;
    let left = json!([{"userId": alice, "role": "owner"}, {"userId": dave, "role": "admin"}]);
    sync(&harness, &json!({"community": community, "members": left, "membersComplete": true})).await;
    for user in [bob, carol] {
        let is_left = |p: &Published| p.channel == Channel::User(user) && matches!(p.header, Header::Left { .. });
        harness.wait_for("left", is_left).await;
        let published = harness.published();
        let is_removal = |p: &Published| p.channel == Channel::User(user) && p.json()["type"] == "member_removed";
        let removal = published.iter().position(is_removal).expect("the user is told");
        let reaches = |p: &&Published| matches!((&p.channel, &p.header), (Channel::Group(_), Header::Event(event)) if !event.exclude_users.contains(&user));
        let later: Vec<Value> = published[removal..].iter().filter(reaches).map(Published::json).collect();
        assert!(later.is_empty(), "{later:?}");
    }
}

#[tokio::test]
async fn what_members_see_and_outsiders_do_not() {
    let harness = Harness::start("communityreads").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let community = json!({"communityId": 5, "name": "Runners"});
    let answer =
        sync(&harness, &json!({"community": community, "members": [{"userId": alice, "role": "admin"}]})).await;
    let list = harness.expect(alice, json!({"type": "get_communities"}), "community_list").await;
    let listed = &list["communities"][0];
    assert_eq!((&listed["communityId"], &listed["defaultGroupId"]), (&json!("5"), &answer["defaultGroupId"]));
    assert_eq!(
        (&listed["role"], &listed["isMuted"], &listed["avatarUrl"]),
        (&json!("admin"), &json!(false), &Value::Null)
    );
    let list = harness.expect(bob, json!({"type": "get_communities"}), "community_list").await;
    assert_eq!(list["communities"], json!([]));
    let members = json!({"type": "get_community_members", "communityId": 5});
    let answer = harness.expect(alice, members.clone(), "community_members").await;
    assert_eq!(
        (&answer["members"][0]["username"], &answer["members"][0]["lastSeenAt"]),
        (&json!("alice"), &Value::Null)
    );
    let progress = json!({"type": "get_community_progress", "communityId": "5"});
    let answer = harness.expect(alice, progress.clone(), "community_progress").await;
    assert_eq!((&answer["progress"]["totalXp"], &answer["progress"]["userId"]), (&json!(0), &json!(alice)));
    for message in [members, progress, json!({"type": "get_community_members", "communityId": "none"})] {
        harness.refused(bob, message, "PERMISSION_DENIED").await;
    }
}

#[tokio::test]
async fn blocked_members_do_not_see_when_one_was_last_seen() {
    let harness = Harness::start("lastseen").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let members = json!([{"userId": alice}, {"userId": bob}, {"userId": carol}]);
    sync(&harness, &json!({"community": {"communityId": "c", "name": "Runners"}, "members": members})).await;
    sqlx::query("INSERT INTO user_status (user_id, last_seen_at) SELECT user_id, now() FROM users_auth")
        .execute(&harness.db)
        .await
        .unwrap();
    harness.block(alice, bob).await;
    for (user, seen) in [(alice, [true, false, true]), (bob, [false, true, true]), (carol, [true; 3])] {
        let get = json!({"type": "get_community_members", "communityId": "c"});
        let answer = harness.expect(user, get, "community_members").await;
        for (member, seen) in [alice, bob, carol].into_iter().zip(seen) {
            let listed = answer["members"].as_array().unwrap().iter().find(|m| m["userId"] == json!(member)).unwrap();
            assert_eq!(listed["lastSeenAt"].is_string(), seen, "{user} asks: {listed}");
        }
    }
}

#[tokio::test]
async fn an_event_counts_once_and_is_pushed_to_online_users() {
    let harness = Harness::start("progress").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let session = UserSession { user: bob, connection: ConnectionId(1) };
    PresenceScripts::new(harness.keys.clone()).open(&harness.redis, harness.gateway, &[session]).await.unwrap();
    let body = json!({
        "community": {"communityId": "c", "name": "Runners"},
        "members": [{"userId": alice}, {"userId": bob}, {"userId": carol}],
        "event": {"eventId": "e1", "userId": alice, "challengeId": 7, "challengeType": "daily", "xpAwarded": 10,
                  "occurredAt": "2026-03-01T09:15:02.481Z", "payload": {"deep": ["x"]}},
    });
    let answer = sync(&harness, &body).await;
    let group = default_group(&answer);
    assert_eq!((&answer["progress"]["totalXp"], &answer["broadcast"]["delivered"]), (&json!(10), &json!(1)));
    assert_eq!(answer["event"]["payload"], json!({"deep": ["x"]}));
    let update = harness.event(Channel::Group(group), "community_progress_update").await;
    assert_eq!((&update["communityId"], &update["userId"]), (&json!("c"), &json!(alice)));
    assert_eq!((&update["event"]["challengeId"], &update["progress"]["lastChallengeId"]), (&json!("7"), &json!("7")));
    assert_eq!(update["progress"]["lastCompletedAt"], "2026-03-01T09:15:02.481Z");
    assert_eq!(update.get("eventId"), None, "not durable");

    let again = sync(&harness, &body).await;
    assert_eq!((&again["duplicate"], &again["progress"]["totalXp"]), (&json!(true), &json!(10)));
    assert_eq!((&again["broadcast"]["delivered"], &again["event"]["eventId"]), (&json!(0), &json!("e1")));
    let community = json!({"communityId": "c", "name": "Runners"});
    let second = json!({"community": community, "event": {"eventId": "e2", "userId": alice, "xpAwarded": 5}});
    assert_eq!(sync(&harness, &second).await["progress"]["totalXp"], 15);
    let third = json!({
        "community": community, "event": {"eventId": "e3", "userId": alice, "xpAwarded": 5},
        "progress": {"userId": alice, "totalXp": 100, "dailyStreak": 3, "weeklyStreak": 1},
    });
    let progress = sync(&harness, &third).await["progress"].clone();
    assert_eq!((&progress["totalXp"], &progress["dailyStreak"]), (&json!(100), &json!(3)));
    let unknown = json!({"community": community, "event": {"eventId": "e4", "userId": 999_999, "xpAwarded": 5}});
    let answer = sync(&harness, &unknown).await;
    assert_eq!((&answer["event"], &answer["skippedMembers"][0]["userId"]), (&Value::Null, &json!("999999")));
    let shown = json!({"type": "get_community_progress", "communityId": "c"});
    assert_eq!(harness.expect(alice, shown, "community_progress").await["progress"]["totalXp"], 100);
    assert_eq!(harness.events(Channel::Group(group), "community_progress_update").len(), 3);
}

#[tokio::test]
async fn an_event_alone_makes_its_user_a_member_who_hears_of_it() {
    let harness = Harness::start("community_event").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let members = json!([{"userId": alice, "role": "owner", "isMuted": true}]);
    let community = json!({"communityId": "c1", "name": "Runners", "defaultGroupId": "general"});
    let answer = sync(&harness, &json!({"community": community, "members": members})).await;
    let muted: Vec<i64> = sqlx::query_scalar("SELECT user_id FROM community_members WHERE is_muted")
        .fetch_all(&harness.db)
        .await
        .unwrap();
    assert_eq!(muted, [alice.0]);
    let event = json!({"eventId": "e1", "communityId": "c1", "userId": bob, "xpAwarded": 5});
    let again = sync(&harness, &json!({"event": event})).await;
    assert_eq!(default_group(&again), default_group(&answer));
    assert_eq!(group_roles(&harness).await, [(alice.0, "owner".to_owned()), (bob.0, "member".to_owned())]);
    let update = harness.event(Channel::User(bob), "community_progress_update").await;
    assert_eq!((&update["communityId"], &update["progress"]["totalXp"]), (&json!("c1"), &json!(5)));
}

#[tokio::test]
async fn concurrent_and_redelivered_syncs_answer_the_same() {
    let harness = Harness::start("synctwice").await;
    let alice = harness.user("alice").await;
    let prepare = |event: &str| {
        let body = json!({
            "community": {"communityId": "c", "name": "Runners"}, "members": [{"userId": alice}],
            "event": {"eventId": event, "userId": alice, "xpAwarded": 1},
        });
        let request = Internal::Http(HttpRequest::CommunitySync { body: body.to_string().into() });
        harness.prepare_internal(UserId(0), request)
    };
    let requests: Vec<Prepared> = (0..6).map(|i| prepare(&format!("e{i}"))).collect();
    for request in requests.iter().chain(&requests) {
        harness.append(request).await;
    }
    for request in &requests {
        let id = request.envelope.id;
        let is_reply = |p: &&Published| p.header == Header::Internal { command: id };
        harness.wait_for("both replies", |_| harness.published().iter().filter(is_reply).count() == 2).await;
        let replies: Vec<Published> = harness.published().into_iter().filter(|p| is_reply(&p)).collect();
        assert_eq!(replies[0].payload, replies[1].payload);
    }
    harness.until("SELECT total_xp = 6 FROM user_community_progress").await;
    let groups: i64 = sqlx::query_scalar("SELECT count(*) FROM group_chats").fetch_one(&harness.db).await.unwrap();
    assert_eq!(groups, 1);
}

#[tokio::test]
async fn thousands_of_members_come_and_go_in_one_request() {
    let harness = Harness::start("bigcommunity").await;
    sqlx::query("INSERT INTO users_auth (username) SELECT 'u' || n FROM generate_series(1, 5000) AS n")
        .execute(&harness.db)
        .await
        .unwrap();
    let ids: Vec<i64> =
        sqlx::query_scalar("SELECT user_id FROM users_auth ORDER BY 1").fetch_all(&harness.db).await.unwrap();
    let members = |ids: &[i64]| -> Vec<Value> { ids.iter().map(|id| json!({"userId": id})).collect() };
    let body = |ids: &[i64]| json!({"community": {"communityId": "c", "name": "Big"}, "members": members(ids), "membersComplete": true});
    let group = default_group(&sync(&harness, &body(&ids)).await);
    assert_eq!(group_roles(&harness).await.len(), 5000);
    let created = harness.event(Channel::User(UserId(ids[4_999])), "group_created").await;
    assert_eq!((&created["memberCount"], created["members"].as_array().unwrap().len()), (&json!(5000), 50));
    sync(&harness, &body(&ids[..2_000])).await;
    let updated = harness.event(Channel::Group(group), "group_info_updated").await;
    assert_eq!(updated["memberCount"], 2000);
    assert_eq!(group_roles(&harness).await.len(), 2000);
    let removed = harness.event(Channel::User(UserId(ids[3_000])), "member_removed").await;
    assert_eq!(harness.queued_for(removed["eventId"].as_str().unwrap()).await, [ids[3_000]]);
    harness.until("SELECT count(*) = 2000 FROM conversation_members").await;
}

#[tokio::test]
async fn a_group_that_exists_can_become_a_communitys_but_not_twice() {
    let harness = Harness::start("adopt").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    let create = json!({"type": "create_group", "groupName": "Old", "initialMembers": [bob]});
    let created = harness.expect(alice, create, "group_created").await;
    let body = |id: &str, group: &Value| json!({"community": {"communityId": id, "name": "New", "defaultGroupId": group}, "members": [{"userId": bob, "role": "owner"}]});
    let answer = sync(&harness, &body("c1", &created["groupId"])).await;
    assert_eq!(answer["defaultGroupId"], created["groupId"]);
    assert_eq!(group_roles(&harness).await, [(bob.0, "owner".to_owned())]);
    let request = |body: Value| HttpRequest::CommunitySync { body: body.to_string().into() };
    for body in [
        body("c2", &created["groupId"]),
        body("c1", &json!("group_00000000-0000-0000-0000-000000000001")),
        json!({"community": {"communityId": "c3", "name": ""}}),
    ] {
        let (status, answer) = http(&harness, UserId(0), request(body.clone())).await;
        assert_eq!(
            (status, &answer["code"], &answer["status"]),
            (400, &json!("VALIDATION_ERROR"), &json!("error")),
            "{body}"
        );
    }
    let communities: i64 = sqlx::query_scalar("SELECT count(*) FROM communities").fetch_one(&harness.db).await.unwrap();
    assert_eq!(communities, 1, "a rejected request leaves nothing behind");
    let (status, answer) = http(&harness, UserId(0), HttpRequest::CommunitySync { body: b"{".to_vec() }).await;
    assert_eq!((status, &answer["code"]), (400, &json!("INVALID_JSON")));
}

#[tokio::test]
async fn conversations_and_pictures_over_http() {
    let harness = Harness::start("httpreads").await;
    let [alice, bob] = harness.users(["alice", "bob"]).await;
    harness.send(bob, alice, "hello").await;
    let token_id = || TokenId("t".to_owned());
    let conversations = |query: &str| HttpRequest::Conversations { token_id: token_id(), query: query.to_owned() };
    let (status, answer) = http(&harness, alice, conversations("limit=10&offset=0&x=y")).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ok")));
    assert_eq!(answer["pagination"], json!({"limit": 10, "offset": 0, "count": 1, "hasMore": false}));
    let first = &answer["conversations"][0];
    assert_eq!((&first["participant"]["username"], &first["unreadCount"]), (&json!("bob"), &json!(1)));
    assert_eq!(first["lastMessage"]["content"], "hello");
    for query in ["limit=0", "limit=x", "offset=-1"] {
        assert_eq!(http(&harness, alice, conversations(query)).await.0, 400, "{query}");
    }

    sqlx::query("INSERT INTO user_profile_info (user_id, profile_picture) VALUES ($1, 'https://p/bob')")
        .bind(bob.0)
        .execute(&harness.db)
        .await
        .unwrap();
    let pictures = |items: Value| HttpRequest::ProfilePictures {
        token_id: token_id(),
        body: json!({"items": items}).to_string().into(),
    };
    let items = json!([{"type": "user", "id": bob}, {"type": "user", "id": "999"}, {"type": "community", "id": "c"}]);
    let expected = json!([
        {"type": "user", "id": bob, "hasPicture": true, "default": false, "url": "https://p/bob"},
        {"type": "user", "id": "999", "hasPicture": false, "default": true},
        {"type": "community", "id": "c", "hasPicture": false, "default": true},
    ]);
    assert_eq!(http(&harness, alice, pictures(items.clone())).await.1["items"], expected);
    sqlx::query("DELETE FROM user_profile_info").execute(&harness.db).await.unwrap();
    assert_eq!(http(&harness, alice, pictures(items)).await.1["items"], expected, "from the cache");
    // A community shows its picture only to its members.
    sqlx::raw_sql("INSERT INTO communities (community_id, name, avatar_url, default_group_id) VALUES ('seen', 'n', 'https://p/c', 'g')")
        .execute(&harness.db)
        .await
        .unwrap();
    let picture = async |user| {
        let items = json!([{"type": "community", "id": "seen"}]);
        http(&harness, user, pictures(items)).await.1["items"][0]["hasPicture"].clone()
    };
    sqlx::query("INSERT INTO community_members (community_id, user_id, role) VALUES ('seen', $1, 'member')")
        .bind(bob.0)
        .execute(&harness.db)
        .await
        .unwrap();
    assert_eq!((picture(bob).await, picture(alice).await), (json!(true), json!(false)));
    let many: Vec<Value> = (1..=51).map(|id| json!({"type": "user", "id": id})).collect();
    for bad in [json!(many), json!(5), json!([{"type": "dog", "id": 1}]), json!([{"type": "user", "id": "x"}])] {
        assert_eq!(http(&harness, alice, pictures(bad)).await.0, 400);
    }

    sqlx::query("INSERT INTO jwt_revocation (jti) VALUES ('t')").execute(&harness.db).await.unwrap();
    assert_eq!(http(&harness, alice, conversations("")).await.0, 401);
    assert_eq!(http(&harness, UserId(999), pictures(json!([]))).await.0, 401);
}

#[tokio::test]
async fn accounts_of_the_servers_own() {
    let harness = Harness::start("accounts").await;
    let register = |body: Value| HttpRequest::Register { body: body.to_string().into() };
    let login = |name: &str, password: &str| HttpRequest::Login {
        body: json!({"username": name, "password": password}).to_string().into(),
    };
    let nobody = UserId(0);
    let alice =
        json!({"username": "alice", "password": "correct horse", "email": "a@example.org", "displayName": "Al"});
    let (status, profile) = http(&harness, nobody, register(alice)).await;
    assert_eq!((status, &profile["username"], &profile["displayName"]), (200, &json!("alice"), &json!("Al")));
    for (body, status, field) in [
        (json!({"username": "ALICE", "password": "12345678"}), 409, "username"),
        (json!({"username": "bob", "password": "12345678", "email": "A@example.org"}), 409, "email"),
        (json!({"username": "bob", "password": "1234567"}), 400, "password"),
        (json!({"username": "b b", "password": "12345678"}), 400, "username"),
        (json!({"username": "everyone", "password": "12345678"}), 400, "username"),
        (json!({"username": "bob", "password": "12345678", "email": "x y"}), 400, "email"),
        (json!({"password": "12345678"}), 400, "username"),
    ] {
        let (got, answer) = http(&harness, nobody, register(body.clone())).await;
        assert_eq!((got, &answer["field"]), (status, &json!(field)), "{body}");
    }
    let (status, again) = http(&harness, nobody, login("alice", "correct horse")).await;
    assert_eq!((status, &again["userId"]), (200, &profile["userId"]));
    let wrong = http(&harness, nobody, login("alice", "wrong")).await;
    let unknown = http(&harness, nobody, login("nobody", "wrong")).await;
    assert_eq!(wrong, unknown);
    assert_eq!((wrong.0, &wrong.1["code"]), (401, &json!("AUTH_FAILED")));
    let stored: String =
        sqlx::query_scalar("SELECT password_hash FROM users_auth").fetch_one(&harness.db).await.unwrap();
    assert!(stored.starts_with("$argon2id$") && !stored.contains("horse"));

    let user: UserId = profile["userId"].as_str().unwrap().parse().unwrap();
    let expires_at = Timestamp::now();
    for _ in 0..2 {
        let logout = HttpRequest::Logout { token_id: TokenId("jti".to_owned()), expires_at };
        assert_eq!(http(&harness, user, logout).await.0, 200);
    }
    let refused = harness.internal(user, Internal::Authenticate { token_id: TokenId("jti".to_owned()) }).await;
    assert!(matches!(refused, InternalReply::Refused { .. }));
}

#[tokio::test]
async fn passwords_are_rejected_at_once_when_hashing_is_busy() {
    const MANY: usize = 40;
    let harness = Harness::start("hashes").await;
    let alice = harness.user("alice").await;
    let mut asked = Vec::new();
    for number in 0..MANY {
        // A login with an unknown name is hashed, too.
        let request = match number % 2 {
            0 => json!({"username": format!("user{number}"), "password": "12345678"}),
            _ => json!({"username": "nobody", "password": "12345678"}),
        };
        let body = request.to_string().into();
        let request = if number % 2 == 0 { HttpRequest::Register { body } } else { HttpRequest::Login { body } };
        asked.push(harness.internal(UserId(0), Internal::Http(request)));
    }
    let query = harness.expect(alice, json!({"type": "get_user_groups"}), "user_groups");
    let (replies, _) = tokio::join!(futures_util::future::join_all(asked), query);
    let refusals: Vec<Value> = replies
        .iter()
        .filter_map(|reply| match reply {
            InternalReply::Http { status: 503, json } => Some(serde_json::from_slice(json).unwrap()),
            _ => None,
        })
        .collect();
    assert!((MANY / 2..MANY).contains(&refusals.len()), "{} of {MANY} were refused", refusals.len());
    for refusal in refusals {
        assert_eq!((&refusal["code"], &refusal["retryAfter"]), (&json!("SERVICE_UNAVAILABLE"), &json!(1)));
    }
}

/// Nor does its row in the community bring it back.
#[tokio::test]
async fn a_deleted_account_leaves_its_communities_for_good() {
    let harness = Harness::start("departedmember").await;
    let [alice, bob, carol] = harness.users(["alice", "bob", "carol"]).await;
    let community = json!({"communityId": "c1", "name": "Runners"});
    let members = json!([{"userId": alice, "role": "owner"}, {"userId": bob, "role": "member"}]);
    sync(&harness, &json!({"community": community, "members": members})).await;
    sqlx::query("DELETE FROM users_auth WHERE user_id = $1").bind(alice.0).execute(&harness.db).await.unwrap();
    harness.until("SELECT NOT EXISTS (SELECT FROM departed_users)").await;
    harness.until(&format!("SELECT NOT EXISTS (SELECT FROM community_members WHERE user_id = {alice})")).await;
    // As an older backup of the main backend would leave it.
    sqlx::query("INSERT INTO community_members (community_id, user_id, role) VALUES ('c1', $1, 'owner')")
        .bind(alice.0)
        .execute(&harness.db)
        .await
        .unwrap();
    let further = json!([{"userId": carol, "role": "member"}]);
    sync(&harness, &json!({"community": community, "members": further})).await;
    let users: Vec<i64> = group_roles(&harness).await.into_iter().map(|(user, _)| user).collect();
    assert_eq!(users, [bob.0, carol.0]);
}
