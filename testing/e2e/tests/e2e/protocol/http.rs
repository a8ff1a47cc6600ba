//! The HTTP endpoints: who may use them, what they answer, and what members see of the main backend's changes. The
//! request itself checks each JSON answer against the OpenAPI document.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use client::token::TokenBuilder;
use client::{Client, event_type};
use e2e::{Answer, Request};
use serde_json::{Value, json};

use super::Kind::{Int, Str, Time};
use super::{ORIGIN, Person, SOON, fleet, has_fields};

fn gateway(place: usize) -> Result<String> {
    Ok(fleet()?.fleet.gateways[place].url())
}

/// Sends to one gateway; must be rejected in the common form, with this status and code.
async fn refused(request: Request, status: u16, code: &str) -> Result<Answer> {
    let answer = request.send(&gateway(0)?).await?;
    let body = answer.json();
    ensure!(
        (answer.status, &body["code"]) == (status, &json!(code)),
        "{status} {code}: {} {body} of {request:?}",
        answer.status
    );
    ensure!(body["status"] == "error" && body["message"].is_string(), "{body}");
    ensure!((answer.header("www-authenticate") == "Bearer") == (status == 401), "{answer:?}");
    Ok(answer)
}

async fn ok(request: Request, place: usize) -> Result<Value> {
    let answer = request.send(&gateway(place)?).await?;
    ensure!(answer.status == 200, "{request:?}: {} {}", answer.status, answer.text());
    Ok(answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_of_every_server() -> Result<()> {
    let fleet = fleet()?;
    for server in fleet.fleet.gateways.iter().chain(&fleet.fleet.workers) {
        let url = server.url();
        for (path, field) in [("/live", "alive"), ("/ready", "ready")] {
            let answer = Request::get(path).send(&url).await?;
            ensure!((answer.status, &answer.json()[field]) == (200, &json!(true)), "{path}: {}", answer.text());
            let refused = Request::new("DELETE", path).send(&url).await?;
            assert_eq!((refused.status, &refused.json()["code"]), (405, &json!("METHOD_NOT_ALLOWED")), "{path}");
        }
        // Servers learn of each other after a while.
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let health = Request::get("/health").send(&url).await?.json();
            if (&health["status"], &health["fleet"]) == (&json!("healthy"), &json!({"gateways": 2, "workers": 2})) {
                break;
            }
            ensure!(tokio::time::Instant::now() < deadline, "{health}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let numbers = Request::get("/metrics").header("Accept", "application/json").send(&url).await?;
        has_fields(&numbers.json(), &[("connections", Int), ("startTime", Int), ("rateLimitHits", Int)])?;
        let text = Request::get("/metrics").send(&url).await?;
        ensure!(text.header("content-type").starts_with("text/plain; version=0.0.4"), "{text:?}");
        ensure!(text.text().contains("# TYPE"), "{}", text.text());
        let head = Request::new("HEAD", "/live").send(&url).await?;
        assert_eq!((head.status, head.text().as_str()), (200, ""));
        let nothing = Request::get("/nothing").send(&url).await?;
        assert_eq!(nothing.status, 404);
    }
    let packed = Request::get("/metrics").header("Accept-Encoding", "gzip").send(&gateway(0)?).await?;
    assert_eq!(packed.header("content-encoding"), "gzip");
    ensure!(packed.text().contains("# TYPE"), "not unpacked");
    assert_eq!(Request::get("/").send(&gateway(0)?).await?.status, 426);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_tokens_open_the_endpoints_of_users() -> Result<()> {
    let fleet = fleet()?;
    let (alice, secret) = (fleet.user("alice")?, &fleet.fleet.secrets().jwt_secret);
    let token = || TokenBuilder::new(alice.id, Duration::from_secs(600));
    let revoked = token();
    fleet.sql(&format!("INSERT INTO jwt_revocation (jti, user_id) VALUES ('{}', {})", revoked.jti(), alice.id))?;
    let nobody = TokenBuilder::new(999_999_999, Duration::from_secs(600));
    for request in [
        Request::get("/api/conversations"),
        Request::post("/api/profile-pictures/batch", &json!({"items": []})),
        Request::post("/api/auth/logout", &json!({})),
    ] {
        refused(request.clone(), 401, "TOKEN_MISSING").await?;
        refused(request.clone().header("Authorization", "Basic eDp5"), 401, "TOKEN_MISSING").await?;
        refused(request.clone().bearer("x.y.z"), 401, "TOKEN_INVALID").await?;
        refused(request.clone().bearer(&token().expires_in_seconds(-60).sign(secret)?), 401, "TOKEN_EXPIRED").await?;
    }
    for request in
        [Request::get("/api/conversations"), Request::post("/api/profile-pictures/batch", &json!({"items": []}))]
    {
        for token in [&revoked, &nobody] {
            refused(request.clone().bearer(&token.sign(secret)?), 401, "AUTH_FAILED").await?;
        }
    }
    let allowed = Request::post("/api/conversations", &json!({})).bearer(&alice.token).send(&gateway(0)?).await?;
    assert_eq!((allowed.status, allowed.header("allow")), (405, "GET, HEAD, OPTIONS"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_listed_paged_and_packed() -> Result<()> {
    let mut alice = Person::connect("alice", 0).await?;
    let list = |query: &str| Request::get(&format!("/api/conversations{query}")).bearer(&alice.user.token);
    assert_eq!(ok(list(""), 1).await?["conversations"], json!([]));
    let others = fleet()?.users(["bob", "carol", "dave"])?;
    for other in &others {
        let send = json!({"type": "send_message", "recipientId": other.id, "content": format!("{} {}", other.name, "ü".repeat(500))});
        alice.client.request_ok(send).await?;
    }
    let list = |query: &str| Request::get(&format!("/api/conversations{query}")).bearer(&alice.user.token);
    let all = ok(list(""), 1).await?;
    assert_eq!(all["pagination"], json!({"limit": 50, "offset": 0, "count": 3, "hasMore": false}));
    let newest = &all["conversations"][0];
    assert_eq!(newest["participant"]["userId"], others[2].id.to_string());
    has_fields(&newest["lastMessage"], &[("id", Str), ("content", Str), ("senderId", Str), ("timestamp", Time)])?;
    let page = ok(list("?limit=1&offset=1"), 0).await?;
    assert_eq!(page["pagination"], json!({"limit": 1, "offset": 1, "count": 1, "hasMore": true}));
    assert_eq!(page["conversations"][0], all["conversations"][1]);
    assert_eq!(ok(list("?limit=201"), 0).await?["pagination"]["limit"], 200);
    for query in ["?limit=0", "?limit=-1", "?limit=x", "?offset=-1", "?limit=1.5"] {
        refused(list(query), 400, "VALIDATION_ERROR").await?;
    }
    let packed = list("").header("Accept-Encoding", "gzip, br").send(&gateway(0)?).await?;
    assert_eq!((packed.header("content-encoding"), &packed.json()["conversations"]), ("gzip", &all["conversations"]));
    assert_eq!(list("").header("Accept-Encoding", "gzip;q=0").send(&gateway(0)?).await?.header("content-encoding"), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_read_answers() -> Result<()> {
    let alice = fleet()?.user("alice")?;
    let list = Request::get("/api/conversations").bearer(&alice.token);
    let allowed = list.clone().header("Origin", ORIGIN).send(&gateway(0)?).await?;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, ORIGIN));
    let foreign = list.header("Origin", "https://evil.example").send(&gateway(0)?).await?;
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    let preflight = Request::new("OPTIONS", "/api/profile-pictures/batch").header("Origin", ORIGIN);
    let preflight = preflight.header("Access-Control-Request-Method", "POST").send(&gateway(1)?).await?;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, ORIGIN));
    ensure!(preflight.header("access-control-allow-headers").contains("authorization"), "{preflight:?}");
    // A WebSocket from another origin is refused before the upgrade.
    let url = fleet()?.gateway_url(0);
    match client::Connect::new(&url).origin("https://evil.example").open().await {
        Err(client::Error::Http { status: 403, .. }) => {}
        other => anyhow::bail!("a foreign origin is to get 403: {other:?}"),
    }
    client::Connect::new(&url).origin(ORIGIN).open().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_found_and_bodies_are_bounded() -> Result<()> {
    let fleet = fleet()?;
    let [alice, bob] = fleet.users(["alice", "bob"])?;
    fleet.sql(&format!(
        "INSERT INTO user_profile_info (user_id, profile_picture) VALUES ({}, 'https://example.org/a.png')",
        alice.id
    ))?;
    let path = "/api/profile-pictures/batch";
    let ask = |body: &Value| Request::post(path, body).bearer(&bob.token);
    let items = json!([{"type": "user", "id": alice.id}, {"type": "user", "id": bob.id.to_string()}, {"type": "community", "id": "none"}]);
    let found = ok(ask(&json!({"items": items})), 0).await?;
    let with = json!({"type": "user", "id": alice.id.to_string(), "hasPicture": true, "default": false, "url": "https://example.org/a.png"});
    let without = |kind: &str, id: &str| json!({"type": kind, "id": id, "hasPicture": false, "default": true});
    assert_eq!(found["items"], json!([with, without("user", &bob.id.to_string()), without("community", "none")]));
    let item = json!({"type": "user", "id": bob.id});
    ok(ask(&json!({"items": vec![item.clone(); 50]})), 1).await?;
    for body in [
        json!({"items": vec![item; 51]}),
        json!({}),
        json!([]),
        json!({"items": [{"type": "group", "id": 1}]}),
        json!({"items": [{"type": "user", "id": "x"}]}),
        json!({"items": [1]}),
    ] {
        refused(ask(&body), 400, "VALIDATION_ERROR").await?;
    }
    refused(ask(&json!({})).body("{"), 400, "INVALID_JSON").await?;
    // With its length announced it is not read; otherwise it is read up to the bound.
    refused(ask(&json!({})).announcing(65_537), 413, "PAYLOAD_TOO_LARGE").await?;
    Ok(())
}

/// Sends a community's state as the main backend does.
async fn sync(body: &Value, place: usize) -> Result<Value> {
    let secret = &fleet()?.fleet.secrets().community_sync_token;
    ok(Request::post("/community/progression", body).bearer(secret), place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn community_changes_of_the_main_backend_reach_all_members() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let (mut carol, mut outsider) = (Person::connect("carol", 1).await?, Person::connect("dave", 0).await?);
    let community = json!({"communityId": format!("c-{}", alice.user.id), "name": "Runners"});
    let members = json!([{"userId": alice.user.id, "role": "owner"}, {"userId": bob.id()}, {"userId": 999_999_999}]);
    let first = sync(&json!({"community": community, "members": members}), 0).await?;
    assert_eq!(first["skippedMembers"], json!([{"userId": "999999999", "reason": "RESOURCE_NOT_FOUND"}]));
    let group = first["defaultGroupId"].clone();
    for person in [&mut alice, &mut bob] {
        person.sees_durable("group_created", ("groupId", &group), &[("groupName", Str), ("memberCount", Int)]).await?;
        let listed = person.ask(json!({"type": "get_communities"}), "community_list", &[]).await?;
        assert_eq!(listed["communities"][0]["defaultGroupId"], group);
    }
    // Members write to it with the ordinary commands, on any gateway.
    let send = json!({"type": "send_group_message", "groupId": group, "content": "hi"});
    let sent = bob.ask(send.clone(), "group_message_sent", &[]).await?;
    alice.sees("new_group_message", ("messageId", &sent["messageId"]), &[]).await?;
    outsider.refused(send, "RESOURCE_NOT_FOUND").await?;
    bob.refused(json!({"type": "leave_group", "groupId": group}), "PERMISSION_DENIED").await?;

    // An achievement is pushed once, to members who are online.
    let event = json!({
        "eventId": format!("e-{}", alice.user.id), "userId": bob.user.id, "challengeId": 12, "challengeType": "daily",
        "xpAwarded": 20, "occurredAt": "2026-03-01T10:15:02+01:00", "payload": {"nested": [1]},
    });
    let told = sync(&json!({"community": community, "event": event}), 1).await?;
    assert_eq!((&told["progress"]["totalXp"], &told["broadcast"]["delivered"]), (&json!(20), &json!(2)));
    for person in [&mut alice, &mut bob] {
        let update = person.sees("community_progress_update", ("communityId", &community["communityId"]), &[]).await?;
        assert_eq!((&update["event"]["payload"], &update["progress"]), (&json!({"nested": [1]}), &told["progress"]));
    }
    let again = sync(&json!({"community": community, "event": event}), 0).await?;
    assert_eq!((&again["duplicate"], &again["progress"]["totalXp"]), (&json!(true), &json!(20)));
    let progress = json!({"type": "get_community_progress", "communityId": community["communityId"]});
    assert_eq!(bob.ask(progress, "community_progress", &[]).await?["progress"], told["progress"]);

    // Members are added, and with the whole list others are removed.
    sync(&json!({"community": community, "members": [{"userId": carol.id(), "role": "ADMIN"}]}), 1).await?;
    carol.sees_durable("group_created", ("groupId", &group), &[]).await?;
    let added = alice.sees_durable("member_added", ("groupId", &group), &[]).await?;
    assert_eq!((&added["userId"], &added["role"]), (&json!(carol.id()), &json!("admin")));
    let whole = json!([{"userId": alice.id(), "role": "owner"}, {"userId": carol.id(), "role": "admin"}]);
    sync(&json!({"community": community, "members": whole, "membersComplete": true}), 0).await?;
    let gone = json!(bob.id());
    for person in [&mut alice, &mut bob, &mut carol] {
        person.sees_durable("member_removed", ("userId", &gone), &[]).await?;
    }
    let sent = alice
        .ask(json!({"type": "send_group_message", "groupId": group, "content": "bye"}), "group_message_sent", &[])
        .await?;
    carol.sees("new_group_message", ("messageId", &sent["messageId"]), &[]).await?;
    ensure!(!bob.unread().await?.iter().any(|event| event["messageId"] == sent["messageId"]), "bob is out");
    let unread = outsider.unread().await?;
    ensure!(
        !unread.iter().any(|event| event["groupId"] == group || event_type(event).starts_with("community")),
        "{unread:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_tells_of_communities_nor_anything_else() -> Result<()> {
    let fleet = fleet()?;
    let (alice, secret) = (fleet.user("alice")?, &fleet.fleet.secrets().community_sync_token);
    let path = "/community/progression";
    let community = json!({"communityId": "bounds", "name": "Bounds"});
    let body = json!({"community": community});
    refused(Request::post(path, &body), 401, "TOKEN_MISSING").await?;
    for wrong in [alice.token.as_str(), &secret[1..]] {
        refused(Request::post(path, &body).bearer(wrong), 401, "TOKEN_INVALID").await?;
    }
    let tell = |body: &Value| Request::post(path, body).bearer(secret);
    for (body, field) in [
        (json!({}), "community"),
        (json!({"community": {"communityId": "bounds"}}), "name"),
        (json!({"community": community, "members": [{"userId": 1, "role": "king"}]}), "members"),
        (json!({"community": community, "membersComplete": true}), "members"),
        (json!({"community": community, "event": {"eventId": "e", "userId": 1, "xpAwarded": -1}}), "xpAwarded"),
    ] {
        let answer = refused(tell(&body), 400, "VALIDATION_ERROR").await?;
        assert_eq!(answer.json()["field"], field, "{body}");
    }
    refused(tell(&body).body("{"), 400, "INVALID_JSON").await?;
    let mut large = body.to_string().into_bytes();
    large.resize(256 * 1024, b' ');
    ok(tell(&body).body(large), 0).await?;
    refused(tell(&body).announcing(256 * 1024 + 1), 413, "PAYLOAD_TOO_LARGE").await?;
    assert_eq!(fleet.sql("SELECT count(*) FROM communities WHERE community_id = 'bounds'")?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_used_and_left() -> Result<()> {
    let fleet = fleet()?;
    let name = format!("Zoe_{}", fleet.user("unique")?.id);
    let email = format!("{name}@example.net");
    let password = "correct horse battery";
    let account = json!({"username": name, "email": email, "password": password, "displayName": "Zoë"});
    let register = |body: &Value| Request::post("/api/auth/register", body);
    let signed_in = ok(register(&account), 0).await?;
    assert_eq!((&signed_in["user"]["username"], &signed_in["user"]["displayName"]), (&json!(name), &json!("Zoë")));
    for taken in [
        json!({"username": name.to_uppercase(), "password": password}),
        json!({"username": format!("{name}2"), "email": email, "password": password}),
    ] {
        refused(register(&taken), 409, "VALIDATION_ERROR").await?;
    }
    for (field, value) in [
        ("username", json!("x")),
        ("username", json!("everyone")),
        ("username", json!("a b")),
        ("password", json!("short")),
        ("email", json!("none")),
    ] {
        let mut body = json!({"username": format!("{name}3"), "password": password});
        body[field] = value;
        assert_eq!(refused(register(&body), 400, "VALIDATION_ERROR").await?.json()["field"], field, "{body}");
    }
    refused(register(&json!({})).announcing(16 * 1024 + 1), 413, "PAYLOAD_TOO_LARGE").await?;

    let login =
        |name: &str, password: &str| Request::post("/api/auth/login", &json!({"username": name, "password": password}));
    let token = ok(login(&name, password), 1).await?["token"].as_str().unwrap_or_default().to_owned();
    refused(login(&name, "wrong"), 401, "AUTH_FAILED").await?;
    refused(login("nobody at all", password), 401, "AUTH_FAILED").await?;

    // The token is like any other, until it is revoked by signing out.
    let mut client = Client::login(&fleet.gateway_url(0), &token).await?;
    assert_eq!(client.session()["username"], json!(name));
    client.request_ok(json!({"type": "get_user_groups"})).await?;
    assert_eq!(ok(Request::post("/api/auth/logout", &json!({})).bearer(&token), 0).await?, json!({"status": "ok"}));
    refused(Request::get("/api/conversations").bearer(&token), 401, "AUTH_FAILED").await?;
    let mut again = Client::connect(&fleet.gateway_url(1)).await?;
    let refusal = again.request_within(json!({"type": "authenticate", "token": token}), SOON).await?;
    assert_eq!((event_type(&refusal), &refusal["code"]), ("auth_error", &json!("TOKEN_REVOKED")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_where_one_is_signed_in_and_ends_it_there() -> Result<()> {
    let fleet = fleet()?;
    let account = json!({"username": format!("Yan_{}", fleet.user("unique")?.id), "password": "correct horse battery"});
    ok(Request::post("/api/auth/register", &account), 0).await?;
    let mut devices = Vec::new();
    for place in [0, 1, 0] {
        let answer = ok(Request::post("/api/auth/login", &account), place).await?;
        let token = answer["token"].as_str().unwrap_or_default().to_owned();
        devices.push(Client::login(&fleet.gateway_url(place), &token).await?);
    }
    let [own, second, third] = &mut devices[..] else { bail!("three devices") };
    // Where somebody connects is noted by and by.
    let listed = loop {
        let answer = own.request_ok(json!({"type": "get_sign_ins"})).await?;
        let listed = answer["signIns"].as_array().cloned().unwrap_or_default();
        if listed.len() == 3 {
            break listed;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for sign_in in &listed {
        let times = [("signedInAt", Time), ("lastSeenAt", Time), ("expiresAt", Time), ("signInId", Str)];
        has_fields(sign_in, &times)?;
        assert_eq!(sign_in["address"], "127.0.0.1");
    }
    let id_of = |place: usize| listed[place]["signInId"].clone();
    // The last one that connected is listed first.
    let answer = own.request_ok(json!({"type": "end_sign_in", "signInId": id_of(0)})).await?;
    assert_eq!((event_type(&answer), &answer["others"]), ("sign_in_ended", &json!(false)));
    assert_eq!(third.wait_closed(SOON).await?.code, Some(1008));
    let answer = own.request_ok(json!({"type": "end_sign_in", "signInId": id_of(2), "others": true})).await?;
    assert_eq!(answer["others"], true);
    assert_eq!(second.wait_closed(SOON).await?.code, Some(1008));
    let left = own.request_ok(json!({"type": "get_sign_ins"})).await?;
    let left: Vec<&Value> = left["signIns"].as_array().into_iter().flatten().map(|one| &one["signInId"]).collect();
    assert_eq!(left, [&id_of(2)]);

    // Those of others are not there.
    let mut stranger = Person::connect("stranger", 1).await?;
    for others in [false, true] {
        let end = json!({"type": "end_sign_in", "signInId": id_of(2), "others": others});
        stranger.refused(end, "RESOURCE_NOT_FOUND").await?;
    }
    own.request_ok(json!({"type": "get_user_groups"})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_tried_ten_times() -> Result<()> {
    let name = fleet()?.user("tried")?.name;
    let login = Request::post("/api/auth/login", &json!({"username": name, "password": "a guess"}));
    for place in 0..10 {
        // The limit applies to the whole fleet.
        let answer = login.send(&gateway(place % 2)?).await?;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("AUTH_FAILED")), "attempt {place}");
    }
    let answer = refused(login, 429, "RATE_LIMIT_EXCEEDED").await?;
    ensure!(
        answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=1000).contains(&seconds)),
        "{answer:?}"
    );
    Ok(())
}
