//! The upgrade: checks the request's headers and determines the answer's. The caller decides which paths upgrade, and
//! handles the HTTP around it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The only version; a refusal with 426 must name it in `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const DEFLATE_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";

/// The headers of the answer with status 101, in addition to `Connection: Upgrade` and `Upgrade: websocket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// `Sec-WebSocket-Accept`.
    pub accept_key: String,
    /// `Sec-WebSocket-Extensions`; omit the header if there is none.
    pub extensions: Option<&'static str>,
}

impl Accept {
    /// True if messages may be compressed, in both directions.
    #[must_use]
    pub fn deflate(&self) -> bool {
        self.extensions.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("not a WebSocket upgrade")]
    NotAnUpgrade,
    #[error("unsupported WebSocket version")]
    UnsupportedVersion,
    #[error("missing or invalid Sec-WebSocket-Key")]
    InvalidKey,
}

impl HandshakeError {
    /// The HTTP status. An answer with 426 carries `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotAnUpgrade | Self::UnsupportedVersion => 426,
            Self::InvalidKey => 400,
        }
    }
}

/// Checks the headers of a GET request. `header` returns all values of a header by its lower-case name, in their order.
///
/// # Errors
/// When the request is not a valid upgrade. An unacceptable extension is not an error: it is left out.
pub fn negotiate<'a, I>(header: impl Fn(&'static str) -> I) -> Result<Accept, HandshakeError>
where
    I: Iterator<Item = &'a [u8]>,
{
    if !has_token(header("upgrade"), b"websocket") || !has_token(header("connection"), b"upgrade") {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if only(header("sec-websocket-version")) != Some(VERSION.as_bytes()) {
        return Err(HandshakeError::UnsupportedVersion);
    }
    let key = only(header("sec-websocket-key")).filter(|key| is_key(key)).ok_or(HandshakeError::InvalidKey)?;
    let extensions = header("sec-websocket-extensions")
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| split_unquoted(value, ','))
        .find_map(accept_offer);
    Ok(Accept { accept_key: accept_key(key), extensions })
}

fn has_token<'a>(values: impl Iterator<Item = &'a [u8]>, token: &[u8]) -> bool {
    values.flat_map(|value| value.split(|byte| *byte == b',')).any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let value = values.next()?;
    values.next().is_none().then_some(value.trim_ascii())
}

fn is_key(key: &[u8]) -> bool {
    // One more byte, because the decoder estimates the room it needs.
    let mut decoded = [0; KEY_BYTES + 2];
    key.len() == 24 && STANDARD.decode_slice(key, &mut decoded) == Ok(KEY_BYTES)
}

fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize())
}

/// The answer to one offered extension, if it can be accepted (RFC 7692, section 7.1). We always compress and
/// decompress with a 15-bit window, which can read what a client wrote with a smaller one, so `client_max_window_bits`
/// needs no answer.
fn accept_offer(offer: &str) -> Option<&'static str> {
    let mut pieces = split_unquoted(offer, ';');
    if !pieces.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut answer = DEFLATE;
    for parameter in pieces {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
            None => (parameter, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(value)) if window_bits(value).is_some() => {}
            // Our compressor cannot fulfil a demand for fewer bits.
            ("server_max_window_bits", Some(value)) if window_bits(value) == Some(15) => answer = DEFLATE_WITH_WINDOW,
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        // There are four names, so this stays short.
        seen.push(name);
    }
    Some(answer)
}

fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok()?;
    // No sign, no leading zero.
    ((8..=15).contains(&bits) && value.starts_with(['1', '8', '9'])).then_some(bits)
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// Splits at a separator, except within double quotes, and trims the pieces.
fn split_unquoted(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    value
        .split(move |character| {
            quoted ^= character == '"';
            !quoted && character == separator
        })
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const UPGRADE: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn negotiate_list(headers: &[(&str, &str)]) -> Result<Accept, HandshakeError> {
        negotiate(|name| headers.iter().filter(move |header| header.0 == name).map(|header| header.1.as_bytes()))
    }

    /// The upgrade with one header replaced or omitted.
    fn negotiate_with(name: &str, value: Option<&str>) -> Result<Accept, HandshakeError> {
        let mut headers: Vec<_> = UPGRADE.into_iter().filter(|header| header.0 != name).collect();
        headers.extend(value.map(|value| (name, value)));
        negotiate_list(&headers)
    }

    fn extensions(offers: &str) -> Option<&'static str> {
        negotiate_with("sec-websocket-extensions", Some(offers)).unwrap().extensions
    }

    #[test]
    fn the_example_of_rfc_6455() {
        let accept = negotiate_list(&UPGRADE).unwrap();
        assert_eq!(accept, Accept { accept_key: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(), extensions: None });
        assert!(!accept.deflate());
    }

    #[test]
    fn tokens_in_any_case_and_in_lists() {
        assert!(negotiate_with("upgrade", Some("WebSocket")).is_ok());
        assert!(negotiate_with("upgrade", Some("h2c, websocket")).is_ok());
        assert!(negotiate_with("connection", Some("keep-alive, upgrade")).is_ok());
        let twice = [&UPGRADE[..], &[("connection", "keep-alive")]].concat();
        assert!(negotiate_list(&twice).is_ok());
    }

    #[test]
    fn an_invalid_upgrade_gets_426() {
        for (name, value) in
            [("upgrade", None), ("upgrade", Some("websockets")), ("connection", None), ("connection", Some("close"))]
        {
            let error = negotiate_with(name, value).unwrap_err();
            assert_eq!((error, error.status()), (HandshakeError::NotAnUpgrade, 426));
        }
        for version in [None, Some("8"), Some("13, 8"), Some("013"), Some("")] {
            let error = negotiate_with("sec-websocket-version", version).unwrap_err();
            assert_eq!((error, error.status()), (HandshakeError::UnsupportedVersion, 426));
        }
    }

    #[test]
    fn a_bad_key_gets_400() {
        for key in [
            None,
            Some(""),
            Some("dGhlIHNhbXBsZSBub25jZQ"),
            Some("dGhlIHNhbXBsZSBub25jZQ=!"),
            // 15 and 17 bytes.
            Some("dGhlIHNhbXBsZSBub25j"),
            Some("dGhlIHNhbXBsZSBub25jZWU="),
            Some("dGhlIHNhbXBsZSBub25jZWVl"),
        ] {
            let error = negotiate_with("sec-websocket-key", key).unwrap_err();
            assert_eq!((error, error.status()), (HandshakeError::InvalidKey, 400), "{key:?}");
        }
        let twice = [&UPGRADE[..], &UPGRADE[3..]].concat();
        assert_eq!(negotiate_list(&twice), Err(HandshakeError::InvalidKey));
    }

    #[test]
    fn acceptable_offers() {
        for offer in [
            "permessage-deflate",
            "Permessage-Deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"12\"",
            "permessage-deflate;server_no_context_takeover;client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "x; a=\", permessage-deflate; nonsense\", permessage-deflate",
        ] {
            assert_eq!(extensions(offer), Some(DEFLATE), "{offer}");
        }
        assert_eq!(extensions("permessage-deflate; server_max_window_bits=15"), Some(DEFLATE_WITH_WINDOW));
    }

    #[test]
    fn the_first_acceptable_offer_is_answered() {
        let offers = "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15, \
                      permessage-deflate";
        assert_eq!(extensions(offers), Some(DEFLATE_WITH_WINDOW));
        let headers = [
            &UPGRADE[..],
            &[("sec-websocket-extensions", "permessage-deflate; unknown")],
            &[("sec-websocket-extensions", "permessage-deflate")],
        ]
        .concat();
        assert_eq!(negotiate_list(&headers).unwrap().extensions, Some(DEFLATE));
    }

    #[test]
    fn offers_declined_without_refusing_the_connection() {
        for offer in [
            "",
            ",;=\"",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=+15",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"12",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(extensions(offer), None, "{offer}");
        }
    }
}
