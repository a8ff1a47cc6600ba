//! A client's side of RFC 6455, as far as this server needs it: it does not fragment messages or keep compression
//! contexts.

use std::cell::RefCell;

use anyhow::{Result, bail};
use flate2::{Decompress, FlushDecompress};

/// Several times a page of 200 long messages.
const MAX_FRAME_BYTES: usize = 16 << 20;
/// The buffer that an idle connection may keep.
const KEPT_BYTES: usize = 4 * 1024;
const FIN_TEXT: u8 = 0x81;
const FIN_PONG: u8 = 0x8a;
const FIN_CLOSE: u8 = 0x88;
const COMPRESSED: u8 = 0x40;

#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Close(Option<u16>),
    /// A pong or another control frame.
    Other,
}

/// Received bytes that are not yet parsed.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    at: usize,
    /// Messages pass as [`Frame::Other`], without being inflated.
    pub skips_texts: bool,
}

thread_local! {
    static INFLATER: RefCell<(Decompress, Vec<u8>)> = RefCell::new((Decompress::new(false), Vec::new()));
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Passes the next complete frame to `f`; returns `None` if there is none.
    pub fn next<R>(&mut self, f: impl FnOnce(Frame<'_>) -> R) -> Result<Option<R>> {
        let Some((first, start, end)) = header(self.buffer.get(self.at..).unwrap_or_default())? else {
            self.tidy();
            return Ok(None);
        };
        let payload = &self.buffer[self.at + start..self.at + end];
        let result = match first {
            _ if self.skips_texts && first & !COMPRESSED == FIN_TEXT => f(Frame::Other),
            FIN_TEXT => f(Frame::Text(payload)),
            _ if first == FIN_TEXT | COMPRESSED => inflated(payload, |text| f(Frame::Text(text)))?,
            0x89 => f(Frame::Ping(payload)),
            FIN_CLOSE => f(Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code)))),
            FIN_PONG => f(Frame::Other),
            _ => bail!("a frame that this server does not send: {first:#04x}"),
        };
        self.at += end;
        Ok(Some(result))
    }

    fn tidy(&mut self) {
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// Returns the first byte, and the start and end of the payload; `None` if the frame is incomplete.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let (start, length) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
        length if length < 126 => (2, usize::from(length)),
        _ => bail!("the server masked a frame"),
    };
    if length > MAX_FRAME_BYTES {
        bail!("a frame of {length} bytes");
    }
    Ok((bytes.len() >= start + length).then_some((first, start, start + length)))
}

fn inflated<R>(payload: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    INFLATER.with_borrow_mut(|(inflater, text)| {
        inflater.reset(false);
        text.clear();
        for part in [payload, &[0, 0, 0xff, 0xff]] {
            let end = inflater.total_in() as usize + part.len();
            let begin = inflater.total_in() as usize;
            while (inflater.total_in() as usize) < end {
                text.reserve(text.len().max(4 * 1024));
                let rest = &part[inflater.total_in() as usize - begin..];
                inflater.decompress_vec(rest, text, FlushDecompress::Sync)?;
                if text.len() > MAX_FRAME_BYTES {
                    bail!("a message of more than {MAX_FRAME_BYTES} bytes");
                }
            }
        }
        Ok(f(text))
    })
}

/// Appends a text frame. The masking key is zero, which is valid and saves the client the work.
pub fn write_text(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, FIN_TEXT, payload);
}

pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, FIN_PONG, payload);
}

pub fn write_close(out: &mut Vec<u8>) {
    write(out, FIN_CLOSE, &1000u16.to_be_bytes());
}

fn write(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    const MASKED: u8 = 0x80;
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn texts(bytes: &[u8], step: usize) -> Vec<String> {
        let mut frames = Frames::default();
        let mut texts = Vec::new();
        for piece in bytes.chunks(step) {
            frames.push(piece);
            let text = |frame: Frame<'_>| match frame {
                Frame::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                other => format!("{other:?}"),
            };
            while let Some(text) = frames.next(text).unwrap() {
                texts.push(text);
            }
        }
        assert!(frames.buffer.is_empty());
        texts
    }

    #[test]
    fn messages_that_nobody_reads_are_not_inflated() {
        let mut frames = Frames { skips_texts: true, ..Frames::default() };
        // The second is said to be compressed, and is not.
        frames.push(&[0x81, 2, b'h', b'i', 0xc1, 2, 0xff, 0xff, 0x89, 1, b'p']);
        let mut seen = Vec::new();
        while let Some(frame) = frames.next(|frame| format!("{frame:?}")).unwrap() {
            seen.push(frame);
        }
        assert_eq!(seen, ["Other", "Other", "Ping([112])"]);
    }

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        let long = "x".repeat(300);
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 1, b'p', 0x81, 126, 1, 44];
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(&[0x88, 2, 0x03, 0xf4]);
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(texts(&bytes, step), ["hi", "Ping([112])", long.as_str(), "Close(Some(1012))"], "{step}");
        }
    }

    #[test]
    fn compressed_frames_are_undone() {
        for length in [1, 600, 100_000] {
            let text: String = (0..length).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
            let mut payload = Vec::with_capacity(2 * length + 100);
            let mut compress = Compress::new(Compression::fast(), false);
            compress.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
            payload.truncate(payload.len() - 4);
            let mut bytes = vec![0xc1, 127];
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&payload);
            assert_eq!(texts(&[bytes.clone(), bytes].concat(), 5000), [text.clone(), text]);
        }
    }

    #[test]
    fn what_the_server_never_sends_is_an_error() {
        for bytes in [&[0x01, 0][..], &[0x82, 0], &[0x81, 0x80, 0, 0, 0, 0]] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert!(frames.next(|_| ()).is_err(), "{bytes:?}");
        }
    }
}
