//! Probes, metrics, and requests that are not WebSockets.

use serde_json::Value;

use crate::harness::Harness;

#[tokio::test(flavor = "multi_thread")]
async fn the_probes_tell_what_is_the_case() {
    let harness = Harness::start(&[]).await;
    let (status, live) = harness.get("/live").await;
    assert!(status == 200 && live["alive"] == true && live["uptime"].is_number() && live["timestamp"].is_string());
    let (status, ready) = harness.get("/ready").await;
    assert!(status == 200 && ready["ready"] == true && ready["components"].is_object(), "{ready}");
    let (status, health) = harness.get("/health").await;
    assert!(status == 200 && health["status"] == "healthy", "{health}");
    assert_eq!(health["fleet"]["gateways"], 1);
    for field in ["timestamp", "uptime", "version", "connections", "memory", "database", "redis", "fleet", "metrics"] {
        assert!(!health[field].is_null(), "{field}");
    }

    use fred::prelude::*;
    harness.worker.rote.lock().dead = true;
    let _: i64 = harness.worker.redis.zrem(harness.worker.keys.heartbeats("worker"), "fake").await.unwrap();
    let unready = async { while harness.get("/ready").await.0 != 503 {} };
    tokio::time::timeout(crate::harness::SOON, unready).await.expect("without a worker not ready");
    assert_eq!(harness.get("/live").await.0, 200);
    assert_eq!(harness.get("/health").await.1["status"], "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_as_text_or_json_and_compressed_when_asked_for() {
    let harness = Harness::start(&[]).await;
    let _alice = harness.login(1).await;
    let (status, head, body) = harness.http("GET", "/metrics", &[]).await;
    assert!(status == 200 && head.contains("text/plain"), "{head}");
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("# HELP gateway_connections Open WebSocket connections."), "{text}");
    let (_, head, body) = harness.http("GET", "/metrics", &[("Accept-Encoding", "gzip")]).await;
    assert!(
        head.contains("content-encoding: gzip") && body.len() < text.len() / 2 && body[..2] == [0x1f, 0x8b],
        "{head}"
    );
    let (_, _, body) = harness.http("GET", "/metrics", &[("Accept", "application/json")]).await;
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&json["connections"], &json["activeUsers"]), (&1.into(), &1.into()));
    assert!(json["messagesSent"].as_u64().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_one_form() {
    let harness = Harness::start(&[]).await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("POST", "/live", 405),
        ("GET", "/", 426),
        ("POST", "/nothing", 404),
        ("DELETE", "/metrics", 405),
    ] {
        let (got, head, body) = harness.http(method, path, &[]).await;
        assert_eq!(got, status, "{method} {path}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["status"] == "error" && body["code"].is_string() && body["message"].is_string());
        assert_eq!(head.contains("sec-websocket-version: 13"), status == 426);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upgrade_is_refused_with_the_proper_status() {
    let harness = Harness::start(&[]).await;
    let upgrade = [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let (status, _, _) = harness.http("GET", "/ws", &upgrade).await;
    assert_eq!(status, 426, "`Connection: close` is not an upgrade");
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_are_checked_and_named_in_answers() {
    let harness = Harness::start(&[("ALLOWED_ORIGINS", "https://app.example.org")]).await;
    match harness.connect().origin("https://evil.example").open().await {
        Err(client::Error::Http { status, .. }) => assert_eq!(status, 403),
        other => panic!("{other:?}"),
    }
    assert!(harness.connect().origin("https://app.example.org").open().await.is_ok());
    assert!(harness.connect().open().await.is_ok());
    let (_, head, _) = harness.http("GET", "/live", &[("Origin", "https://app.example.org")]).await;
    assert!(head.contains("access-control-allow-origin: https://app.example.org"), "{head}");
    let (_, head, _) = harness.http("GET", "/live", &[("Origin", "https://evil.example")]).await;
    assert!(!head.contains("access-control-allow-origin"), "{head}");
}
