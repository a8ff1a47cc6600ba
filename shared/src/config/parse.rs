//! From text to values: the parsers that declarations of settings are made of. They do not know any setting by name.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use super::net::{AllowedOrigins, IpNet, TrustedProxies, parse_origin};
use crate::dialects::Dialect;
use crate::redis::tls;
use crate::secret::Secret;
use crate::webhooks::{self, WebhookEvent, WebhookSecret};

/// Longest list accepted.
const MAX_LIST_ENTRIES: usize = 1_000;

/// Turns a text into a value.
pub struct Parser<T> {
    /// A description of the possible values, for people: part of the error message and of the reference.
    pub kind: String,
    /// The value is secret: it is never quoted, and may come from a file.
    pub secret: bool,
    /// Production rejects weak values.
    pub strong: bool,
    /// White space around the value belongs to it.
    pub verbatim: bool,
    parse: Box<ParseFn<T>>,
}

type ParseFn<T> = dyn Fn(&str) -> Result<T, String>;

impl<T: 'static> Parser<T> {
    fn new(kind: impl Into<String>, parse: impl Fn(&str) -> Result<T, String> + 'static) -> Self {
        Self { kind: kind.into(), secret: false, strong: false, verbatim: false, parse: Box::new(parse) }
    }

    fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    fn verbatim(self) -> Self {
        Self { verbatim: true, ..self }
    }

    /// Rejects short and well-known values in production.
    pub fn strong(self) -> Self {
        Self { strong: true, ..self }
    }

    /// # Errors
    /// With a text that says what is allowed, and quotes the value unless it is secret.
    pub fn parse(&self, text: &str) -> Result<T, String> {
        (self.parse)(text).map_err(|problem| match (problem.is_empty(), self.secret) {
            (false, _) => problem,
            (true, true) => format!("expected {}", self.kind),
            (true, false) => format!("expected {}, got \"{}\"", self.kind, shortened(text)),
        })
    }
}

/// The general "not one of these values"; [`Parser::parse`] makes the message.
fn not_of_kind<E>(_: E) -> String {
    String::new()
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

pub fn text(kind: &str, is_valid: impl Fn(&str) -> bool + 'static) -> Parser<String> {
    Parser::new(kind, move |text| if is_valid(text) { Ok(text.to_owned()) } else { Err(String::new()) }).verbatim()
}

pub fn dialect() -> Parser<Dialect> {
    let names: Vec<String> = Dialect::ALL.iter().map(|dialect| format!("`{}`", dialect.name())).collect();
    Parser::new(names.join(" or "), |text| Dialect::from_name(text).ok_or_else(String::new))
}

pub fn boolean() -> Parser<bool> {
    Parser::new("`true` or `false`", |text| match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(String::new()),
    })
}

pub fn integer<T>(min: T, max: T) -> Parser<T>
where
    T: FromStr + PartialOrd + Display + Copy + 'static,
{
    Parser::new(format!("integer, {min} to {max}"), move |text| {
        let value: T = text.parse().map_err(not_of_kind)?;
        if (min..=max).contains(&value) { Ok(value) } else { Err(String::new()) }
    })
}

/// How far the clock may be shifted.
pub fn clock_offset() -> Parser<i64> {
    const DAY_MS: i64 = 86_400_000;
    Parser::new("milliseconds, at most a day either way", |text| {
        let offset: i64 = text.parse().map_err(not_of_kind)?;
        if (-DAY_MS..=DAY_MS).contains(&offset) { Ok(offset) } else { Err(String::new()) }
    })
}

/// A duration; without a unit it is in milliseconds, as for the original server.
pub fn duration(min: &'static str, max: &'static str) -> Parser<Duration> {
    let range = (parse_duration(min).unwrap_or_default(), parse_duration(max).unwrap_or(Duration::MAX));
    Parser::new(format!("duration, {min} to {max}"), move |text| {
        let value = parse_duration(text).ok_or_else(String::new)?;
        if (range.0..=range.1).contains(&value) { Ok(value) } else { Err(String::new()) }
    })
}

