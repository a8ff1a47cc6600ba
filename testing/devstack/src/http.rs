//! A minimal HTTP/1.0 GET, enough to ask `/ready` and to read `/metrics`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RESPONSE_BYTES: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// GET `http://127.0.0.1:PORT/path`. Fails if nobody listens or the answer is not HTTP.
pub fn get(url: &str) -> Result<Response> {
    let rest = url.strip_prefix("http://").with_context(|| format!("only http:// is understood: {url}"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = authority.parse().with_context(|| format!("address {authority}"))?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("connecting to {url}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut bytes).with_context(|| format!("reading {url}"))?;
    parse(&String::from_utf8_lossy(&bytes)).with_context(|| format!("answer of {url}"))
}

fn parse(text: &str) -> Result<Response> {
    let (head, body) = text.split_once("\r\n\r\n").context("no end of headers")?;
    let mut words = head.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|status| status.parse().ok())) {
        (Some(version), Some(status)) if version.starts_with("HTTP/1.") => {
            Ok(Response { status, body: body.to_owned() })
        }
        _ => bail!("not an HTTP answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_status_and_body() {
        let response = parse("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!(response, Response { status: 503, body: "no".into() });
        assert!(parse("SSH-2.0-x\r\n\r\n").is_err());
        assert!(parse("HTTP/1.0 200").is_err());
    }
}
