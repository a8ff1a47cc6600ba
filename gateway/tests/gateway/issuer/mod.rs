//! Tokens signed with keys that an issuer publishes. The issuer is a real HTTP server in this process; its keys are for
//! these tests only.

mod server;

use std::time::Duration;

use client::Client;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{BRIEFLY, Harness, SOON, token};
use crate::issuer::server::{Answer, Server};

const ISSUER: &str = "https://issuer.example.org/";

/// A private key of the issuer's.
struct Key {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Key {
    fn rsa(id: &'static str) -> Self {
        Key { id, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(include_bytes!("rsa.der")) }
    }

    fn p256(id: &'static str) -> Self {
        Key { id, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(include_bytes!("p256.der")) }
    }

    fn ed25519(id: &'static str) -> Self {
        Key { id, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(include_bytes!("ed25519.der")) }
    }

    fn public(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn set(keys: &[&Key]) -> Answer {
    Answer::json(&json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()}))
}

fn now() -> i64 {
    shared::clock::Timestamp::now().0 / 1000
}

/// Valid claims with some replaced; `null` removes one.
fn claims(user: i64, changes: Value) -> Value {
    let mut claims = json!({"sub": user.to_string(), "iss": ISSUER, "aud": ["other", "chat"], "exp": now() + 600});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

async fn start(server: &Server, changes: &[(&str, &str)]) -> Harness {
    let url = server.url();
    let mut settings = vec![("JWKS_URL", url.as_str()), ("TOKEN_ISSUER", ISSUER), ("TOKEN_AUDIENCE", "chat")];
    settings.extend(changes);
    Harness::start(&settings).await
}

/// The code with which a token is refused over HTTP.
async fn refused(harness: &Harness, token: &str) -> (u16, Value) {
    let authorization = format!("Bearer {token}");
    let (status, _, body) = harness.http("GET", "/api/conversations", &[("Authorization", &authorization)]).await;
    (status, serde_json::from_slice::<Value>(&body).unwrap()["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_all_three_algorithms_open_sessions() {
    let keys = [Key::rsa("r"), Key::p256("e"), Key::ed25519("o")];
    let server = Server::start(set(&keys.each_ref())).await;
    let harness = start(&server, &[]).await;
    for (user, key) in (1..).zip(&keys) {
        let client = Client::login(&harness.url, &key.sign(&claims(user, json!({})))).await.unwrap();
        assert_eq!(client.user_id(), user.to_string());
    }
    // The shared secret still works next to the issuer.
    assert_eq!(harness.login(9).await.user_id(), "9");
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_id_stands_where_the_setting_says() {
    let key = Key::ed25519("o");
    let server = Server::start(set(&[&key])).await;
    let harness = start(&server, &[("TOKEN_USER_CLAIM", "https://example.org/id")]).await;
    let given = key.sign(&claims(1, json!({"sub": "auth0|5f7c", "https://example.org/id": 17})));
    assert_eq!(Client::login(&harness.url, &given).await.unwrap().user_id(), "17");
    assert_eq!(refused(&harness, &key.sign(&claims(1, json!({})))).await, (401, json!("TOKEN_INVALID")));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_not_for_this_server_are_rejected() {
    let key = Key::p256("e");
    let server = Server::start(set(&[&key])).await;
    let harness = start(&server, &[]).await;
    for (changes, code) in [
        (json!({"exp": now() - 60}), "TOKEN_EXPIRED"),
        (json!({"exp": now() - 60, "iss": "https://evil.example.org/"}), "TOKEN_INVALID"),
        (json!({"iss": "https://evil.example.org/"}), "TOKEN_INVALID"),
        (json!({"iss": null}), "TOKEN_INVALID"),
        (json!({"aud": "other"}), "TOKEN_INVALID"),
        (json!({"aud": null}), "TOKEN_INVALID"),
        (json!({"nbf": now() + 60}), "TOKEN_INVALID"),
        (json!({"exp": null}), "TOKEN_INVALID"),
        (json!({"sub": "alice"}), "TOKEN_INVALID"),
        (json!({"sub": null}), "TOKEN_INVALID"),
        (json!({"jti": ""}), "TOKEN_INVALID"),
    ] {
        let given = key.sign(&claims(1, changes.clone()));
        assert_eq!(refused(&harness, &given).await, (401, json!(code)), "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_secret_and_no_key_of_another_algorithm() {
    let (rsa, p256) = (Key::rsa("r"), Key::p256("e"));
    let server = Server::start(set(&[&rsa, &p256])).await;
    let harness = start(&server, &[]).await;
    let public = rsa.public();
    let modulus = public["n"].as_str().unwrap();
    // Every form of the public key that a careless server might take for the secret of HS256.
    for secret in [modulus.as_bytes(), public.to_string().as_bytes(), include_bytes!("rsa.der")] {
        let header = Header { kid: Some("r".to_owned()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&header, &claims(1, json!({})), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(refused(&harness, &forged).await, (401, json!("TOKEN_INVALID")));
    }
    // Signed with one key, and labelled as another.
    let mislabelled = Key { id: "r", ..Key::p256("e") };
    assert_eq!(refused(&harness, &mislabelled.sign(&claims(1, json!({})))).await.0, 401);
    let genuine = rsa.sign(&claims(1, json!({})));
    let (signed, _) = genuine.rsplit_once('.').unwrap();
    for signature in ["", "AAAA"] {
        assert_eq!(refused(&harness, &format!("{signed}.{signature}")).await.0, 401);
    }
    // The right key under a known name does not ask the issuer again, and neither does a wrong one.
    assert_eq!(server.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symmetric_or_weak_key_in_the_set_is_not_taken() {
    let key = Key::ed25519("o");
    let symmetric =
        json!({"kty": "oct", "kid": "s", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA", "alg": "HS256"});
    let mut weak = Key::rsa("w").public();
    weak["n"] = json!(weak["n"].as_str().unwrap()[..170]);
    let mut for_encryption = Key::p256("x").public();
    for_encryption["use"] = json!("enc");
    let unknown = json!({"kty": "PQC", "kid": "q"});
    let keys = json!({"keys": [symmetric, weak, for_encryption, unknown, key.public()]});
    let server = Server::start(Answer::json(&keys)).await;
    let harness = start(&server, &[]).await;
    Client::login(&harness.url, &key.sign(&claims(1, json!({})))).await.unwrap();
    let secret = EncodingKey::from_secret(b"secret secret secret secret secret");
    let header = Header { kid: Some("s".to_owned()), ..Header::new(Algorithm::HS256) };
    let forged = jsonwebtoken::encode(&header, &claims(1, json!({})), &secret).unwrap();
    assert_eq!(refused(&harness, &forged).await, (401, json!("TOKEN_INVALID")));
    assert_eq!(refused(&harness, &Key::p256("x").sign(&claims(1, json!({})))).await, (401, json!("TOKEN_INVALID")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_found_and_an_unknown_one_asked_for_once() {
    let (old, new) = (Key::p256("2025"), Key::ed25519("2026"));
    let server = Server::start(set(&[&old])).await;
    let harness = start(&server, &[]).await;
    Client::login(&harness.url, &old.sign(&claims(1, json!({})))).await.unwrap();
    assert_eq!(server.requests(), 1);
    server.answer(set(&[&new]));
    // Many at once share one request, and a session waits for it.
    let given = new.sign(&claims(2, json!({})));
    let logins = (0..5).map(|_| Client::login(&harness.url, &given));
    for login in futures_util::future::join_all(logins).await {
        assert_eq!(login.unwrap().user_id(), "2");
    }
    assert!(server.requests() <= 3, "{}", server.requests());
    assert_eq!(refused(&harness, &old.sign(&claims(1, json!({})))).await, (401, json!("TOKEN_INVALID")));
    let asked = server.requests();
    for _ in 0..5 {
        assert_eq!(refused(&harness, &old.sign(&claims(1, json!({})))).await, (401, json!("TOKEN_INVALID")));
    }
    assert_eq!(server.requests(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_outlive_their_issuer_and_unknown_ones_wait_for_it() {
    let (known, unknown) = (Key::p256("known"), Key::ed25519("unknown"));
    let server = Server::start(set(&[&known])).await;
    let harness = start(&server, &[]).await;
    Client::login(&harness.url, &known.sign(&claims(1, json!({})))).await.unwrap();
    server.answer(Answer::status(500));
    Client::login(&harness.url, &known.sign(&claims(1, json!({})))).await.unwrap();
    let refused = Client::login(&harness.url, &unknown.sign(&claims(2, json!({})))).await.unwrap_err();
    assert_eq!(refused.code(), Some("SERVICE_UNAVAILABLE"));
    assert!(refused.retry_after().is_some());
    server.answer(set(&[&known, &unknown]));
    let found = async {
        while Client::login(&harness.url, &unknown.sign(&claims(2, json!({})))).await.is_err() {
            tokio::time::sleep(BRIEFLY).await;
        }
    };
    tokio::time::timeout(3 * SOON, found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_set_a_gateway_starts_and_serves_the_others() {
    let elsewhere = Server::start(set(&[&Key::p256("e")])).await;
    let given = Key::p256("e").sign(&claims(1, json!({})));
    for answer in [
        Answer::status(503),
        Answer::redirect(&elsewhere.url()),
        Answer::endless(),
        Answer::silent(),
        Answer::json(&json!({"keys": []})),
        Answer::json(&json!("keys")),
    ] {
        let server = Server::start(answer).await;
        let harness = start(&server, &[]).await;
        assert_eq!(refused(&harness, &given).await, (503, json!("SERVICE_UNAVAILABLE")));
        assert_eq!(harness.login(1).await.user_id(), "1");
    }
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_issuer_alone_no_secret_is_needed_and_none_accepted() {
    let key = Key::rsa("r");
    let server = Server::start(set(&[&key])).await;
    let harness = start(&server, &[("JWT_SECRET", "")]).await;
    Client::login(&harness.url, &key.sign(&claims(1, json!({})))).await.unwrap();
    assert_eq!(refused(&harness, &token(1)).await, (401, json!("TOKEN_INVALID")));
    let signed_with_nothing = Duration::from_secs(60);
    let empty = client::token::mint("", 1, signed_with_nothing);
    assert!(empty.is_err() || refused(&harness, &empty.unwrap()).await.0 == 401);
}
