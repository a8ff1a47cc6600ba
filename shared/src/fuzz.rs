//! Entry points for fuzzers and property tests: send arbitrary bytes through everything that reads bytes from outside,
//! and assert the invariants. The WebSocket codec's are in `websocket`.
//!
//! All of them panic if an invariant is broken, which the fuzzer then reports.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::auth::{LEEWAY_SECONDS, TokenVerifier};
use crate::commands::{Command, DecodeContext};
use crate::crypto::{EncryptionSettings, Keyring, Sealed};
use crate::ids::UserId;
use crate::limits::Limits;
use crate::protocol::Frame;
use crate::stream::{self, Body};
use crate::wire::{self, Wire, WireFormat};

static KEYRING: LazyLock<Option<Keyring>> =
    LazyLock::new(|| Keyring::derive(&EncryptionSettings::single("for fuzzing only", "fuzz")).ok());

const TOKEN_SECRET: [u8; 32] = [7; 32];
const NOW_UNIX: i64 = 1_800_000_000;
static VERIFIER: LazyLock<Option<TokenVerifier>> =
    LazyLock::new(|| TokenVerifier::new(&STANDARD.encode(TOKEN_SECRET)).ok());

/// A token in raw form, and one correctly signed with the two lines as header and claims: what is accepted has an
/// allowed algorithm, a user, and a valid time.
pub fn fuzz_token(data: &[u8]) {
    let (Ok(text), Some(verifier)) = (std::str::from_utf8(data), VERIFIER.as_ref()) else { return };
    assert!(verifier.verify(text, NOW_UNIX).is_err(), "a forged token was accepted");
    let Some((header, claims)) = text.split_once('\n') else { return };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&TOKEN_SECRET) else { return };
    mac.update(signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let Ok(accepted) = verifier.verify(&token, NOW_UNIX) else { return };
    assert!(accepted.user_id > 0 && !accepted.jti.0.is_empty() && accepted.exp_unix + LEEWAY_SECONDS > NOW_UNIX);
    let header: Option<serde_json::Value> = serde_json::from_str(header).ok();
    assert!(header.is_some_and(|header| header["alg"] == "HS256" && header.get("crit").is_none()), "{token}");
}

/// A client's text: an accepted command survives its way through a stream.
pub fn fuzz_command(data: &[u8]) {
    let (Ok(text), Some(keyring)) = (std::str::from_utf8(data), KEYRING.as_ref()) else { return };
    let Ok(frame) = Frame::parse(text) else { return };
    let limits = Limits::default();
    let context = DecodeContext { caller: UserId(1), limits: &limits };
    let Some(Ok(command)) = Command::decode(frame.kind(), frame.fields(), &context) else { return };
    let body = Body::of_command(command, false);
    let (gateway, connection) = (crate::ids::GatewayId(Uuid::nil()), crate::ids::ConnectionId(0));
    let reply_to = crate::ids::ConnectionRef { gateway, connection };
    let at = crate::clock::Timestamp(0);
    let envelope = stream::Envelope::new(Uuid::nil(), &body, UserId(1), reply_to, at, at);
    for format in [WireFormat::One, WireFormat::Two] {
        let wire = Wire::new(keyring.clone(), format);
        let read = wire.open_entry("stream", &wire.entry("stream", &envelope, &body));
        assert_eq!(read.as_ref(), Ok(&(envelope.clone(), body.clone())), "a command changed on its way");
    }
}

/// A stream entry: nothing panics, and nothing that we did not write opens, in any format.
pub fn fuzz_entry(data: &[u8]) {
    let _shown = wire::peek_envelope(data);
    let Some(keyring) = KEYRING.as_ref() else { return };
    for format in [WireFormat::Both, WireFormat::Two] {
        let wire = Wire::new(keyring.clone(), format);
        assert!(wire.open_entry("stream", data).is_err(), "a forged entry opened");
    }
}

/// A sealed record, as a blob and as a row of the original server.
pub fn fuzz_sealed(data: &[u8]) {
    let Some(keyring) = KEYRING.as_ref() else { return };
    if let Ok(sealed) = Sealed::from_blob(data) {
        assert_eq!(sealed.to_blob(), data);
        assert!(keyring.open_sealed(Uuid::nil(), &sealed).is_err(), "a forged record opened");
    }
    let (iv, content) = data.split_at(data.len().min(32));
    // Without a MAC the result may be anything, but no longer than the input.
    if let Ok(plain) = keyring.open(Uuid::nil(), crate::crypto::LEGACY_KEY_ID, iv, None, content) {
        assert!(plain.len() < content.len());
    }
    let mut blob = keyring.seal_blob(Uuid::nil(), data);
    assert!(keyring.open_blob(Uuid::nil(), &blob).is_ok_and(|plain| plain == data));
    let at = data.first().map_or(0, |byte| usize::from(*byte)) % blob.len();
    blob[at] ^= 1;
    assert!(keyring.open_blob(Uuid::nil(), &blob).is_err(), "byte {at} is not authenticated");
}

