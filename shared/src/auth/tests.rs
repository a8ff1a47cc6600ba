//! Which tokens are accepted, and the errors for the others.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::ids::TokenId;

use super::*;

const SECRET: [u8; 32] = *b"\x00\xff0123456789abcdefghijABCDEFGHIJ";
const NOW: i64 = 1_800_000_000;

fn verifier() -> TokenVerifier {
    TokenVerifier::new(&STANDARD.encode(SECRET)).unwrap()
}

/// A token signed with HMAC-SHA-256, whatever its header says, made without the package under test.
fn token_of(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&SECRET).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn with_payload(payload: &str) -> Result<Claims, TokenError> {
    verifier().verify(&token_of(HEADER, payload), NOW)
}

fn valid() -> Value {
    json!({"sub": "42", "jti": "j-1", "exp": NOW + 60, "iat": NOW - 1})
}

/// The valid claims with some replaced; `null` in `changes` removes one.
fn with(changes: Value) -> Result<Claims, TokenError> {
    let mut claims = valid();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    with_payload(&claims.to_string())
}

fn with_header(header: &str) -> Result<Claims, TokenError> {
    verifier().verify(&token_of(header, &valid().to_string()), NOW)
}

#[test]
fn a_valid_token_says_who_it_is() {
    let claims = with(json!({})).unwrap();
    assert_eq!(claims, Claims { user_id: 42, jti: TokenId("j-1".into()), exp_unix: NOW + 60, iat_unix: Some(NOW - 1) });
}

#[test]
fn the_user_id_stands_in_sub_or_user_id() {
    let ok = |changes| with(changes).map(|claims| claims.user_id);
    assert_eq!(ok(json!({"sub": 42})), Ok(42));
    assert_eq!(ok(json!({"sub": null, "userId": 42})), Ok(42));
    assert_eq!(ok(json!({"sub": null, "userId": "42"})), Ok(42));
    assert_eq!(ok(json!({"sub": "42", "userId": 42})), Ok(42));
    assert_eq!(ok(json!({"sub": 42, "userId": "42"})), Ok(42));
    assert_eq!(ok(json!({"sub": i64::MAX})), Ok(i64::MAX));
    assert_eq!(ok(json!({"sub": i64::MAX.to_string()})), Ok(i64::MAX));
}

#[test]
fn other_user_ids_are_invalid() {
    for changes in [
        json!({"sub": null}),
        json!({"sub": "42", "userId": 43}),
        json!({"sub": "alice", "userId": 42}),
        json!({"sub": "42", "userId": "alice"}),
        json!({"sub": "alice", "userId": "alice"}),
        json!({"sub": ""}),
        json!({"sub": " 42"}),
        json!({"sub": "+42"}),
        json!({"sub": "042"}),
        json!({"sub": "42.0"}),
        json!({"sub": "0x2a"}),
        json!({"sub": "٤٢"}),
        json!({"sub": 0}),
        json!({"sub": "0"}),
        json!({"sub": -42}),
        json!({"sub": "-42"}),
        json!({"sub": 42.0}),
        json!({"sub": 42.5}),
        json!({"sub": true}),
        json!({"sub": [42]}),
        json!({"sub": {"id": 42}}),
        json!({"sub": u64::MAX}),
        json!({"sub": "9223372036854775808"}),
        json!({"userId": true}),
        json!({"userId": 42.0}),
    ] {
        assert_eq!(with(changes.clone()), Err(TokenError::Invalid), "{changes}");
    }
}

#[test]
fn claims_of_a_wrong_type_are_invalid() {
    for (name, values) in [
        (
            "exp",
            vec![
                json!((NOW + 60).to_string()),
                json!(NOW as f64 + 60.5),
                json!(NOW as f64 + 60.0),
                json!(-1),
                json!(u64::MAX),
                json!(i64::MAX),
                json!(1e300),
                json!(253_402_300_800_i64),
                json!(true),
                json!([NOW + 60]),
                json!({}),
            ],
        ),
        ("nbf", vec![json!("1"), json!(1.5), json!(-1), json!(u64::MAX), json!(false), json!([])]),
        ("iat", vec![json!("1"), json!(1.5), json!(-1), json!(u64::MAX), json!([])]),
        (
            "jti",
            vec![
                json!(1),
                json!(""),
                json!("x".repeat(256)),
                json!("a\u{0}b"),
                json!("a\nb"),
                json!(["j"]),
                json!(true),
            ],
        ),
        ("iss", vec![json!(1), json!(["i"]), json!({})]),
        ("aud", vec![json!(1), json!([1]), json!({}), json!(true)]),
    ] {
        for value in values {
            assert_eq!(with(json!({name: value.clone()})), Err(TokenError::Invalid), "{name}: {value}");
        }
    }
    // An explicit null is not the same as an absent claim.
    for name in ["sub", "userId", "exp", "nbf", "iat", "jti", "iss", "aud"] {
        let mut claims = valid();
        claims[name] = Value::Null;
        assert_eq!(with_payload(&claims.to_string()), Err(TokenError::Invalid), "{name}");
    }
}

