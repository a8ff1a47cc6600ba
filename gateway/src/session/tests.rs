//! The loop on a pipe, with paused time; the test itself works the queues.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::ids::{ConnectionId, UserId};
use shared::publication::{EventHeader, Header, Receipt};
use shared::stream::{InternalReply, ReplayPage, ReplayedEvent, SyncRound};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use crate::egress::deliver::Deliverer;
use crate::egress::subscriptions::Change;
use crate::gateway::Queues;
use crate::lanes::admit::Admitted;
use crate::limits::addresses::Address;
use crate::session::handshake::{Upgraded, open};
use crate::session::sign_in::Source;
use crate::session::sweep::sweep;
use crate::session::*;
use crate::testing::{gateway, token};

mod paces;

const EPOCH: &str = "9b2f6c1e-3d47-4a58-8e0b-6f1d2c3b4a59";
const NEXT_EPOCH: &str = "0c8f6d5e-7a3b-4c2d-9e1f-5a6b7c8d9e0f";

struct Test {
    gateway: Arc<Gateway>,
    queues: Queues,
    socket: DuplexStream,
    session: JoinHandle<()>,
}

impl Test {
    async fn start(overrides: &[(&str, &str)]) -> Self {
        let (gateway, queues) = gateway(overrides);
        // So that the gateway does not ask a Redis that is not there.
        gateway.liveness.set_redis(false, 0);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let address = Address::of("127.0.0.1".parse().unwrap(), &http::HeaderMap::new(), &Default::default());
        let upgraded = Upgraded {
            socket: far,
            early: Bytes::new(),
            source: Box::new(Source { address, user_agent: None }),
            unnamed_proxy: None,
            deflate: false,
            dialect: Dialect::ChatV1,
            trace: None,
        };
        let serving = gateway.clone();
        let session = tokio::spawn(async move { open(serving, upgraded).await.unwrap().run().await });
        let mut test = Test { gateway, queues, socket: near, session };
        assert_eq!(test.event().await["type"], "connected");
        test.gateway.liveness.set_redis(true, 0);
        test
    }

    async fn authenticated(overrides: &[(&str, &str)]) -> Self {
        let mut test = Self::start(overrides).await;
        test.send(&json!({"type": "auth", "token": token(1, Duration::from_secs(3600))})).await;
        let Change::Subscribe { done, .. } = test.queues.changes.recv().await.unwrap() else { panic!() };
        done.send(()).unwrap();
        test.resume(EPOCH, Vec::new()).await;
        assert_eq!(test.event().await["type"], "auth_success");
        test
    }

    /// Answers what a session asks for when it opens or catches up.
    async fn resume(&mut self, epoch: &str, events: Vec<ReplayedEvent>) {
        self.reply(&InternalReply::Authenticated { groups: Vec::new() }).await;
        let auth_success = json!({"type": "auth_success", "epoch": epoch}).to_string().into_bytes();
        let replay = ReplayPage { events, next: None };
        self.reply(&InternalReply::Resumed { auth_success, replay }).await;
    }

    async fn admitted(&mut self) -> Admitted {
        self.queues.admitted.recv().await.unwrap()
    }

    /// Answers the gateway's next own request.
    async fn reply(&mut self, reply: &InternalReply) {
        let command = self.admitted().await.command();
        self.publish_to_gateway(&Header::Internal { command }, &postcard::to_stdvec(reply).unwrap());
    }

    fn publish_to_gateway(&self, header: &Header, payload: &[u8]) {
        self.publish(&self.gateway.keys.gateway_channel(self.gateway.id), header, payload);
    }

    fn publish(&self, channel: &str, header: &Header, payload: &[u8]) {
        let mut deliverer = Deliverer::new(self.gateway.clone());
        deliverer.publication(channel, &Bytes::from(self.gateway.wire.publication(channel, header, payload)));
        deliverer.wake();
    }

    async fn send(&mut self, command: &Value) {
        self.frame(1, command.to_string().as_bytes()).await;
    }

