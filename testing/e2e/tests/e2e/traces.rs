//! The trace of a message, from the socket that it arrived on to those that it was delivered to, as a collector
//! receives it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::Connect;
use devstack::ports;
use e2e::{Deployment, Options, Request};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Answers each request with an empty success and forwards its spans, as (service, span).
async fn collect(mut stream: BufStream<TcpStream>, spans: mpsc::UnboundedSender<(String, Span)>) -> Result<()> {
    loop {
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line).await? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        ensure!(length > 0, "a request without a body");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        stream.flush().await?;
        for resource in ExportTraceServiceRequest::decode(body.as_slice())?.resource_spans {
            let service = format!("{:?}", resource.resource);
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let _ = spans.send((service.clone(), span));
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Spans = mpsc::UnboundedReceiver<(String, Span)>;

/// Waits for the first line with `text` in any of the logs, which are written a little later.
async fn log_line(logs: &[PathBuf], text: &str) -> Result<String> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        for log in logs {
            let log = std::fs::read_to_string(log)?;
            if let Some(line) = log.lines().find(|line| line.contains(text) && line.ends_with('}')) {
                return Ok(line.to_owned());
            }
        }
        ensure!(Instant::now() < deadline, "no line says {text:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts a collector; returns its port, its task and the spans that it receives.
async fn collector() -> Result<(u16, JoinHandle<()>, Spans)> {
    let port = ports::free_one()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let (sender, spans) = mpsc::unbounded_channel();
    let collector = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(collect(BufStream::new(stream), sender.clone()));
        }
    });
    Ok((port, collector, spans))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backends_request_is_traced_under_its_own_trace() -> Result<()> {
    let (port, _collector, mut spans) = collector().await?;
    let options = Options { gateways: 1, workers: 1, ..Options::default() };
    let options = options.with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    let deployment = Deployment::start("traces-server", options.with("TRACE_ONE_IN", "1000000"))?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let key = deployment.chatctl(&["apikey", "create", "backend", "--scope", "messages"])?;
    let body = json!({"recipientId": bob.id, "content": "x"}).to_string();
    let request = Request::new("POST", &format!("/api/server/v1/users/{}/direct-messages", alice.id));
    let request = request.bearer(key.trim()).header("traceparent", &format!("00-{TRACE}-{SPAN}-01")).body(body);
    ensure!(request.send(&deployment.fleet.gateways[0].url()).await?.status == 200);
    loop {
        let (_, span) = tokio::time::timeout(DEADLINE, spans.recv()).await?.context("the collector")?;
        ensure!(hex(&span.trace_id) == TRACE, "{span:?} belongs to no traced request");
        if span.name == "command" {
            ensure!(hex(&span.parent_span_id) == SPAN, "{span:?}");
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_followed_from_socket_to_socket() -> Result<()> {
    let (port, collector, mut spans) = collector().await?;
    let options = Options::default().with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{port}"));
    let options = options.with("TRACE_ONE_IN", "1000000").with("FOLLOW_TRACEPARENT", "true");
    let deployment = Deployment::start("traces", options)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut bobs = deployment.login(1, &bob).await?;
    let connect = Connect::new(&deployment.gateway_url(0)).header("traceparent", &format!("00-{TRACE}-{SPAN}-01"));
    let mut alices = connect.open().await?;
    alices.authenticate(&alice.token).await?;
    let sent = alices.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": "unspoken"})).await?;
    bobs.expect("new_message", |event| event["content"] == "unspoken", DEADLINE).await?;

    // What the stores show of it.
    let message = sent["messageId"].as_str().context("an id")?;
    let delivered = format!("SELECT delivered_seq FROM conversation_members WHERE user_id = {}", bob.id);
    deployment.until(&delivered, "1").await?;
    let told = deployment.chatctl(&["trace", message])?;
    ensure!(told.contains("stored as number 1") && told.contains(&format!("user {}: delivered", bob.id)), "{told}");
    ensure!(told.contains("nothing of it waits") && !told.contains("unspoken"), "{told}");

    // One span of each name, but `deliver` once at each gateway: the sender's gateway delivers to other devices.
    let mut found = BTreeMap::new();
    while !["command", "apply", "store", "publish", "deliver"].iter().all(|name| found.contains_key(*name)) {
        let next = tokio::time::timeout(DEADLINE, spans.recv()).await;
        let (service, span) = next.with_context(|| format!("found only {found:?}"))?.context("the collector")?;
        ensure!(hex(&span.trace_id) == TRACE, "{span:?} belongs to no traced request");
        ensure!(!format!("{span:?}").contains("unspoken"), "{span:?} shows what was said");
        ensure!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        found.insert(span.name.clone(), (service, span));
    }
    let service = |name: &str| &found[name].0;
    let parent = |name: &str| hex(&found[name].1.parent_span_id);
    let id = |name: &str| hex(&found[name].1.span_id);
    ensure!(service("command").contains("chat-gateway") && service("apply").contains("chat-worker"), "{found:?}");
    ensure!(parent("command") == SPAN, "the client's request caused the command: {found:?}");
    ensure!(parent("apply") == id("command"), "{found:?}");
    for name in ["store", "publish", "deliver"] {
        ensure!(parent(name) == id("apply"), "{name}: {found:?}");
    }

    // What a worker logs while it works for the trace names it.
    deployment.sql(&format!(
        "UPDATE private_messages SET mac = sha256(mac) WHERE message_id = '{}'",
        &message["msg_".len()..]
    ))?;
    alices.request_ok(json!({"type": "get_messages", "recipientId": bob.id})).await?;
    let logs: Vec<_> = deployment.fleet.workers.iter().map(|worker| worker.log_path()).collect();
    let line = log_line(&logs, "a stored message cannot be read").await?;
    ensure!(serde_json::from_str::<Value>(&line)?["trace_id"] == TRACE, "{line}");

    // Without the collector everything continues to work.
    collector.abort();
    let _ = collector.await;
    for number in 0..20 {
        let content = format!("without {number}");
        alices.request_ok(json!({"type": "send_message", "recipientId": bob.id, "content": content})).await?;
        bobs.expect("new_message", |event| event["content"] == content.as_str(), DEADLINE).await?;
    }
    Ok(())
}