#[test]
fn jti_and_exp_are_required_and_the_rest_is_tolerated() {
    assert_eq!(with(json!({"jti": null})), Err(TokenError::Invalid));
    assert_eq!(with(json!({"exp": null})), Err(TokenError::Invalid));
    for changes in [
        json!({"iat": null}),
        json!({"aud": "someone-else"}),
        json!({"aud": ["a", "b"]}),
        json!({"iss": "main-backend", "username": 7, "roles": ["x"], "nested": {"sub": 1}}),
        json!({"jti": "ü".repeat(127)}),
        json!({"iat": NOW + 1000}),
    ] {
        assert!(with(changes.clone()).is_ok(), "{changes}");
    }
}

#[test]
fn payloads_without_claims_are_invalid() {
    for payload in ["", "null", "[]", "42", "\"x\"", "{", "{}", "\u{feff}{}"] {
        assert_eq!(with_payload(payload), Err(TokenError::Invalid), "{payload}");
    }
    let twice = format!(r#"{{"sub":"42","sub":"43","jti":"j","exp":{}}}"#, NOW + 60);
    assert_eq!(with_payload(&twice), Err(TokenError::Invalid));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    assert_eq!(with_payload(&deep), Err(TokenError::Invalid));
}

#[test]
fn expiry_and_nbf_have_five_seconds_of_leeway() {
    assert!(with(json!({"exp": NOW - 4})).is_ok());
    assert_eq!(with(json!({"exp": NOW - 5})), Err(TokenError::Expired));
    assert_eq!(with(json!({"exp": 0})), Err(TokenError::Expired));
    assert!(with(json!({"nbf": NOW + 5})).is_ok());
    assert_eq!(with(json!({"nbf": NOW + 6})), Err(TokenError::Invalid));
    // Only a token that is otherwise valid is reported as expired.
    assert_eq!(with(json!({"exp": 0, "sub": "alice"})), Err(TokenError::Invalid));
    assert_eq!(with(json!({"exp": 0, "jti": ""})), Err(TokenError::Invalid));
}

#[test]
fn only_hs256_is_accepted() {
    for alg in ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256", "HS256 "] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        assert_eq!(with_header(&header), Err(TokenError::Invalid), "{alg}");
        // Also without a signature.
        let token = token_of(&header, &valid().to_string());
        let bare = &token[..=token.rfind('.').unwrap()];
        assert_eq!(verifier().verify(bare, NOW), Err(TokenError::Invalid), "{alg}");
    }
    for header in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"RS256","alg":"HS256"}"#,
        "{}",
        "[]",
        "",
    ] {
        assert_eq!(with_header(header), Err(TokenError::Invalid), "{header}");
    }
}

