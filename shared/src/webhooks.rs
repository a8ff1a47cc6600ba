//! Webhooks as their receivers know them: the names of events, secrets, and signatures as
//! <https://www.standardwebhooks.com> defines them. The worker decides what is delivered when.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// How many endpoints there may be: each has its own connections, so that none waits for another.
pub const MAX_ENDPOINTS: usize = 16;
/// The endpoint that is configured with settings.
pub const SETTINGS_NAME: &str = "settings";

const PREFIX: &str = "whsec_";
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const MAX_URL_BYTES: usize = 2_000;

macro_rules! webhook_events {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What an endpoint can subscribe to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WebhookEvent {
            $($(#[$doc])* $name,)*
        }

        impl WebhookEvent {
            pub const ALL: &[WebhookEvent] = &[$(WebhookEvent::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(WebhookEvent::$name => $text,)*
                }
            }
        }
    };
}

webhook_events! {
    MessageCreated = "message.created";
    MessageEdited = "message.edited";
    MessageDeleted = "message.deleted";
    MessagePinned = "message.pinned";
    MessageUnpinned = "message.unpinned";
    ReactionAdded = "reaction.added";
    ReactionRemoved = "reaction.removed";
    GroupCreated = "group.created";
    GroupUpdated = "group.updated";
    GroupDeleted = "group.deleted";
    GroupOwnerChanged = "group.owner_changed";
    MemberAdded = "member.added";
    MemberRemoved = "member.removed";
    MemberLeft = "member.left";
    MemberPromoted = "member.promoted";
    MemberDemoted = "member.demoted";
    MemberMuted = "member.muted";
    MemberUnmuted = "member.unmuted";
    MemberBanned = "member.banned";
    MemberUnbanned = "member.unbanned";
    /// A user reported a message.
    MessageReported = "message.reported";
    /// A user is online again after `WEBHOOK_RETURNED_AFTER`.
    UserReturned = "user.returned";
    UserOnline = "user.online";
    UserOffline = "user.offline";
    /// A message for users who are not connected and have not muted the conversation.
    PushWanted = "push.wanted";
}

impl WebhookEvent {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.as_str() == name)
    }

    /// Each event's own bit in a mask.
    pub fn bit(self) -> u32 {
        1 << self as u32
    }

    /// True if `all` includes it. Presence is a separate stream, sent only if it is named.
    pub fn is_in_all(self) -> bool {
        !matches!(self, WebhookEvent::UserOnline | WebhookEvent::UserOffline)
    }
}

/// Reads a list of events, separated by commas; `all` stands for all except `user.online` and `user.offline`.
///
/// # Errors
/// With the first unknown name, or when there are none.
pub fn parse_events(text: &str) -> Result<Vec<WebhookEvent>, String> {
    let mut events = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let found = match name {
            "all" => WebhookEvent::ALL.iter().copied().filter(|event| event.is_in_all()).collect(),
            name => match WebhookEvent::from_name(name) {
                Some(event) => vec![event],
                None => return Err(format!("there is no event \"{name}\"")),
            },
        };
        events.extend(found.into_iter().filter(|event| !events.contains(event)).collect::<Vec<_>>());
    }
    if events.is_empty() { Err("names no event".to_owned()) } else { Ok(events) }
}

/// Checks an endpoint's URL as far as possible before it is resolved.
///
/// # Errors
/// With what is wrong.
pub fn check_url(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Err("is not a URL".to_owned()) };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '@' | '\\' | '"' | '<' | '>');
    match () {
        () if !matches!(scheme, "https" | "http") => Err("must begin with https:// or http://".to_owned()),
        () if host.is_empty() => Err("names no host".to_owned()),
        () if url.len() > MAX_URL_BYTES => Err(format!("is longer than {MAX_URL_BYTES} bytes")),
        () if !url.chars().all(is_plain) => Err("must have no user, password or fragment, and only ASCII".to_owned()),
        () => Ok(()),
    }
}

/// The secret that signs deliveries.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl WebhookSecret {
    pub fn generate() -> Self {
        WebhookSecret(Zeroizing::new(rand::random::<[u8; 32]>().to_vec()))
    }

    /// Reads base64 of 24 to 64 bytes, with or without the prefix `whsec_`.
    ///
    /// # Errors
    /// With what is wrong; the secret is not quoted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let encoded = text.trim();
        let encoded = encoded.strip_prefix(PREFIX).unwrap_or(encoded);
        let bytes = STANDARD.decode(encoded).map_err(|_| "is not base64".to_owned())?;
        match SECRET_BYTES.contains(&bytes.len()) {
            true => Ok(WebhookSecret(Zeroizing::new(bytes))),
            false => Err(format!("must be {} to {} bytes in base64", SECRET_BYTES.start(), SECRET_BYTES.end())),
        }
    }

    /// One secret, or two separated by a comma.
    ///
    /// # Errors
    /// Like [`Self::parse`].
    pub fn parse_pair(text: &str) -> Result<Vec<Self>, String> {
        let secrets: Vec<Self> = text.split(',').map(Self::parse).collect::<Result<_, _>>()?;
        if secrets.len() <= 2 { Ok(secrets) } else { Err("must be one secret, or two while they change".to_owned()) }
    }

    /// The text that receivers are given.
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&*self.0))
    }

    /// Signs a delivery's id, the time of the attempt in seconds since 1970, and the body.
    fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // HMAC accepts keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: a signature with each secret, separated by spaces.
pub fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example from https://github.com/standard-webhooks/standard-webhooks.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_while_they_change() {
        let secrets = [WebhookSecret::generate(), WebhookSecret::generate()];
        let text = format!("{},{}", secrets[0].to_text(), secrets[1].to_text());
        let read = WebhookSecret::parse_pair(&text).unwrap();
        let signed = signatures(&read, "id", 1, b"{}");
        assert_eq!(signed, signatures(&secrets, "id", 1, b"{}"));
        assert_eq!(signed.split(' ').count(), 2);
        assert!(WebhookSecret::parse_pair(&format!("{text},{text}")).is_err());
        assert!(WebhookSecret::parse("c2hvcnQ=").is_err(), "too short");
        assert_eq!(format!("{:?}", secrets[0]), "[redacted]");
    }

    #[test]
    fn all_events_leave_out_presence() {
        let all = parse_events("all").unwrap();
        assert!(all.contains(&WebhookEvent::PushWanted) && !all.contains(&WebhookEvent::UserOnline));
        let some = parse_events("user.online, all ,message.created").unwrap();
        assert_eq!(some.len(), all.len() + 1);
        assert!(parse_events("message.read").is_err() && parse_events(" , ").is_err());
        assert!(WebhookEvent::ALL.iter().all(|event| WebhookEvent::from_name(event.as_str()) == Some(*event)));
        assert!(WebhookEvent::ALL.len() <= 32, "a bit each");
    }

    #[test]
    fn a_url_holds_no_password() {
        for good in ["https://example.org/hooks?a=b", "http://[::1]:8080/"] {
            assert_eq!(check_url(good), Ok(()));
        }
        for bad in
            ["ftp://example.org", "https://", "https://u:p@example.org/", "example.org", "https://a/#b", "https://a/ä"]
        {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
