//! What attackers try over real sockets: forged tokens, false addresses, requests that never end, broken frames, odd
//! JSON.

use std::time::{Duration, Instant};

use client::token::TokenBuilder;
use client::{Client, Error, event_type};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Harness, JWT_SECRET, SOON, token};

/// Base64 of 32 zero bytes, which an attacker knows.
const FOREIGN_SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// `gateway::http::HEADER_TIMEOUT`, and what a busy machine may add.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
const SLOW_MACHINE: Duration = Duration::from_secs(20);

fn good() -> TokenBuilder {
    TokenBuilder::new(1, Duration::from_secs(600))
}

fn signed(builder: &TokenBuilder) -> String {
    builder.sign(JWT_SECRET).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_opens_a_session() {
    let harness = Harness::start(&[("IP_AUTH_FAILURE_LIMIT", "1000")]).await;
    let key = json!({"kty": "oct", "k": FOREIGN_SECRET});
    let mut forged = vec![
        good().header("alg", json!("none")).unsigned(),
        signed(&good().header("alg", json!("none"))),
        // Correctly signed with the attacker's own secret, which the header offers as the key.
        good().sign(FOREIGN_SECRET).unwrap(),
        good().header("kid", json!("../../../../dev/null")).sign(FOREIGN_SECRET).unwrap(),
        good().header("kid", json!("' UNION SELECT 'AAAA")).sign(FOREIGN_SECRET).unwrap(),
        good().header("jwk", key).sign(FOREIGN_SECRET).unwrap(),
        good().header("jku", json!("http://127.0.0.1:1/keys")).sign(FOREIGN_SECRET).unwrap(),
    ];
    // Signed with the right secret, but with algorithms that this server does not accept.
    for alg in ["HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256", "HS256 ", ""] {
        forged.push(signed(&good().header("alg", json!(alg))));
    }
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("typ", json!("at+jwt")),
    ] {
        forged.push(signed(&good().header(name, value)));
    }
    let far = 9_999_999_999_i64;
    for (name, value) in [
        ("sub", json!(["1"])),
        ("sub", json!({"id": 1})),
        ("sub", json!(1.0)),
        ("sub", json!(null)),
        ("sub", json!(true)),
        ("sub", json!("0")),
        ("sub", json!("-1")),
        ("sub", json!("01")),
        ("sub", json!("1 OR 1=1")),
        ("sub", json!("9223372036854775808")),
        ("userId", json!(2)),
        ("exp", json!(far.to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("nbf", json!(far)),
        ("nbf", json!("0")),
        ("iat", json!("now")),
        ("iss", json!(5)),
        ("aud", json!({"a": 1})),
        ("jti", json!(7)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(256))),
        ("jti", json!("a\u{0}b")),
    ] {
        forged.push(signed(&good().claim(name, value)));
    }
    forged.extend(["sub", "exp", "jti"].map(|claim| signed(&good().without(claim))));
    forged.push(signed(&good().claim("pad", json!("x".repeat(9_000)))));
    forged.push(signed(&good().claim("sub", deep(2_000))));
    let mut client = Client::connect(&harness.url).await.unwrap();
    for (n, token) in forged.iter().enumerate() {
        // The fifth failure closes the connection.
        if n % 4 == 0 {
            client = Client::connect(&harness.url).await.unwrap();
        }
        let refused = client.authenticate(token).await.err().unwrap_or_else(|| panic!("accepted: {token}"));
        assert_eq!(refused.code(), Some("TOKEN_INVALID"), "{token}");
    }
    // The same builder makes valid tokens. Key hints are not followed, and unrelated claims are ignored.
    let mut client = Client::connect(&harness.url).await.unwrap();
    let odd = good().header("kid", json!("x")).claim("userId", json!(1)).claim("other", deep(2_000));
    client.authenticate(&signed(&odd)).await.unwrap();
    assert_eq!(client.user_id(), "1");
}

/// Arrays within arrays.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_vouches_for_does_not_count() {
    let harness = Harness::start(&[("MAX_CONNECTIONS_PER_IP", "2"), ("TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let from = |address: &str| harness.connect().forwarded_for(address).open();
    let _held = [from("9.9.9.9").await.unwrap(), from("8.8.8.8").await.unwrap()];
    // All of them count as the peer, whatever the header says.
    for claimed in ["7.7.7.7", "10.0.0.1", "127.0.0.1, 7.7.7.7", "nonsense", "::ffff:7.7.7.7"] {
        let Err(Error::Refused { event, .. }) = from(claimed).await else { panic!("{claimed} has a place of its own") };
        assert_eq!(event["code"], "MAX_CONNECTIONS_EXCEEDED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_end_is_cut_off() {
    let harness = Harness::start(&[]).await;
    let address = harness.url.strip_prefix("http://").unwrap();
    let started = Instant::now();
    let slow =
        ["", "GET / HT", "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nX-Slow: "].map(|begun| async move {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(begun.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            // An answer that says so, or none; then the end.
            let _ = socket.read_to_end(&mut rest).await;
            let answer = String::from_utf8_lossy(&rest).into_owned();
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 408") || answer.starts_with("HTTP/1.1 400"),
                "{answer}"
            );
        });
    let all = futures_util::future::join_all(slow);
    tokio::time::timeout(HEAD_WITHIN + SLOW_MACHINE, all).await.expect("all are cut off");
    assert!(started.elapsed() >= HEAD_WITHIN / 2, "an honest client has its time");
    let too_large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(crate::harness::exchange(&harness.url, &too_large).await.0, 431);
}

async fn close_code(socket: &mut TcpStream) -> u16 {
    tokio::time::timeout(SOON, client::raw::read_close_code(socket)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_against_the_rules_close_with_a_protocol_error() {
    let harness = Harness::start(&[]).await;
    let mask = [0; 4];
    let long_ping = [&[0x89, 0xfe, 0, 126][..], &mask, &[b'x'; 126]].concat();
    for (what, bytes) in [
        ("a fragmented control frame", &[0x09, 0x80, 0, 0, 0, 0][..]),
        ("a control frame that is too long", &long_ping),
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
        ("a new message within another", &[0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0]),
        ("a reserved bit", &[0xa1, 0x80, 0, 0, 0, 0]),
        ("a compressed message that was not agreed on", &[0xc1, 0x80, 0, 0, 0, 0]),
        ("a frame that is not masked", &[0x81, 0]),
        ("a length in more bytes than it takes", &[0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x']),
        ("an unknown opcode", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a close code that must not be sent", &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xee]),
        ("half a close code", &[0x88, 0x81, 0, 0, 0, 0, 0x03]),
    ] {
        let mut socket = harness.connect().open_raw().await.unwrap();
        socket.write_all(bytes).await.unwrap();
        assert_eq!(close_code(&mut socket).await, 1002, "{what}");
    }
    // Fragments with a ping between them are valid.
    let mut socket = harness.connect().open_raw().await.unwrap();
    let [first, rest] = ["{\"type\":", "\"ping\"}"];
    let part = |opcode: u8, text: &str| [&[opcode, 0x80 | text.len() as u8][..], &mask, text.as_bytes()].concat();
    socket.write_all(&[part(0x01, first), part(0x89, "p"), part(0x80, rest)].concat()).await.unwrap();
    let answered = async {
        loop {
            let frame = client::raw::read_frame(&mut socket).await.unwrap().expect("an answer");
            if String::from_utf8_lossy(&frame.payload).contains("\"pong\"") {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, answered).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_json_is_rejected_or_read_in_one_way() {
    let harness = Harness::start(&[]).await;
    let mut client = Client::login(&harness.url, &token(1)).await.unwrap();
    let nested = format!("{{\"type\":\"ping\",\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = (0..50_000).map(|n| format!(",\"f{n}\":0")).collect::<String>();
    for (text, answer) in [
        (nested, "VALIDATION_ERROR"),
        ("{\"type\":\"\\ud800\"}".to_owned(), "INVALID_JSON"),
        ("{\"type\":\"ping\",\"x\":\"\\udc00\\ud800\"}".to_owned(), "INVALID_JSON"),
        ("{\"type\":\"ping\",\"x\":1e999}".to_owned(), "INVALID_JSON"),
        ("{\"type\":\"ping\",\"x\":NaN}".to_owned(), "INVALID_JSON"),
        ("{\"type\":\"ping\"}{\"type\":\"ping\"}".to_owned(), "INVALID_JSON"),
        // If a field occurs twice, the last one counts.
        ("{\"type\":\"nonsense\",\"type\":\"ping\"}".to_owned(), "pong"),
        ("{\"type\":\"ping\",\"type\":\"nonsense\"}".to_owned(), "UNKNOWN_TYPE"),
        (format!("{{\"type\":\"ping\"{wide}}}"), "VALIDATION_ERROR"),
        (format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", wide.replace('"', "'")), "pong"),
        ("{\"\\u0074ype\":\"ping\"}".to_owned(), "pong"),
    ] {
        client.send_text(&text).await.unwrap();
        let event = client.next_event(SOON).await.unwrap();
        let got = event["code"].as_str().unwrap_or(event_type(&event));
        assert_eq!(got, answer, "{}", text.chars().take(80).collect::<String>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_after_the_last_bad_token_is_ignored() {
    let harness = Harness::start(&[("IP_AUTH_FAILURE_LIMIT", "50")]).await;
    let mut socket = harness.connect().open_raw().await.unwrap();
    let bad = br#"{"type":"authenticate","token":"x"}"#;
    let frame = [&[0x81, 0x80 | bad.len() as u8][..], &[0; 4], bad].concat();
    socket.write_all(&frame.repeat(600)).await.unwrap();
    assert_eq!(close_code(&mut socket).await, 1008);
    // Five count against the address, and not all of them: the next failure is reported for what it is.
    let mut client = harness.connect().open().await.unwrap();
    let refused = client.request(json!({"type": "authenticate", "token": "x"})).await.unwrap();
    assert_eq!(refused["code"], "TOKEN_INVALID");
    assert!(client.next_event(Duration::from_secs(1)).await.is_err(), "and nothing else");
}