#[test]
fn unknown_critical_headers_are_rejected_and_key_hints_ignored() {
    for extra in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":"exp""#,
        r#""cty":"JWT""#,
        r#""typ":"JWE""#,
        r#""typ":"at+jwt""#,
        r#""enc":"A128GCM""#,
        r#""zip":"DEF""#,
        r#""b64":false"#,
    ] {
        assert_eq!(with_header(&format!(r#"{{"alg":"HS256",{extra}}}"#)), Err(TokenError::Invalid), "{extra}");
    }
    for extra in [
        r#""typ":"jwt""#,
        r#""kid":"../../dev/null""#,
        r#""kid":"' OR 1=1 --""#,
        r#""jku":"https://evil.example/keys""#,
        r#""x5u":"https://evil.example/cert""#,
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""x-note":{"a":1}"#,
    ] {
        assert!(with_header(&format!(r#"{{"alg":"HS256",{extra}}}"#)).is_ok(), "{extra}");
    }
    // A key inside the token never verifies it.
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#),
        URL_SAFE_NO_PAD.encode(valid().to_string())
    );
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&[0, 0, 0]).unwrap();
    mac.update(message.as_bytes());
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    assert_eq!(verifier().verify(&forged, NOW), Err(TokenError::Invalid));
}

#[test]
fn every_byte_of_the_token_counts() {
    let token = token_of(HEADER, &valid().to_string());
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(verifier().verify(&changed, NOW), Err(TokenError::Invalid), "byte {at}");
    }
    for odd in
        [format!("{token}="), format!("{token}."), format!(".{token}"), format!(" {token}"), format!("{token}\n")]
    {
        assert_eq!(verifier().verify(&odd, NOW), Err(TokenError::Invalid));
    }
    let other = TokenVerifier::new(&STANDARD.encode([7; 32])).unwrap();
    assert_eq!(other.verify(&token, NOW), Err(TokenError::Invalid));
}

#[test]
fn while_the_secret_changes_tokens_under_either_are_accepted() {
    let token = token_of(HEADER, &valid().to_string());
    let (new, other) = (STANDARD.encode([7; 32]), STANDARD.encode([8; 32]));
    let both = TokenVerifier::new(&new).unwrap().and(&STANDARD.encode(SECRET)).unwrap();
    assert!(both.verify(&token, NOW).is_ok());
    let renewed = TokenSigner::new(&new).unwrap().sign(42, "j-2", NOW, Duration::from_secs(60)).unwrap();
    assert!(both.verify(&renewed, NOW).is_ok());
    let foreign = TokenSigner::new(&other).unwrap().sign(42, "j-2", NOW, Duration::from_secs(60)).unwrap();
    assert_eq!(both.verify(&foreign, NOW), Err(TokenError::Invalid));
    assert_eq!(both.verify(&token, NOW + 65), Err(TokenError::Expired));
    assert_eq!(both.and(&STANDARD.encode([1; 31])).map(drop), Err(SecretError::TooShort { bytes: 31 }));
}

#[test]
fn missing_and_oversized_tokens() {
    assert_eq!(verifier().verify("", NOW), Err(TokenError::Missing));
    assert_eq!(verifier().verify(".", NOW), Err(TokenError::Invalid));
    assert_eq!(verifier().verify("..", NOW), Err(TokenError::Invalid));
    let padded = |length: usize| {
        let mut claims = valid();
        claims["pad"] = json!("x".repeat(length));
        token_of(HEADER, &claims.to_string())
    };
    assert!(verifier().verify(&padded(6000), NOW).is_ok());
    let large = padded(6200);
    assert!(large.len() > MAX_TOKEN_BYTES);
    assert_eq!(verifier().verify(&large, NOW), Err(TokenError::Invalid));
}

#[test]
fn secrets_are_base64_of_at_least_32_bytes() {
    let with_padding = STANDARD.encode(SECRET);
    let without = with_padding.trim_end_matches('=').to_owned();
    let token = token_of(HEADER, &valid().to_string());
    for secret in [&with_padding, &without, &format!("{with_padding}\n")] {
        assert!(TokenVerifier::new(secret).unwrap().verify(&token, NOW).is_ok());
    }
    let short = STANDARD.encode([1; 31]);
    assert_eq!(TokenVerifier::new(&short).map(drop), Err(SecretError::TooShort { bytes: 31 }));
    assert_eq!(TokenVerifier::new("").map(drop), Err(SecretError::TooShort { bytes: 0 }));
    for bad in ["not base64!", "ab-_".repeat(11).as_str(), "é"] {
        assert_eq!(TokenVerifier::new(bad).map(drop), Err(SecretError::NotBase64), "{bad}");
    }
    assert!(TokenSigner::new(&short).is_err());
    assert!(!format!("{:?}", verifier()).contains("0123"));
}

#[test]
fn what_is_signed_verifies() {
    let signer = TokenSigner::new(&STANDARD.encode(SECRET)).unwrap();
    let token = signer.sign(7, "id", NOW, Duration::from_secs(60)).unwrap();
    let claims = verifier().verify(&token, NOW).unwrap();
    assert_eq!(claims, Claims { user_id: 7, jti: TokenId("id".into()), exp_unix: NOW + 60, iat_unix: Some(NOW) });
    assert_eq!(verifier().verify(&token, NOW + 65), Err(TokenError::Expired));
    for (user_id, jti, ttl) in [(0, "id", 60), (-1, "id", 60), (7, "", 60), (7, "id", u64::MAX), (7, "id", 1 << 40)] {
        assert!(signer.sign(user_id, jti, NOW, Duration::from_secs(ttl)).is_err());
    }
}

#[test]
fn codes_are_those_of_the_protocol() {
    let codes = [TokenError::Missing, TokenError::Invalid, TokenError::Expired].map(TokenError::code);
    assert_eq!(codes, ["TOKEN_MISSING", "TOKEN_INVALID", "TOKEN_EXPIRED"]);
}

proptest! {
    #[test]
    fn noise_is_rejected_without_a_panic(text in ".{0,200}", header in ".{0,60}", payload in ".{0,100}", now: i64) {
        prop_assert!(verifier().verify(&text, now).is_err());
        prop_assert!(verifier().verify(&token_of(&header, &payload), now).is_err());
        let _ = verifier().verify(&token_of(HEADER, &valid().to_string()), now);
    }
}