    /// Sends a client's frame, with a mask that changes nothing.
    async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode, 0x80 | 126];
        frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        if payload.len() < 126 {
            frame = vec![0x80 | opcode, 0x80 | payload.len() as u8];
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await.unwrap();
    }

    async fn read(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.socket.read_u8().await.unwrap() & 0x0f;
        let length = match self.socket.read_u8().await.unwrap() {
            126 => usize::from(self.socket.read_u16().await.unwrap()),
            127 => self.socket.read_u64().await.unwrap() as usize,
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }

    async fn event(&mut self) -> Value {
        let (opcode, payload) = self.read().await;
        assert_eq!(opcode, 1);
        serde_json::from_slice(&payload).unwrap()
    }

    async fn close_code(&mut self) -> u16 {
        let (opcode, payload) = self.read().await;
        assert_eq!(opcode, 8, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Lets time pass, with the sweep running at its pace.
    async fn pass(&self, duration: Duration) {
        let end = tokio::time::Instant::now() + duration;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(500)).await;
            sweep(&self.gateway, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unauthenticated_connection_is_closed_on_time() {
    let mut test = Test::start(&[]).await;
    test.pass(Duration::from_millis(29_500)).await;
    assert!(!test.session.is_finished());
    // Pings do not help.
    test.send(&json!({"type": "ping"})).await;
    test.pass(Duration::from_secs(1)).await;
    loop {
        match test.read().await {
            (8, payload) => {
                break assert_eq!(payload, [&1008_u16.to_be_bytes()[..], b"Authentication timeout"].concat());
            }
            (opcode, _) => assert!(opcode == 1 || opcode == 9),
        }
    }
    drop(test.socket);
    test.session.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_is_told_of_another_epoch_before_what_it_missed() {
    let mut test = Test::authenticated(&[]).await;
    for (epoch, told) in [(EPOCH, None), (NEXT_EPOCH, Some(NEXT_EPOCH)), (NEXT_EPOCH, None)] {
        test.gateway.registry.for_everybody(|connection| connection.catch_up());
        let json = json!({"type": "new_message"}).to_string().into_bytes();
        test.resume(epoch, vec![ReplayedEvent { receipt: Receipt::None, json }]).await;
        let mut event = test.event().await;
        if let Some(epoch) = told {
            assert_eq!((&event["type"], &event["epoch"]), (&json!("epoch_changed"), &json!(epoch)));
            event = test.event().await;
        }
        assert_eq!(event["type"], "new_message", "{epoch}");
    }
}

#[tokio::test(start_paused = true)]
async fn pongs_keep_alive_but_only_text_counts_as_activity() {
    let mut test = Test::authenticated(&[]).await;
    let began = tokio::time::Instant::now();
    let mut pings = 0;
    let code = loop {
        test.pass(Duration::from_secs(1)).await;
        match tokio::time::timeout(Duration::from_millis(1), test.read()).await {
            Ok((9, payload)) => {
                pings += 1;
                test.frame(10, &payload).await;
            }
            Ok((8, payload)) => break u16::from_be_bytes([payload[0], payload[1]]),
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    };
    assert_eq!(code, 1000);
    let lasted = began.elapsed();
    assert!((300..=302).contains(&lasted.as_secs()), "{lasted:?}");
    // The last ping is due at the same time as the end.
    assert!((9..=10).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let mut test = Test::authenticated(&[]).await;
    test.pass(Duration::from_secs(61)).await;
    while let (opcode @ 9.., _) = test.read().await {
        assert_eq!(opcode, 9);
    }
    assert!(test.session.is_finished() || test.gateway.places.taken(crate::limits::places::Kind::Open) == 1);
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_command_times_out_and_drops_late_answers() {
    let mut test = Test::authenticated(&[]).await;
    test.send(&json!({"type": "get_user_groups", "requestId": 9})).await;
    let command = test.admitted().await.command();
    test.pass(Duration::from_secs(11)).await;
    assert!(futures_util::poll!(std::pin::pin!(test.socket.read_u8())).is_pending());
    test.pass(Duration::from_secs(2)).await;
    let error = test.event().await;
    assert_eq!((&error["code"], &error["requestId"]), (&json!("SERVICE_UNAVAILABLE"), &json!(9)));
    test.publish_to_gateway(&Header::Answer { connection: ConnectionId(1), command }, b"{}");
    tokio::task::yield_now().await;
    assert!(futures_util::poll!(std::pin::pin!(test.socket.read_u8())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_restarting_worker_answers_only_what_is_under_way() {
    let mut test = Test::authenticated(&[]).await;
    test.send(&json!({"type": "get_user_groups"})).await;
    let command = test.admitted().await.command();
    test.gateway.registry.for_each(|connection| connection.close(Close::new(CloseCode::Restart, "Restart")));
    test.send(&json!({"type": "ping"})).await;
    tokio::task::yield_now().await;
    test.publish_to_gateway(&Header::Answer { connection: ConnectionId(1), command }, br#"{"type":"user_groups"}"#);
    assert_eq!(test.event().await["type"], "user_groups");
    assert_eq!(test.close_code().await, 1012);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_rejects_at_once() {
    let mut test = Test::authenticated(&[("MAX_IN_FLIGHT", "100000")]).await;
    let filler = Timestamp::now();
    while let Ok(()) = test.gateway.enqueue.submit(Admitted::internal(
        &test.gateway,
        None,
        UserId(1),
        &shared::stream::Internal::RecordReceipts { receipts: Vec::new() },
        None,
        filler,
    )) {}
    test.send(&json!({"type": "get_user_groups", "requestId": 1})).await;
    assert_eq!(test.event().await["code"], "SERVICE_UNAVAILABLE");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_connection_and_nothing_else() {
    let mut test = Test::authenticated(&[]).await;
    let mut other = Test::authenticated(&[]).await;
    test.gateway.registry.for_each(|connection| connection.panic_next());
    test.send(&json!({"type": "ping"})).await;
    assert_eq!(test.close_code().await, 1011);
    drop(test.socket);
    test.session.await.unwrap();
    assert_eq!(test.gateway.registry.users(), 0);
    other.send(&json!({"type": "ping"})).await;
    assert_eq!(other.event().await["type"], "pong");
}

#[tokio::test(start_paused = true)]
async fn many_events_for_one_connection_go_out_in_order() {
    let mut test = Test::authenticated(&[]).await;
    let channel = test.gateway.keys.user_channel(UserId(1));
    for n in 0..500 {
        let header = Header::Event(EventHeader::new(Receipt::Durable { event: uuid::Uuid::from_u128(n) }));
        test.publish(&channel, &header, format!(r#"{{"n":{n}}}"#).as_bytes());
    }
    for n in 0..500 {
        assert_eq!(test.event().await["n"], n);
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_small() {
    let (gateway, _queues) = gateway(&[]);
    gateway.liveness.set_redis(false, 0);
    let (_near, far) = tokio::io::duplex(64);
    let address = Address::of("127.0.0.1".parse().unwrap(), &http::HeaderMap::new(), &Default::default());
    let upgraded = Upgraded {
        socket: far,
        early: Bytes::new(),
        source: Box::new(Source { address, user_agent: None }),
        unnamed_proxy: None,
        deflate: true,
        dialect: Dialect::ChatV1,
        trace: None,
    };
    let running = open(gateway, upgraded).await.unwrap().run();
    assert!(size_of_val(&running) <= 400, "{}", size_of_val(&running));
    // With the two counts of its `Arc` it fits the allocator's class of 640 bytes.
    assert!(size_of::<Connection>() <= 640 - 16, "{}", size_of::<Connection>());
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_inbound_rate_is_read_later() {
    let settings = [("INBOUND_RATE", "16KiB"), ("MAX_PAYLOAD_SIZE", "64KiB")];
    let mut test = Test::authenticated(&settings).await;
    let ping = json!({"type": "ping", "x": "x".repeat(32_000)});
    let started = tokio::time::Instant::now();
    // The burst, 64 KiB, and one more message, after which it owes half a message.
    for _ in 0..3 {
        test.send(&ping).await;
        assert_eq!(test.event().await["type"], "pong");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    test.send(&ping).await;
    assert_eq!(test.event().await["type"], "pong");
    let waited = started.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_costs_more_than_its_text() {
    const PING: u8 = 9;
    const PONG: u8 = 10;
    let settings = [("INBOUND_RATE", "16KiB"), ("MAX_PAYLOAD_SIZE", "64KiB")];
    let mut test = Test::authenticated(&settings).await;
    let started = tokio::time::Instant::now();
    // The burst is 256 of them, and 64 go in a second.
    for _ in 0..300 {
        test.frame(PING, b"").await;
        test.send(&json!({"type": "ping"})).await;
        assert_eq!(test.read().await.0, PONG);
        assert_eq!(test.event().await["type"], "pong");
    }
    let waited = started.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_and_goes_waits_for_a_turn() {
    let mut test = Test::start(&[("MAX_CONNECTIONS_PER_USER", "1")]).await;
    // 20 at once, and one in a second.
    let open = |test: &Test| test.gateway.openings.take(UserId(1), test.gateway.clock.now_ms());
    for _ in 0..23 {
        assert!(open(&test).is_some());
    }
    let started = tokio::time::Instant::now();
    let authenticate = json!({"type": "auth", "token": token(1, Duration::from_secs(3600))});
    test.send(&authenticate).await;
    let Change::Subscribe { .. } = test.queues.changes.recv().await.unwrap() else { panic!() };
    let waited = started.elapsed();
    assert!((Duration::from_millis(3_900)..Duration::from_secs(5)).contains(&waited), "{waited:?}");

    let mut test = Test::start(&[("MAX_CONNECTIONS_PER_USER", "1")]).await;
    while open(&test).is_some() {}
    test.send(&authenticate).await;
    let error = test.event().await;
    assert_eq!((&error["type"], &error["code"]), (&json!("auth_error"), &json!("SERVICE_UNAVAILABLE")));
    assert_eq!(error["retryAfter"], 10);
}

/// Requests pages of maximum size for a client that has read nothing yet.
#[tokio::test(start_paused = true)]
async fn a_client_gets_all_it_requests_without_being_too_slow() {
    let mut test = Test::authenticated(&[("OUTBOX_LIMIT", "64KiB"), ("MAX_PAYLOAD_SIZE", "64KiB")]).await;
    let asked = 12;
    for number in 0..asked {
        let command = json!({"type": "get_private_messages", "recipientId": "2", "requestId": number});
        test.send(&command).await;
    }
    let page = json!({"type": "private_messages", "content": "x".repeat(256 * 1024)}).to_string();
    let mut answered = 0;
    while answered < asked {
        // No more at a time than the connection has room for.
        let mut under_way = Vec::new();
        tokio::time::sleep(Duration::from_millis(10)).await;
        while let Ok(admitted) = test.queues.admitted.try_recv() {
            under_way.push(admitted.command());
        }
        assert!((1..=4).contains(&under_way.len()), "{}", under_way.len());
        for command in &under_way {
            let header = Header::Answer { connection: ConnectionId(1), command: *command };
            test.publish_to_gateway(&header, page.as_bytes());
        }
        for _ in under_way {
            assert_eq!(test.event().await["type"], "private_messages");
            answered += 1;
        }
    }
    test.send(&json!({"type": "ping"})).await;
    assert_eq!(test.event().await["type"], "pong");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_not_read_is_asked_nothing_and_not_read() {
    let mut test = Test::authenticated(&[]).await;
    test.send(&json!({"type": "sync", "conversations": {}})).await;
    let (connection, command) = (ConnectionId(1), test.admitted().await.command());
    let part = json!({"type": "sync_messages", "content": "x".repeat(400 * 1024)}).to_string();
    test.publish_to_gateway(&Header::AnswerPart { connection, command }, part.as_bytes());
    let rest = postcard::to_stdvec(&SyncRound { positions: Vec::new(), is_first: false }).unwrap();
    test.publish_to_gateway(&Header::AnswerContinues { connection, command }, &rest);
    test.send(&json!({"type": "send_private_message", "recipientId": "2", "content": "x"})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(test.queues.admitted.try_recv().is_err(), "neither the next round nor the message");
    assert_eq!(test.event().await["type"], "sync_messages");
    let passed_on = [test.admitted().await.command(), test.admitted().await.command()];
    assert!(passed_on.contains(&command), "the next round");
}
