//! A WebSocket connection byte by byte, for tests of what the server does with broken input.
//!
//! Only what such tests need: the upgrade and reading one frame. Sending is the stream's own `write_all`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::Error;

const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_FRAME_BYTES: u64 = 16 * 1024 * 1024;

/// One frame as received: neither decoded nor reassembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// FIN, the three reserved bits and the opcode.
    pub first_byte: u8,
    pub payload: Vec<u8>,
}

impl RawFrame {
    pub fn opcode(&self) -> u8 {
        self.first_byte & 0x0f
    }

    /// The code of a close frame.
    pub fn close_code(&self) -> Option<u16> {
        match (self.opcode(), self.payload.as_slice()) {
            (8, [high, low, ..]) => Some(u16::from_be_bytes([*high, *low])),
            _ => None,
        }
    }
}

/// Reads one frame; `None` at the end of the stream, however it ended.
pub async fn read_frame(stream: &mut TcpStream) -> Result<Option<RawFrame>, Error> {
    let mut head = [0; 2];
    if stream.read_exact(&mut head).await.is_err() {
        return Ok(None);
    }
    if head[1] & 0x80 != 0 {
        return Err(Error::Invalid("the server masked a frame".to_owned()));
    }
    let broken = |e: std::io::Error| Error::Invalid(format!("the stream ended within a frame: {e}"));
    let length = match head[1] {
        126 => u64::from(stream.read_u16().await.map_err(broken)?),
        127 => stream.read_u64().await.map_err(broken)?,
        short => u64::from(short),
    };
    if length > MAX_FRAME_BYTES {
        return Err(Error::Invalid(format!("a frame of {length} bytes")));
    }
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut payload).await.map_err(broken)?;
    Ok(Some(RawFrame { first_byte: head[0], payload }))
}

/// Reads until a close frame, and returns its code.
pub async fn read_close_code(stream: &mut TcpStream) -> Result<u16, Error> {
    while let Some(frame) = read_frame(stream).await? {
        if let Some(code) = frame.close_code() {
            return Ok(code);
        }
    }
    Err(Error::Invalid("the stream ended without a close code".to_owned()))
}

pub(crate) async fn upgrade(stream: &mut TcpStream, uri: &Uri, headers: &[(String, String)]) -> Result<(), Error> {
    if uri.scheme_str() == Some("wss") {
        return Err(Error::Invalid("a raw connection cannot be encrypted".to_owned()));
    }
    let failed = |reason: String| Error::Connect { url: uri.to_string(), reason };
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let host = uri.authority().map_or("", |a| a.as_str());
    let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|e| failed(e.to_string()))?;

    // Byte by byte, so that nothing of the first frame is consumed.
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD_BYTES {
            return Err(failed("the answer's head is too long".to_owned()));
        }
        head.push(stream.read_u8().await.map_err(|e| failed(e.to_string()))?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    match head.split(' ').nth(1).and_then(|status| status.parse().ok()) {
        Some(101) => Ok(()),
        Some(status) => Err(Error::Http { status, body: head }),
        None => Err(failed(format!("not an HTTP answer: {head}"))),
    }
}
