//! One gateway per test, under a Redis prefix of its own.

use std::sync::OnceLock;
use std::time::Duration;

use client::{Client, Connect};
use serde_json::Value;
use shared::config::GatewaySettings;
use shared::lifecycle::{Lifecycle, ProcessFailure};
use shared::telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fake_worker::FakeWorker;
pub use devstack::wait::SOON;

pub const JWT_SECRET: &str = "dW5pdCB0ZXN0cyBvZiB0aGUgZ2F0ZXdheSBhbmQgbm90aGluZyBlbHNl";
pub const ENCRYPTION_KEY: &str = "integration tests";
/// How long to wait for something that must not happen.
pub const BRIEFLY: Duration = Duration::from_millis(300);

pub struct Harness {
    pub url: String,
    pub prefix: String,
    pub worker: FakeWorker,
    signals: mpsc::Sender<&'static str>,
    running: JoinHandle<Result<(), ProcessFailure>>,
}

impl Harness {
    pub async fn start(overrides: &[(&str, &str)]) -> Self {
        Self::start_on(redis_url(), overrides).await
    }

    /// Starts on a Redis that the test may break.
    pub async fn start_on(redis_url: &str, overrides: &[(&str, &str)]) -> Self {
        let prefix = format!("t{}:", &uuid::Uuid::new_v4().simple().to_string()[..16]);
        let worker = FakeWorker::start(redis_url, &prefix).await;
        let harness = Self::start_with(worker, &prefix, redis_url, overrides).await;
        harness.until_ready().await;
        harness
    }

    /// Starts another gateway on the same Redis, or one on another Redis URL.
    pub async fn start_with(worker: FakeWorker, prefix: &str, redis_url: &str, overrides: &[(&str, &str)]) -> Self {
        client::observe(client::Observer { event: check_contract, answer: |_, _| Ok(()) });
        let settings = GatewaySettings::from_source(|name| {
            let given = overrides.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            given.or_else(|| match name {
                "JWT_SECRET" => Some(JWT_SECRET.to_owned()),
                "CHAT_ENCRYPTION_KEY" => Some(ENCRYPTION_KEY.to_owned()),
                "REDIS_URL" => Some(redis_url.to_owned()),
                "REDIS_PREFIX" => Some(prefix.to_owned()),
                "PARTITIONS" => Some("4".to_owned()),
                "MAX_CONNECTIONS_PER_IP" => Some("1000".to_owned()),
                "DRAIN_WINDOW" => Some("100ms".to_owned()),
                _ => None,
            })
        })
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lifecycle = Lifecycle::new(settings.common.shutdown_timeout);
        gateway::run(settings, listener, lifecycle.clone(), Some(metrics())).await.unwrap();
        let (signals, receiver) = mpsc::channel(2);
        let running = tokio::spawn(lifecycle.run_until(receiver));
        Harness { url, prefix: prefix.to_owned(), worker, signals, running }
    }

    pub async fn until_ready(&self) {
        let ready = async {
            while self.get("/ready").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, ready).await.expect("the gateway gets ready");
    }

    pub async fn login(&self, user: i64) -> Client {
        Client::login(&self.url, &token(user)).await.unwrap()
    }

    pub fn connect(&self) -> Connect {
        Connect::new(&self.url)
    }

    /// Sends the first signal; the result arrives when everything has ended.
    pub async fn terminate(&self) {
        self.signals.send("SIGTERM").await.unwrap();
    }

    pub async fn ended(self) -> Result<(), ProcessFailure> {
        tokio::time::timeout(SOON, self.running).await.unwrap().unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.http("GET", path, &[]).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends a plain HTTP request over its own connection: returns status, head, body.
    pub async fn http(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, Vec<u8>) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n");
        headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        exchange(&self.url, &format!("{request}\r\n")).await
    }
}

/// What the gateway itself says must match the protocol; the fake worker's events are fakes.
fn check_contract(event: &Value) -> Result<(), String> {
    let own = ["connected", "pong", "test_response", "error", "auth_error", "session_conflict", "message_delivered"];
    if own.contains(&event["type"].as_str().unwrap_or_default()) { contract::check::event(event) } else { Ok(()) }
}

/// Sends a complete request and reads until the connection is closed: returns status, head in lower case, body.
pub async fn exchange(url: &str, request: &str) -> (u16, String, Vec<u8>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[split + 4..].to_vec())
}

pub fn token(user: i64) -> String {
    client::token::mint(JWT_SECRET, user, Duration::from_secs(3600)).unwrap()
}

pub fn redis_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| devstack::testing::redis_url().unwrap())
}

/// One recorder serves all gateways of the test program.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::install().unwrap()).clone()
}