/// A number of bytes.
pub fn byte_size(min: &'static str, max: &'static str) -> Parser<usize> {
    let range = (parse_byte_size(min).unwrap_or_default(), parse_byte_size(max).unwrap_or(usize::MAX));
    Parser::new(format!("size, {min} to {max}"), move |text| {
        let value = parse_byte_size(text).ok_or_else(String::new)?;
        if (range.0..=range.1).contains(&value) { Ok(value) } else { Err(String::new()) }
    })
}

/// One of a few words.
pub fn choice<T: Copy + 'static>(choices: &'static [(&'static str, T)]) -> Parser<T> {
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
    Parser::new(words.join(", "), move |text| {
        choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(String::new)
    })
}

pub fn socket_address() -> Parser<SocketAddr> {
    Parser::new("address and port", |text| text.parse().map_err(not_of_kind))
}

pub fn secret(kind: &str) -> Parser<Secret> {
    Parser::new(kind, |text| Ok(Secret::new(text))).secret().verbatim()
}

/// A secret whose text has to satisfy `check`, which must not quote it.
pub fn checked_secret(kind: &str, check: impl Fn(&str) -> Result<(), String> + 'static) -> Parser<Secret> {
    Parser::new(kind, move |text| check(text).map(|()| Secret::new(text))).secret()
}

/// A URL that may contain a password.
pub fn url(schemes: &'static [&'static str]) -> Parser<Secret> {
    Parser::new(format!("URL with the scheme {}", schemes.join(", ")), move |text| match text.split_once("://") {
        Some((scheme, rest)) if schemes.contains(&scheme) && !rest.is_empty() => Ok(Secret::new(text)),
        _ => Err(String::new()),
    })
    .secret()
}

/// The URL of something to read, without a password in it.
pub fn web_address() -> Parser<String> {
    Parser::new("URL with the scheme https, http", |text| {
        let (scheme, rest) = text.split_once("://").ok_or_else(String::new)?;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '@' | '\\' | '"' | '<' | '>');
        match matches!(scheme, "https" | "http") && !host.is_empty() && text.chars().all(is_plain) {
            true => Ok(text.to_owned()),
            false => Err(String::new()),
        }
    })
}

/// The path of a file with certificates, which must be readable at the start.
pub fn authorities() -> Parser<String> {
    Parser::new("path of a PEM file with certificates", |path| tls::read_authorities(path).map(|_| path.to_owned()))
}

pub fn networks() -> Parser<Vec<IpNet>> {
    Parser::new("list of addresses and networks", |text| list(text, IpNet::from_str))
}

pub fn trusted_proxies() -> Parser<TrustedProxies> {
    Parser::new("list of addresses and networks", |text| list(text, IpNet::from_str).map(TrustedProxies))
}

pub fn webhook_url() -> Parser<String> {
    Parser::new("URL with the scheme https, http", |text| webhooks::check_url(text).map(|()| text.to_owned()))
}

pub fn webhook_events() -> Parser<Vec<WebhookEvent>> {
    Parser::new("list of events", webhooks::parse_events)
}

pub fn webhook_secrets() -> Parser<Secret> {
    checked_secret("one or two secrets in base64", |text| WebhookSecret::parse_pair(text).map(drop))
}

pub fn allowed_origins() -> Parser<AllowedOrigins> {
    Parser::new("`*` or a list of origins", |text| match text {
        "*" => Ok(AllowedOrigins::Any),
        _ => list(text, parse_origin).map(AllowedOrigins::List),
    })
}

pub fn origins() -> Parser<Vec<String>> {
    Parser::new("list of origins", |text| list(text, parse_origin))
}

pub fn log_filter() -> Parser<String> {
    Parser::new("filter such as `info` or `info,gateway=debug`", |text| {
        tracing_subscriber::EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(not_of_kind)
    })
}

/// A list separated by commas; white space around entries and empty entries are ignored.
fn list<T>(text: &str, entry: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if entries.len() > MAX_LIST_ENTRIES {
        return Err(format!("has more than {MAX_LIST_ENTRIES} entries"));
    }
    entries.into_iter().map(entry).collect()
}

/// Splits digits from what follows them.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let unit_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

pub(super) fn parse_byte_size(text: &str) -> Option<usize> {
    let (number, unit) = number_and_unit(text)?;
    let unit_bytes = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit_bytes).and_then(|bytes| usize::try_from(bytes).ok())
}
