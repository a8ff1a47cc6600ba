//! The HTTP endpoints that need a worker: what each passes on, what it answers, and whom it turns away.

use std::time::Duration;

use serde_json::{Value, json};
use shared::auth::TokenVerifier;
use shared::clock::Timestamp;
use shared::commands::Command;
use shared::events::session::Profile;
use shared::ids::{ConversationId, GroupId, MessageId, TokenId, UserId};
use shared::server_api::key::ApiKey;
use shared::stream::{Envelope, HttpRequest, Internal, InternalReply, ServerCall};
use uuid::Uuid;

use crate::fake_worker::FakeWorker;
use crate::harness::{BRIEFLY, Harness, JWT_SECRET, SOON, exchange, redis_url, token};

const SYNC_TOKEN: &str = "a secret of two servers";
const BUILTIN_AUTH: (&str, &str) = ("BUILTIN_AUTH", "true");

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Asserts an error in the usual form with this status and code.
    fn assert_refused(&self, status: u16, code: &str) {
        let json = self.json();
        assert_eq!((self.status, &json["code"]), (status, &json!(code)), "{json}");
        assert!(json["status"] == "error" && json["message"].is_string(), "{json}");
        assert_eq!(self.head.contains("www-authenticate: bearer"), status == 401, "{}", self.head);
        assert_eq!(self.head.contains("retry-after: "), status == 429 || status == 503, "{}", self.head);
    }
}