/// A publication: the payload is what follows the header, and only what we wrote counts as authenticated.
pub fn fuzz_publication(data: &[u8]) {
    let Some(keyring) = KEYRING.as_ref() else { return };
    let strict = Wire::new(keyring.clone(), WireFormat::Two);
    assert!(strict.open_publication("channel", data).is_err(), "a forged publication was read");
    let Ok((header, offset)) = Wire::new(keyring.clone(), WireFormat::Both).open_publication("channel", data) else {
        return;
    };
    let Some(payload) = data.get(offset..) else { panic!("the payload begins after the end") };
    let again = strict.publication("channel", &header, payload);
    let read = strict.open_publication("channel", &again);
    assert!(read.is_ok_and(|(read, offset)| read == header && again[offset..] == *payload));
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::commands::NAMES;

    /// JSON with the fields that commands have, of wrong and right types.
    fn command() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            "\\PC{0,20}".prop_map(|text| serde_json::Value::from(text).to_string()),
            Just("\"conv_1_2\"".to_owned()),
            Just("\"group_018f0000-0000-7000-8000-000000000001\"".to_owned()),
            Just("\"msg_018f0000-0000-7000-8000-000000000001\"".to_owned()),
            Just("{\"conv_1_2\":3}".to_owned()),
            Just("[2,\"3\"]".to_owned()),
            Just("true".to_owned()),
            Just("null".to_owned()),
        ];
        let name = prop::sample::select(vec![
            "recipientId",
            "userId",
            "groupId",
            "messageId",
            "conversationId",
            "conversations",
            "content",
            "newContent",
            "reaction",
            "limit",
            "offset",
            "beforeSeq",
            "isTyping",
            "requestId",
            "groupName",
            "initialMembers",
            "clientMessageId",
            "deleteForEveryone",
            "communityId",
            "replyToMessageId",
        ]);
        (prop::sample::select(NAMES), vec((name, value), 0..8)).prop_map(|(kind, fields)| {
            let fields: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            format!("{{\"type\":\"{kind}\"{fields}}}")
        })
    }

    #[test]
    fn the_seeds_pass() {
        type Entry = fn(&[u8]);
        let entries: [(&str, Entry); 5] = [
            ("tokens", fuzz_token),
            ("commands", fuzz_command),
            ("entries", fuzz_entry),
            ("sealed", fuzz_sealed),
            ("publications", fuzz_publication),
        ];
        for (target, entry) in entries {
            let folder = format!("{}/../testing/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
            let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
            assert!(seeds.len() >= 2 || target == "entries", "{target}");
            seeds.iter().for_each(|seed| entry(&std::fs::read(seed).unwrap()));
        }
    }

    proptest! {
        #[test]
        fn commands_survive(text in command(), garbage in "\\PC{0,100}") {
            fuzz_command(text.as_bytes());
            fuzz_command(garbage.as_bytes());
        }

        #[test]
        fn tokens_break_nothing(
            header in prop_oneof![Just(r#"{"alg":"HS256","typ":"JWT"}"#.to_owned()), r#"\{"alg":"[HSRnoe0-9]{1,6}","[a-z]{1,4}":[0-9a-z"]{1,4}\}"#],
            id in any::<i64>(),
            exp in NOW_UNIX - 10..NOW_UNIX + 10,
            garbage in "\\PC{0,60}",
        ) {
            fuzz_token(format!("{header}\n{{\"sub\":\"{id}\",\"jti\":\"j\",\"exp\":{exp}}}").as_bytes());
            fuzz_token(format!("{header}\n{garbage}").as_bytes());
            fuzz_token(garbage.as_bytes());
        }

        #[test]
        fn garbage_breaks_nothing(mut data in vec(any::<u8>(), 0..300)) {
            fuzz_sealed(&data);
            fuzz_entry(&data);
            fuzz_publication(&data);
            // After the version byte.
            if let Some(first) = data.first_mut() {
                *first = 1;
            }
            fuzz_sealed(&data);
            fuzz_entry(&data);
            fuzz_publication(&data);
        }

        #[test]
        fn a_changed_entry_breaks_nothing(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in 0..400usize) {
            let id = Uuid::from_u128(7);
            let body = Body::Internal(stream::Internal::Authenticate { token_id: crate::ids::TokenId("t".repeat(50)) });
            let (gateway, connection) = (crate::ids::GatewayId(id), crate::ids::ConnectionId(0));
            let reply_to = crate::ids::ConnectionRef { gateway, connection };
            let time = crate::clock::Timestamp(9);
            let envelope = stream::Envelope::new(id, &body, UserId(3), reply_to, time, time);
            let keyring = KEYRING.as_ref().unwrap();
            let wire = Wire::new(keyring.clone(), WireFormat::Two);
            let mut entry = wire.entry("stream", &envelope, &body);
            let at = at.index(entry.len());
            entry[at] ^= byte.max(1);
            fuzz_entry(&entry);
            entry.truncate(cut);
            fuzz_entry(&entry);
            let header = crate::publication::Header::Internal { command: id };
            for format in [WireFormat::One, WireFormat::Two] {
                let wire = Wire::new(keyring.clone(), format);
                let mut published = wire.publication("channel", &header, b"payload");
                let at = at % published.len();
                published[at] ^= byte.max(1);
                fuzz_publication(&published);
            }
        }
    }
}
