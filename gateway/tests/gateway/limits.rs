//! Limits that apply to clients before a user is known.

use std::time::Duration;

use client::{Client, Error, event_type};
use fred::interfaces::KeysInterface as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_worker::FakeWorker;
use crate::harness::{Harness, SOON, exchange, redis_url, token};

fn refused(result: Result<Client, Error>) -> Value {
    match result {
        Err(Error::Refused { event, close }) => {
            assert_eq!(close.code, Some(1008), "{close}");
            event
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_an_address_are_counted_over_all_gateways() {
    let limit = [("MAX_CONNECTIONS_PER_IP", "2"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let one = Harness::start(&limit).await;
    let idle = FakeWorker::start(redis_url(), "unused:").await;
    let two = Harness::start_with(idle, &one.prefix, redis_url(), &limit).await;
    two.until_ready().await;
    // Each gateway has to know of the other.
    let both = async {
        while one.get("/health").await.1["fleet"]["gateways"] != 2
            || two.get("/health").await.1["fleet"]["gateways"] != 2
        {}
    };
    tokio::time::timeout(SOON, both).await.unwrap();
    let from = |harness: &Harness, address: &str| harness.connect().forwarded_for(address).open();
    let mut first = from(&one, "9.9.9.9").await.unwrap();
    let _second = from(&two, "9.9.9.9").await.unwrap();
    for harness in [&one, &two] {
        assert_eq!(refused(from(harness, "9.9.9.9").await)["code"], "MAX_CONNECTIONS_EXCEEDED");
    }
    assert!(from(&one, "8.8.8.8").await.is_ok());
    first.close().await;
    let again = async { while from(&two, "9.9.9.9").await.is_err() {} };
    tokio::time::timeout(SOON, again).await.expect("the place is given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_an_address_are_limited_but_probes_are_not() {
    let harness = Harness::start(&[("IP_RATE_LIMIT", "3")]).await;
    for _ in 0..3 {
        assert_eq!(harness.get("/nothing").await.0, 404);
    }
    let (status, head, _) = harness.http("GET", "/nothing", &[]).await;
    assert_eq!(status, 429);
    assert!(head.contains("retry-after: "), "{head}");
    let event = refused(harness.connect().open().await);
    assert_eq!(event["code"], "RATE_LIMIT_EXCEEDED");
    let retry_after = event["retryAfter"].as_u64().unwrap();
    assert!((1..=915).contains(&retry_after), "{retry_after}");
    assert_eq!(harness.get("/ready").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_of_an_address_wait_for_each_other() {
    let harness = Harness::start(&[("IP_RATE_LIMIT", "600"), ("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let began = std::time::Instant::now();
    // Ten at once, and ten in a second.
    for _ in 0..25 {
        harness.connect().forwarded_for("9.9.9.9").open().await.unwrap().close().await;
    }
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(1_400), "{waited:?}");
    let began = std::time::Instant::now();
    for _ in 0..10 {
        harness.connect().forwarded_for("8.8.8.8").open().await.unwrap().close().await;
    }
    assert!(began.elapsed() < waited, "another address does not wait");
}

/// Sends bad tokens until one is counted as too many; returns the error. Each connection may fail five times.
async fn too_many_failures(harness: &Harness, address: &str, failures: usize) -> Value {
    let mut client = harness.connect().forwarded_for(address).open().await.unwrap();
    for _ in 0..failures {
        assert_eq!(client.authenticate("a.b.c").await.unwrap_err().code(), Some("TOKEN_INVALID"));
    }
    let error = client.expect("error", |_| true, SOON).await.unwrap();
    assert_eq!(client.wait_closed(SOON).await.unwrap().code, Some(1008));
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tokens_of_an_address_are_limited_over_all_gateways() {
    let limits = [("IP_AUTH_FAILURE_LIMIT", "3"), ("IP_RATE_WINDOW", "120s"), ("TRUSTED_PROXIES", "127.0.0.1")];
    let one = Harness::start(&limits).await;
    let idle = FakeWorker::start(redis_url(), "unused:").await;
    let two = Harness::start_with(idle, &one.prefix, redis_url(), &limits).await;
    two.until_ready().await;
    let began = std::time::Instant::now();
    // Three are allowed, on any gateway and from anywhere in a network of 64 bits.
    let mut client = one.connect().forwarded_for("2001:db8::1").open().await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.authenticate("a.b.c").await.unwrap_err().code(), Some("TOKEN_INVALID"));
    }
    assert_eq!(event_type(&client.request(json!({"type": "ping"})).await.unwrap()), "pong", "still open");
    let error = too_many_failures(&two, "2001:db8::ffff:1", 1).await;
    assert_eq!(error["code"], "RATE_LIMIT_EXCEEDED");
    // The first of them leaves the window, which has slices of 2 s, 120 to 122 s after it arrived.
    let retry_after = error["retryAfter"].as_u64().unwrap();
    let passed = began.elapsed().as_secs();
    assert!((119_u64.saturating_sub(passed)..=122).contains(&retry_after), "{retry_after} after {passed} s");
    assert_eq!(too_many_failures(&one, "2001:db8::2", 1).await["code"], "RATE_LIMIT_EXCEEDED");
    // Other addresses are not affected.
    let mut other = two.connect().forwarded_for("2001:db8:0:1::1").open().await.unwrap();
    assert_eq!(other.authenticate("a.b.c").await.unwrap_err().code(), Some("TOKEN_INVALID"));
    assert_eq!(event_type(&other.request(json!({"type": "ping"})).await.unwrap()), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_address_may_try_again_when_it_was_told() {
    let limits = [("IP_AUTH_FAILURE_LIMIT", "1"), ("IP_RATE_WINDOW", "8s")];
    let harness = Harness::start(&limits).await;
    // Sends one bad token on its own connection; returns the wait if it was one too many.
    let fail = async || -> Option<u64> {
        let mut client = harness.connect().open().await.unwrap();
        assert_eq!(client.authenticate("a.b.c").await.unwrap_err().code(), Some("TOKEN_INVALID"));
        let error = client.expect("error", |_| true, Duration::from_millis(1500)).await.ok()?;
        error["retryAfter"].as_u64()
    };
    // On a busy machine a second one may arrive after the window of the first has ended.
    let tried = async {
        loop {
            let asked = std::time::Instant::now();
            if let Some(retry_after) = fail().await {
                break (asked, retry_after);
            }
        }
    };
    let (asked, retry_after) = tokio::time::timeout(SOON * 3, tried).await.unwrap();
    assert!((1..=9).contains(&retry_after), "{retry_after}");
    let free = async {
        while fail().await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON * 3, free).await.unwrap();
    let waited = asked.elapsed() + Duration::from_secs(1);
    assert!(waited >= Duration::from_secs(retry_after), "{waited:?} for {retry_after} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_of_this_gateway_are_limited() {
    let harness =
        Harness::start(&[("MAX_CONNECTIONS", "3"), ("MAX_PENDING", "2"), ("MAX_CONNECTIONS_PER_USER", "1")]).await;
    let (_a, mut b) = (harness.connect().open().await.unwrap(), harness.connect().open().await.unwrap());
    let error = refused(harness.connect().open().await);
    assert_eq!((&error["code"], &error["retryAfter"]), (&json!("MAX_CONNECTIONS_EXCEEDED"), &json!(30)));
    b.authenticate(&token(1)).await.unwrap();
    // A place among the pending connections is free again.
    let mut c = harness.connect().open().await.unwrap();
    let error = c.authenticate(&token(1)).await.unwrap_err();
    assert_eq!(error.code(), Some("MAX_CONNECTIONS_EXCEEDED"));
    assert_eq!(c.wait_closed(SOON).await.unwrap().code, Some(1008));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_close_with_the_proper_code() {
    let harness = Harness::start(&[("MAX_PAYLOAD_SIZE", "100KiB")]).await;
    for (bytes, code) in [
        (&[0x81, 0x01, b'x'][..], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        use tokio::io::AsyncWriteExt;
        let mut raw = harness.connect().open_raw().await.unwrap();
        raw.write_all(bytes).await.unwrap();
        let closed = async {
            loop {
                let frame = client::raw::read_frame(&mut raw).await.unwrap().expect("a close frame");
                if let Some(code) = frame.close_code() {
                    return code;
                }
            }
        };
        assert_eq!(tokio::time::timeout(SOON, closed).await.unwrap(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_gateway_is_live_not_ready_and_refuses() {
    let (port, prefix) = (closed_port().await, "gone:");
    let idle = FakeWorker::start(redis_url(), "unused:").await;
    let url = format!("redis://127.0.0.1:{port}");
    let harness = Harness::start_with(idle, prefix, &url, &[("MAX_CONNECTIONS_PER_IP", "1")]).await;
    assert_eq!(harness.get("/live").await.0, 200);
    assert_eq!(harness.get("/ready").await.0, 503);
    let (status, health) = harness.get("/health").await;
    assert_eq!((status, &health["status"]), (503, &"unhealthy".into()));
    let started = std::time::Instant::now();
    let mut client = harness.connect().open().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let error = client.authenticate(&token(1)).await.unwrap_err();
    assert_eq!(error.code(), Some("SERVICE_UNAVAILABLE"));
    // The bound of this gateway alone applies.
    assert_eq!(refused(harness.connect().open().await)["code"], "MAX_CONNECTIONS_EXCEEDED");
}

async fn closed_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_an_upgrade_counts_as_a_request() {
    let harness = Harness::start(&[("IP_RATE_LIMIT", "3"), ("ALLOWED_ORIGINS", "https://good.example")]).await;
    let upgrade = "Host: x\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n";
    for (expected, request) in [
        (401, format!("POST /api/profile-pictures/batch HTTP/1.1\r\n{upgrade}\r\n")),
        (204, format!("OPTIONS / HTTP/1.1\r\n{upgrade}\r\n")),
        (426, format!("GET /ws HTTP/1.1\r\n{upgrade}\r\n")),
        (429, format!("GET /ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n")),
        (429, format!("POST /api/profile-pictures/batch HTTP/1.1\r\n{upgrade}\r\n")),
        (200, "GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned()),
    ] {
        let (status, ..) = exchange(&harness.url, &request).await;
        assert_eq!(status, expected, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_the_places_of_all_others() {
    let harness = Harness::start(&[("MAX_CONNECTIONS_PER_IP", "2")]).await;
    let address = harness.url.strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    // Answered and kept open by the client, which asks again in time; a probe does not count as a request.
    for _ in 0..60 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let _ = socket.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await;
        held.push(socket);
    }
    let mut served = 0;
    for socket in &mut held {
        let mut start = [0; 12];
        let read = tokio::time::timeout(SOON, socket.read_exact(&mut start)).await.unwrap();
        served += usize::from(read.is_ok() && &start == b"HTTP/1.1 200");
    }
    assert_eq!(served, 56, "two, and 54 more");
    held.clear();
    let free = async { while harness.connect().open().await.is_err() {} };
    tokio::time::timeout(SOON, free).await.expect("places are given back");
}

/// Connections that take all places for HTTP and send nothing: one more than there are.
async fn fill_http_places(harness: &Harness) -> Vec<TcpStream> {
    let host = harness.url.strip_prefix("http://").unwrap();
    let mut idle = Vec::new();
    for _ in 0..=HTTP_PLACES {
        idle.push(TcpStream::connect(host).await.unwrap());
    }
    idle
}

/// With `MAX_PENDING=1`.
const HTTP_PLACES: usize = 513;

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_new_ones() {
    let harness = Harness::start(&[("MAX_PENDING", "1")]).await;
    let mut idle = fill_http_places(&harness).await;
    let answered = tokio::time::timeout(SOON, harness.get("/ready")).await.unwrap();
    assert_eq!(answered.0, 200);
    let read = tokio::time::timeout(SOON, idle[0].read(&mut [0; 1])).await.expect("the oldest one was closed").unwrap();
    assert_eq!(read, 0);
    // A WebSocket takes a place of another kind.
    assert!(harness.connect().open().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_have_a_listener_of_their_own() {
    let admin = format!("127.0.0.1:{}", closed_port().await);
    let harness = Harness::start(&[("ADMIN_ADDR", &admin), ("MAX_PENDING", "1")]).await;
    let _idle = fill_http_places(&harness).await;
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        exchange(&format!("http://{admin}"), &request).await
    };
    for path in ["/live", "/ready", "/health", "/metrics"] {
        assert_eq!(ask(path).await.0, 200, "{path}");
    }
    assert_eq!(ask("/api/conversations").await.0, 404, "nothing of clients");
    assert_eq!(harness.get("/metrics").await.0, 404, "nothing of operators on the public side");
    assert_eq!(harness.get("/ready").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_authentication_messages_are_small() {
    let harness = Harness::start(&[]).await;
    let ping = |bytes: usize| format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(bytes));
    let mut stranger = harness.connect().open().await.unwrap();
    stranger.send_text(ping(16_000)).await.unwrap();
    assert_eq!(event_type(&stranger.next_event(SOON).await.unwrap()), "pong");
    stranger.send_text(ping(16_400)).await.unwrap();
    assert_eq!(stranger.wait_closed(SOON).await.unwrap().code, Some(1009));
    let mut user = harness.login(1).await;
    user.send_text(ping(1_000_000)).await.unwrap();
    assert_eq!(event_type(&user.next_event(SOON).await.unwrap()), "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_authentication_messages_have_at_most_the_size_that_is_set() {
    let harness = Harness::start(&[("MAX_PAYLOAD_SIZE", "100KiB")]).await;
    let ping = |bytes: usize| {
        let empty = r#"{"type":"ping","x":""}"#;
        empty.replace(r#""""#, &format!(r#""{}""#, "x".repeat(bytes - empty.len())))
    };
    let mut user = harness.login(1).await;
    user.send_text(ping(100 * 1024)).await.unwrap();
    assert_eq!(event_type(&user.next_event(SOON).await.unwrap()), "pong");
    user.send_text(ping(100 * 1024 + 1)).await.unwrap();
    assert_eq!(user.wait_closed(SOON).await.unwrap().code, Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_begin_at_most_as_far_back_as_is_set() {
    let harness = Harness::start(&[("MAX_OFFSET", "7")]).await;
    let mut user = harness.login(1).await;
    let page = json!({"type": "get_private_messages", "recipientId": "2", "offset": 8});
    let error = user.request(page).await.unwrap();
    assert_eq!((&error["code"], &error["field"]), (&"VALIDATION_ERROR".into(), &"offset".into()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_authentication_messages_are_few() {
    let harness = Harness::start(&[]).await;
    let mut stranger = harness.connect().open().await.unwrap();
    for _ in 0..100 {
        assert_eq!(event_type(&stranger.request(json!({"type": "ping"})).await.unwrap()), "pong");
    }
    stranger.send(json!({"type": "ping"})).await.unwrap();
    assert_eq!(stranger.wait_closed(SOON).await.unwrap().code, Some(1008));
    let mut user = harness.login(1).await;
    for _ in 0..150 {
        assert_eq!(event_type(&user.request(json!({"type": "ping"})).await.unwrap()), "pong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unnamed_proxy_is_noticed_when_its_clients_are_refused() {
    let harness = Harness::start(&[("MAX_CONNECTIONS_PER_IP", "1"), ("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let key = harness.worker.keys.unnamed_proxy();
    let _first = harness.connect().forwarded_for("9.9.9.9").open().await.unwrap();
    for client in 0..10 {
        let noted: Option<String> = harness.worker.redis.get(&key).await.unwrap();
        assert_eq!(noted, None, "after {client} refusals");
        let from = format!("9.9.9.{client}");
        assert_eq!(refused(harness.connect().forwarded_for(&from).open().await)["code"], "MAX_CONNECTIONS_EXCEEDED");
    }
    let noted = async {
        while harness.worker.redis.get::<Option<String>, _>(&key).await.unwrap().as_deref() != Some("127.0.0.1") {}
    };
    tokio::time::timeout(SOON, noted).await.expect("the proxy's address");
}