fn request(method: &str, path: &str, bearer: Option<&str>, body: &str) -> String {
    let bearer = bearer.map(|bearer| format!("Authorization: Bearer {bearer}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n{bearer}Content-Length: {length}\r\n\r\n{body}"
    )
}

async fn send(harness: &Harness, request: String) -> Answer {
    let (status, head, body) = exchange(&harness.url, &request).await;
    Answer { status, head, body }
}

/// Sends a request that reaches a worker, and answers it as the worker.
async fn served(harness: &mut Harness, request: String, reply: InternalReply) -> (Envelope, HttpRequest, Answer) {
    let url = harness.url.clone();
    let exchange = tokio::spawn(async move { exchange(&url, &request).await });
    let (envelope, internal) = harness.worker.internal("http").await;
    let Internal::Http(passed_on) = internal else { panic!("{internal:?}") };
    harness.worker.reply(&envelope, &reply).await;
    let (status, head, body) = exchange.await.unwrap();
    (envelope, passed_on, Answer { status, head, body })
}

fn ok(body: &Value) -> InternalReply {
    InternalReply::Http { status: 200, json: body.to_string().into_bytes() }
}

fn jti(token: &str) -> TokenId {
    TokenVerifier::new(JWT_SECRET).unwrap().verify(token, Timestamp::now().0 / 1000).unwrap().jti
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_asked_for_in_the_name_of_the_token() {
    let mut harness = Harness::start(&[]).await;
    let token = token(7);
    let listed = json!({"status": "ok", "conversations": []});
    for (path, query) in [("/api/conversations?limit=5&offset=2", "limit=5&offset=2"), ("/api/conversations", "")] {
        let (envelope, passed_on, answer) =
            served(&mut harness, request("GET", path, Some(&token), ""), ok(&listed)).await;
        assert_eq!(envelope.user, UserId(7));
        assert_eq!(passed_on, HttpRequest::Conversations { token_id: jti(&token), query: query.to_owned() });
        assert_eq!((answer.status, answer.json()), (200, listed.clone()));
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    }
    // A worker's error is already in its final form.
    let refusal = json!({"status": "error", "code": "AUTH_FAILED", "message": "revoked"});
    let revoked = InternalReply::Http { status: 401, json: refusal.to_string().into_bytes() };
    let (_, _, answer) = served(&mut harness, request("GET", "/api/conversations", Some(&token), ""), revoked).await;
    answer.assert_refused(401, "AUTH_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_valid_token_gets_no_further() {
    let harness = Harness::start(&[BUILTIN_AUTH]).await;
    let foreign = "Zm9yIHNvbWVib2R5IGVsc2UsIGFuZCBsb25nIGVub3VnaCBmb3IgaXQ=";
    let expired = shared::auth::TokenSigner::new(JWT_SECRET).unwrap().sign(7, "old", 1_000, Duration::from_secs(1));
    let foreign = client::token::mint(foreign, 7, SOON).unwrap();
    for (method, path) in
        [("GET", "/api/conversations"), ("POST", "/api/profile-pictures/batch"), ("POST", "/api/auth/logout")]
    {
        for (bearer, code) in [
            (None, "TOKEN_MISSING"),
            (Some("x.y.z"), "TOKEN_INVALID"),
            (Some(foreign.as_str()), "TOKEN_INVALID"),
            (expired.as_deref().ok(), "TOKEN_EXPIRED"),
        ] {
            send(&harness, request(method, path, bearer, "{}")).await.assert_refused(401, code);
        }
    }
    nothing_was_passed_on(harness).await;
}

async fn nothing_was_passed_on(mut harness: Harness) {
    let any = tokio::time::timeout(BRIEFLY, harness.worker.internal("http")).await;
    assert!(any.is_err(), "{any:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_asked_for_with_a_bounded_body() {
    let mut harness = Harness::start(&[]).await;
    let path = "/api/profile-pictures/batch";
    let (token, body) = (token(7), r#"{"items":[{"type":"user","id":"1"}]}"#);
    let answered = json!({"status": "ok", "items": []});
    let (envelope, passed_on, answer) =
        served(&mut harness, request("POST", path, Some(&token), body), ok(&answered)).await;
    assert_eq!(envelope.user, UserId(7));
    assert_eq!(passed_on, HttpRequest::ProfilePictures { token_id: jti(&token), body: body.into() });
    assert_eq!((answer.status, answer.json()), (200, answered));

    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 65537\r\n\r\n");
    send(&harness, head).await.assert_refused(413, "PAYLOAD_TOO_LARGE");
    nothing_was_passed_on(harness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn communities_are_synced_with_the_shared_secret() {
    let settings = [("COMMUNITY_SYNC_TOKEN", SYNC_TOKEN), ("COMMUNITY_SYNC_MAX_PAYLOAD", "1KiB")];
    let mut harness = Harness::start(&settings).await;
    let path = "/community/progression";
    let largest = format!("{{{}}}", " ".repeat(1022));
    let answered = json!({"status": "ok", "communityId": "c"});
    let sync = request("POST", path, Some(SYNC_TOKEN), &largest);
    let (_, passed_on, answer) = served(&mut harness, sync, ok(&answered)).await;
    assert_eq!(passed_on, HttpRequest::CommunitySync { body: largest.into_bytes() });
    assert_eq!((answer.status, answer.json()), (200, answered));

    let (almost, user) = (&SYNC_TOKEN[1..], token(7));
    send(&harness, request("POST", path, None, "{}")).await.assert_refused(401, "TOKEN_MISSING");
    for bearer in [almost, &user] {
        send(&harness, request("POST", path, Some(bearer), "{}")).await.assert_refused(401, "TOKEN_INVALID");
    }
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SYNC_TOKEN}\r\n");
    // Announced as too large: rejected before its first byte arrives.
    let announced = format!("{head}Content-Length: 1025\r\n\r\n");
    send(&harness, announced).await.assert_refused(413, "PAYLOAD_TOO_LARGE");
    // Not announced: rejected when it exceeds the bound, even if more is to come.
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n", " ".repeat(1025));
    send(&harness, chunked).await.assert_refused(413, "PAYLOAD_TOO_LARGE");
    nothing_was_passed_on(harness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_settings_do_not_turn_on_is_not_there() {
    let harness = Harness::start(&[]).await;
    for path in ["/community/progression", "/api/auth/register", "/api/auth/login", "/api/auth/logout"] {
        send(&harness, request("POST", path, Some("x"), "{}")).await.assert_refused(404, "RESOURCE_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_gives_a_token_of_a_day() {
    let mut harness = Harness::start(&[BUILTIN_AUTH]).await;
    let body = r#"{"username":"alice","password":"correct horse"}"#;
    let profile = json!({
        "id": "9", "userId": "9", "username": "alice", "email": null, "displayName": "Alice", "profileImage": null,
        "bio": null,
    });
    for (path, expected) in [
        ("/api/auth/register", HttpRequest::Register { body: body.into() }),
        // The account is known to be used from here, and strangers take no place of its user's.
        ("/api/auth/login", HttpRequest::KnownLogin { body: body.into() }),
    ] {
        let reply = InternalReply::SignedIn { user: UserId(9), profile: profile.to_string().into_bytes() };
        let (_, passed_on, answer) = served(&mut harness, request("POST", path, None, body), reply).await;
        assert_eq!(passed_on, expected);
        let signed_in = answer.json();
        assert_eq!((answer.status, &signed_in["user"]), (200, &profile));
        let now = Timestamp::now().0 / 1000;
        let claims = TokenVerifier::new(JWT_SECRET).unwrap().verify(signed_in["token"].as_str().unwrap(), now).unwrap();
        assert_eq!(claims.user_id, 9);
        assert!((86_300..=86_400).contains(&(claims.exp_unix - now)), "{claims:?}");
    }
    // Trying to register a name that is taken makes nobody known to its account.
    let taken = json!({"status": "error", "code": "VALIDATION_ERROR", "message": "taken", "field": "username"});
    let reply = InternalReply::Http { status: 409, json: taken.to_string().into_bytes() };
    let body = r#"{"username":"bob","password":"correct horse"}"#;
    let (_, _, answer) = served(&mut harness, request("POST", "/api/auth/register", None, body), reply).await;
    answer.assert_refused(409, "VALIDATION_ERROR");
    let reply = InternalReply::SignedIn { user: UserId(9), profile: profile.to_string().into_bytes() };
    for expected in [HttpRequest::Login { body: body.into() }, HttpRequest::KnownLogin { body: body.into() }] {
        let login = request("POST", "/api/auth/login", None, body);
        assert_eq!(served(&mut harness, login, reply.clone()).await.1, expected);
    }
    let too_large = request("POST", "/api/auth/login", None, "").replace("Length: 0", "Length: 16385");
    send(&harness, too_large).await.assert_refused(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_revokes_the_token_until_it_expires() {
    let mut harness = Harness::start(&[BUILTIN_AUTH]).await;
    let token = token(7);
    let claims = TokenVerifier::new(JWT_SECRET).unwrap().verify(&token, Timestamp::now().0 / 1000).unwrap();
    let logout = request("POST", "/api/auth/logout", Some(&token), "");
    let (envelope, passed_on, answer) = served(&mut harness, logout, ok(&json!({"status": "ok"}))).await;
    assert_eq!(envelope.user, UserId(7));
    let expires_at = Timestamp(claims.exp_unix * 1000);
    assert_eq!(passed_on, HttpRequest::Logout { token_id: claims.jti, expires_at });
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_limited_per_account_and_per_address() {
    let mut harness = Harness::start(&[BUILTIN_AUTH, ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let login = |name: &str, address: &str| {
        let body = json!({"username": name, "password": "wrong"}).to_string();
        request("POST", "/api/auth/login", None, &body)
            .replace("Host: gateway", &format!("Host: gateway\r\nX-Forwarded-For: {address}"))
    };
    let wrong = json!({"status": "error", "code": "AUTH_FAILED", "message": "wrong"}).to_string().into_bytes();
    let wrong = InternalReply::Http { status: 401, json: wrong };
    // Her password is right this time.
    let profile = Profile {
        id: UserId(7),
        user_id: UserId(7),
        username: "alice".to_owned(),
        email: None,
        display_name: "alice".to_owned(),
        profile_image: None,
        bio: None,
    };
    let right = InternalReply::SignedIn { user: UserId(7), profile: serde_json::to_vec(&profile).unwrap() };
    let at_home = login("alice", "6.6.6.6");
    assert_eq!(served(&mut harness, at_home.clone(), right.clone()).await.2.status, 200);
    // An account from one address, in any letter case.
    for attempt in 0..10 {
        let login = login(if attempt % 2 == 0 { "alice" } else { "Alice" }, "9.9.9.9");
        served(&mut harness, login, wrong.clone()).await.2.assert_refused(401, "AUTH_FAILED");
    }
    send(&harness, login("alice", "9.9.9.9")).await.assert_refused(429, "RATE_LIMIT_EXCEEDED");
    // From new addresses each time; her own first login was from an unknown one, too.
    for attempt in 0..89 {
        let login = login("alice", &format!("9.9.8.{attempt}"));
        served(&mut harness, login, wrong.clone()).await.2.assert_refused(401, "AUTH_FAILED");
    }
    send(&harness, login("alice", "9.9.7.1")).await.assert_refused(429, "RATE_LIMIT_EXCEEDED");
    // From an address she used before she is let in anyway, and her mistakes are forgotten.
    for _ in 0..2 {
        for _ in 0..9 {
            served(&mut harness, at_home.clone(), wrong.clone()).await.2.assert_refused(401, "AUTH_FAILED");
        }
        assert_eq!(served(&mut harness, at_home.clone(), right.clone()).await.2.status, 200);
    }
    // One address with a new account each time.
    for attempt in 0..50 {
        let login = login(&format!("user{attempt}"), "8.8.8.8");
        served(&mut harness, login, wrong.clone()).await.2.assert_refused(401, "AUTH_FAILED");
    }
    send(&harness, login("bob", "8.8.8.8")).await.assert_refused(429, "RATE_LIMIT_EXCEEDED");
    let login = login("bob", "7.7.7.7");
    served(&mut harness, login, wrong).await.2.assert_refused(401, "AUTH_FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_does_not_answer_is_a_503() {
    let mut harness = Harness::start(&[]).await;
    let list = request("GET", "/api/conversations", Some(&token(7)), "");
    let unavailable = InternalReply::Unavailable { retry_after: 3 };
    let (_, _, answer) = served(&mut harness, list.clone(), unavailable).await;
    answer.assert_refused(503, "SERVICE_UNAVAILABLE");
    assert!(answer.head.contains("retry-after: 3"), "{}", answer.head);
    let away = json!({"status": "error", "code": "SERVICE_UNAVAILABLE", "message": "no database", "retryAfter": 4});
    let away = InternalReply::Http { status: 503, json: away.to_string().into_bytes() };
    let (_, _, answer) = served(&mut harness, list.clone(), away).await;
    answer.assert_refused(503, "SERVICE_UNAVAILABLE");
    assert!(answer.head.contains("retry-after: 4"), "{}", answer.head);
    // An answer to something else is a fault on our side, and must not cause a panic.
    let (_, _, answer) = served(&mut harness, list, InternalReply::SignedIn { user: UserId(1), profile: vec![] }).await;
    answer.assert_refused(500, "INTERNAL_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nobody_logs_in() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let idle = FakeWorker::start(redis_url(), "unused:").await;
    let harness = Harness::start_with(idle, "gone:", &format!("redis://127.0.0.1:{closed}"), &[BUILTIN_AUTH]).await;
    let body = r#"{"username":"alice","password":"x"}"#;
    let answer = send(&harness, request("POST", "/api/auth/login", None, body)).await;
    answer.assert_refused(503, "SERVICE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_rejected_and_head_is_get_without_a_body() {
    let mut harness = Harness::start(&[]).await;
    for (method, path, allowed) in [
        ("POST", "/api/conversations", "get, head, options"),
        ("GET", "/api/profile-pictures/batch", "post, options"),
        ("HEAD", "/api/profile-pictures/batch", "post, options"),
        ("PUT", "/metrics", "get, head, options"),
    ] {
        let answer = send(&harness, request(method, path, None, "")).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.head.contains(&format!("\r\nallow: {allowed}")), "{}", answer.head);
    }
    let head = request("HEAD", "/api/conversations", Some(&token(7)), "");
    let listed = json!({"status": "ok"});
    let (_, _, answer) = served(&mut harness, head, ok(&listed)).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let length = format!("content-length: {}", listed.to_string().len());
    assert!(answer.head.contains(&length), "{}", answer.head);
    assert_eq!(send(&harness, request("HEAD", "/live", None, "")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_of_allowed_origins_may_ask_first() {
    let harness = Harness::start(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    let preflight = |origin: &str| {
        request("OPTIONS", "/api/conversations", None, "")
            .replace("Host: gateway", &format!("Host: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: GET"))
    };
    let answer = send(&harness, preflight("https://app.example.org")).await;
    assert_eq!(answer.status, 204);
    for header in [
        "access-control-allow-origin: https://app.example.org",
        "access-control-allow-methods: get, head, post",
        "access-control-allow-headers: authorization, content-type",
    ] {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    let answer = send(&harness, preflight("https://evil.example")).await;
    assert!(!answer.head.contains("access-control-allow-origin"), "{}", answer.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_when_asked_for() {
    let mut harness = Harness::start(&[]).await;
    let token = token(7);
    let list = |encoding: &str| {
        request("GET", "/api/conversations", Some(&token), "")
            .replace("Host: gateway", &format!("Host: x\r\nAccept-Encoding: {encoding}"))
    };
    // Incompressible data is delivered, too.
    let noise: String = (0..40_000).map(|_| char::from(rand::random_range(b'!'..=b'~'))).collect();
    let (small, large) = (json!({"a": "x".repeat(900)}), json!({"a": noise}));
    for (encoding, body, compressed) in
        [("br, gzip", &large, true), ("gzip", &small, false), ("br", &large, false), ("gzip;q=0", &large, false)]
    {
        let (_, _, answer) = served(&mut harness, list(encoding), ok(body)).await;
        assert_eq!(answer.head.contains("content-encoding: gzip"), compressed, "{encoding}: {}", answer.head);
        let plain = if compressed { gunzip(&answer.body) } else { answer.body };
        assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), *body, "{encoding}");
    }
}

/// What the server API asks a worker next.
async fn server_call(harness: &mut Harness, reply: &InternalReply) -> ServerCall {
    let (envelope, internal) = harness.worker.internal("http").await;
    let Internal::Http(HttpRequest::ServerCall(call)) = internal else { panic!("{internal:?}") };
    harness.worker.reply(&envelope, reply).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_api_understands_ids_that_the_original_gave_out() {
    let mut harness = Harness::start(&[]).await;
    let (url, key) = (harness.url.clone(), ApiKey::generate().1);
    let (group, message) = (GroupId(Uuid::from_u128(7)), MessageId(Uuid::from_u128(8)));
    let of_group = InternalReply::HeldConversation(Some(ConversationId::Group(group)));
    let of_message = InternalReply::HeldMessage(Some(message));
    let allowed = InternalReply::Allowed { command: None };
    let send = |method, path: &str, body| {
        let (url, request) = (url.clone(), request(method, &format!("/api/server/v1/users/1{path}"), Some(&key), body));
        tokio::spawn(async move { exchange(&url, &request).await.0 })
    };
    for (method, path, body, held, found) in [
        ("PATCH", "/direct-messages/draft%2017", r#"{"content":"x"}"#, "draft 17", &of_message),
        ("POST", "/groups/the%20club%2F1/announcements", r#"{"content":"x"}"#, "the club/1", &of_group),
        ("POST", "/group-messages", r#"{"content":"x","groupId":"general"}"#, "general", &of_group),
    ] {
        let answered = send(method, path, body);
        let checked = server_call(&mut harness, &allowed).await;
        assert_eq!((checked.action, checked.repetition), (None, None), "only who may ask is told what exists");
        let (envelope, asked) = harness.worker.internal(asked_for(found)).await;
        let asked = match asked {
            Internal::HeldConversation { held } | Internal::HeldMessage { held } => held,
            other => panic!("{other:?}"),
        };
        assert_eq!((asked.as_str(), envelope.user), (held, UserId(1)));
        harness.worker.reply(&envelope, found).await;
        assert!(server_call(&mut harness, &allowed).await.action.is_some(), "audited once");
        let (envelope, command) = harness.worker.command().await;
        let is_meant = match command {
            Command::EditMessage(edit) => edit.message == message,
            Command::SendAnnouncement(send) => send.group == group,
            Command::SendGroupMessage(send) => send.group == group,
            _ => false,
        };
        assert!(is_meant, "{path}");
        harness.worker.reply(&envelope, &ok(&json!({"type": "done"}))).await;
        assert_eq!(answered.await.unwrap(), 200);
    }
    let answered = send("PATCH", "/direct-messages/draft%2018", r#"{"content":"x"}"#);
    server_call(&mut harness, &allowed).await;
    let (envelope, _) = harness.worker.internal("held_message").await;
    harness.worker.reply(&envelope, &InternalReply::HeldMessage(None)).await;
    assert_eq!(answered.await.unwrap(), 400);
    let refusal = json!({"status": "error", "code": "AUTH_FAILED", "message": "no such key"}).to_string();
    let answered = send("PATCH", "/direct-messages/draft%2017", r#"{"content":"x"}"#);
    server_call(&mut harness, &InternalReply::Http { status: 401, json: refusal.into_bytes() }).await;
    assert_eq!(answered.await.unwrap(), 401);
}

/// The name of the request with this reply.
fn asked_for(reply: &InternalReply) -> &'static str {
    if matches!(reply, InternalReply::HeldMessage(_)) { "held_message" } else { "held_conversation" }
}

fn gunzip(compressed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(compressed), &mut plain).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_still_writing_a_body_sees_why_it_is_rejected() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let harness = Harness::start(&[("COMMUNITY_SYNC_TOKEN", SYNC_TOKEN)]).await;
    let mebibytes = 4;
    for (method, path, token, status) in [
        ("POST", "/community/progression", SYNC_TOKEN, 413),
        ("POST", "/community/progression", "another", 401),
        ("PUT", "/community/progression", SYNC_TOKEN, 405),
        ("POST", "/nothing/here", SYNC_TOKEN, 404),
        ("POST", "/api/server/v1/users", "no key", 401),
    ] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            mebibytes << 20
        );
        let mut stream = tokio::net::TcpStream::connect(harness.url.strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // Like most clients, it starts to read when it has written everything.
        for _ in 0..mebibytes {
            stream.write_all(&vec![b' '; 1 << 20]).await.expect("it is not reset");
        }
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(start, *format!("HTTP/1.1 {status}").as_bytes(), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_read_to_a_bound_only() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let harness = Harness::start(&[]).await;
    let head = "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n";
    let stream = tokio::net::TcpStream::connect(harness.url.strip_prefix("http://").unwrap()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        let mut mebibytes = 0;
        while writer.write_all(&vec![b' '; 1 << 20]).await.is_ok() {
            mebibytes += 1;
        }
        mebibytes
    });
    let mut start = [0; 12];
    reader.read_exact(&mut start).await.unwrap();
    assert_eq!(start, *b"HTTP/1.1 404", "answered while it writes");
    let mebibytes = tokio::time::timeout(SOON, writing).await.expect("the connection is closed").unwrap();
    // What the gateway drains, and what fits into the buffers of both sides.
    assert!((16..48).contains(&mebibytes), "{mebibytes} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_wait_are_few_and_take_no_place_of_known_users() {
    let mut harness = Harness::start(&[BUILTIN_AUTH]).await;
    let register = request("POST", "/api/auth/register", None, "{}");
    let login = |name: &str| request("POST", "/api/auth/login", None, &json!({"username": name}).to_string());
    let profile = json!({
        "id": "9", "userId": "9", "username": "bob", "email": null, "displayName": "Bob", "profileImage": null,
        "bio": null,
    });
    let reply = InternalReply::SignedIn { user: UserId(9), profile: profile.to_string().into_bytes() };
    assert_eq!(served(&mut harness, login("bob"), reply.clone()).await.2.status, 200);
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let (url, register) = (harness.url.clone(), register.clone());
        let exchange = tokio::spawn(async move { exchange(&url, &register).await });
        waiting.push((exchange, harness.worker.internal("http").await.0));
    }
    send(&harness, register.clone()).await.assert_refused(503, "SERVICE_UNAVAILABLE");
    send(&harness, login("eve")).await.assert_refused(503, "SERVICE_UNAVAILABLE");
    let (_, passed_on, _) = served(&mut harness, login("bob"), reply.clone()).await;
    assert!(matches!(passed_on, HttpRequest::KnownLogin { .. }), "{passed_on:?}");
    let (exchange, envelope) = waiting.swap_remove(0);
    harness.worker.reply(&envelope, &InternalReply::Http { status: 409, json: b"{}".to_vec() }).await;
    assert_eq!(exchange.await.unwrap().0, 409);
    let (_, passed_on, _) = served(&mut harness, login("eve"), reply).await;
    assert!(matches!(passed_on, HttpRequest::Login { .. }), "a place is free again: {passed_on:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_per_address_are_limited() {
    let mut harness = Harness::start(&[BUILTIN_AUTH, ("IP_REGISTRATION_LIMIT", "1")]).await;
    let register = request("POST", "/api/auth/register", None, "{}");
    let reply = InternalReply::Http { status: 409, json: b"{}".to_vec() };
    assert_eq!(served(&mut harness, register.clone(), reply).await.2.status, 409);
    send(&harness, register).await.assert_refused(429, "RATE_LIMIT_EXCEEDED");
    nothing_was_passed_on(harness).await;
}
