//! Inbound frames to messages: the state of one connection, and the rules about the order of frames, sizes and content.
//!
//! A message that lies entirely in the caller's read buffer is unmasked there and returned as a slice of it. Only what
//! the read buffer cuts off, or the client fragments, is copied into the connection's own buffer, which is released as
//! soon as the message is complete. A connection between messages therefore owns nothing but the [`Decoder`] itself.

use std::mem;
use std::ops::Range;

use crate::ProtocolError;
use crate::header::{Header, MAX_HEADER_BYTES, Opcode};
use crate::inflate::Lease;
use crate::mask::unmask;

/// What a client sent. Text is valid UTF-8; compression and fragmentation are undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The last message of a connection; whatever follows is ignored.
    Close(Option<(u16, &'a str)>),
}

/// The inbound half of one connection.
#[derive(Debug)]
pub struct Decoder {
    /// The payload so far of the current message, unmasked but still compressed, followed by that of a partly received
    /// control frame. No allocation while nothing is pending.
    buffer: Vec<u8>,
    state: State,
    /// Set from a message's first frame to its last.
    message: Option<MessageStart>,
    deflate: bool,
    limit_bytes: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between frames, or `have` bytes into a header.
    Header {
        bytes: [u8; MAX_HEADER_BYTES],
        have: u8,
    },
    Payload(Frame),
    /// After a close frame or an error.
    Ended,
}

const BETWEEN_FRAMES: State = State::Header { bytes: [0; MAX_HEADER_BYTES], have: 0 };

/// A frame whose header has been read.
#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    mask: [u8; 4],
    length: u32,
    received: u32,
}

#[derive(Debug, Clone, Copy)]
struct MessageStart {
    opcode: Opcode,
    compressed: bool,
}

/// A message or control frame that is complete but not yet checked.
struct Complete {
    opcode: Opcode,
    compressed: bool,
    /// Where in the input it is; otherwise it is in [`Feed::taken`].
    input: Option<Range<usize>>,
}

impl Decoder {
    /// `limit_bytes` bounds a message over all its frames, compressed and decompressed; `deflate` is true if
    /// permessage-deflate was negotiated.
    #[must_use]
    pub fn new(limit_bytes: u32, deflate: bool) -> Self {
        Self { buffer: Vec::new(), state: BETWEEN_FRAMES, message: None, deflate, limit_bytes }
    }

    /// Sets the bound for the next messages. The current message may have exceeded a smaller one already.
    pub fn set_limit(&mut self, limit_bytes: u32) {
        self.limit_bytes = limit_bytes;
    }

    /// Accepts the bytes just read from the socket, all of which count as consumed. Call [`Feed::next_message`] until
    /// it returns `None`, or messages are lost.
    pub fn feed<'a>(&'a mut self, input: &'a mut [u8]) -> Feed<'a> {
        Feed { decoder: self, input, at: 0, taken: Vec::new(), lease: Lease::default() }
    }

    /// The memory held for an incomplete message; 0 for an idle connection.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// True if a close frame or an error has ended the stream; further input is ignored.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.message = None;
        self.buffer = Vec::new();
    }

    /// Checks a header against what came before it.
    fn begin(&mut self, header: Header) -> Result<Frame, ProtocolError> {
        if !header.opcode.is_control() {
            let message = match (header.opcode, self.message) {
                (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
                (Opcode::Continuation, Some(_)) if header.rsv1 => {
                    return Err(ProtocolError::ReservedBits);
                }
                (Opcode::Continuation, Some(message)) => message,
                (_, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
                (_, None) if header.rsv1 && !self.deflate => {
                    return Err(ProtocolError::ReservedBits);
                }
                (opcode, None) => MessageStart { opcode, compressed: header.rsv1 },
            };
            let left = self.wire_limit(message).saturating_sub(self.buffer.len() as u64);
            if header.length > left {
                return Err(ProtocolError::TooLarge);
            }
            self.message = Some(message);
        }
        Ok(Frame {
            opcode: header.opcode,
            fin: header.fin,
            mask: header.mask,
            // Checked above; a control frame's is at most 125.
            length: header.length as u32,
            received: 0,
        })
    }

    /// How long a message's payload may be on the wire. Incompressible data grows a little when compressed, most with a
    /// small window; the exact limit applies to the decompressed payload.
    fn wire_limit(&self, message: MessageStart) -> u64 {
        let limit = u64::from(self.limit_bytes);
        let slack = if message.compressed { limit / 8 + 64 } else { 0 };
        (limit + slack).min(u64::from(u32::MAX))
    }

    /// Keeps a part of a frame of which `wanted` bytes, including this part, were outstanding. Capacity doubles, so
    /// that many fragments take only linear time, but it never grows because of an announced length alone, nor beyond
    /// what may still arrive.
    fn keep(&mut self, part: &[u8], frame: &Frame, wanted: u32) {
        let length = self.buffer.len();
        if part.len() > self.buffer.capacity() - length {
            let may_come = match self.message {
                Some(message) if !frame.fin => self.wire_limit(message).saturating_sub(length as u64) as usize,
                _ => wanted as usize,
            };
            self.buffer.reserve_exact(length.min(may_come).max(part.len()));
        }
        self.buffer.extend_from_slice(part);
    }
}

/// One read's worth of input on its way through a [`Decoder`].
#[derive(Debug)]
pub struct Feed<'a> {
    decoder: &'a mut Decoder,
    input: &'a mut [u8],
    at: usize,
    /// The last message, if it was not entirely in the input.
    taken: Vec<u8>,
    lease: Lease,
}

impl Feed<'_> {
    /// The next complete message, or `None` if the input is used up.
    ///
    /// # Errors
    /// When the client breaks the protocol or exceeds the limit. After that, this returns `None`.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, ProtocolError> {
        let complete = match self.advance() {
            Ok(Some(complete)) => complete,
            Ok(None) => return Ok(None),
            Err(error) => {
                self.decoder.end();
                return Err(error);
            }
        };
        let payload = match complete.input {
            Some(range) => &self.input[range],
            None => &self.taken,
        };
        let limit_bytes = self.decoder.limit_bytes as usize;
        let message = match complete.opcode {
            Opcode::Ping => Ok(Message::Ping(payload)),
            Opcode::Pong => Ok(Message::Pong(payload)),
            Opcode::Close => read_close(payload),
            opcode if complete.compressed => {
                let inflated = self.lease.inflater().inflate(payload, limit_bytes);
                inflated.and_then(|payload| read_data(opcode, payload))
            }
            opcode => read_data(opcode, payload),
        };
        if matches!(message, Err(_) | Ok(Message::Close(_))) {
            self.decoder.end();
        }
        message.map(Some)
    }

    fn advance(&mut self) -> Result<Option<Complete>, ProtocolError> {
        loop {
            let frame = match self.decoder.state {
                State::Ended => return Ok(None),
                State::Payload(frame) => frame,
                State::Header { .. } => match self.read_header()? {
                    Some(header) => self.decoder.begin(header)?,
                    None => return Ok(None),
                },
            };
            if let Some(complete) = self.read_payload(frame) {
                return Ok(Some(complete));
            }
            if let State::Payload(_) = self.decoder.state {
                return Ok(None);
            }
        }
    }

    /// Reads a header from the input, or from the end of the last input and the start of this one.
    fn read_header(&mut self) -> Result<Option<Header>, ProtocolError> {
        let State::Header { bytes, have } = &mut self.decoder.state else {
            return Ok(None);
        };
        if *have == 0
            && let Some((header, header_bytes)) = Header::parse(&self.input[self.at..])?
        {
            self.at += header_bytes;
            return Ok(Some(header));
        }
        // A header that arrives in pieces is rare, so this may be slow.
        while let Some(byte) = self.input.get(self.at) {
            bytes[usize::from(*have)] = *byte;
            *have += 1;
            self.at += 1;
            if let Some((header, _)) = Header::parse(&bytes[..usize::from(*have)])? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Reads as much of the frame's payload as has arrived. Afterwards the state is `Payload` if that was not all.
    fn read_payload(&mut self, mut frame: Frame) -> Option<Complete> {
        let decoder = &mut *self.decoder;
        let wanted = frame.length - frame.received;
        let part_bytes = (self.input.len() - self.at).min(wanted as usize);
        let range = self.at..self.at + part_bytes;
        self.at = range.end;
        let part = &mut self.input[range.clone()];
        unmask(part, frame.mask, frame.received as usize);

        let is_control = frame.opcode.is_control();
        let ends_here = part_bytes == wanted as usize;
        decoder.state = BETWEEN_FRAMES;
        let whole_in_input = frame.received == 0 && (is_control || decoder.buffer.is_empty());
        let input = if ends_here && frame.fin && whole_in_input {
            Some(range)
        } else {
            decoder.keep(part, &frame, wanted);
            if !ends_here {
                frame.received += part_bytes as u32;
                decoder.state = State::Payload(frame);
            }
            if !ends_here || !frame.fin {
                return None;
            }
            // A control frame comes after the fragments of the message that it interrupts.
            let fragment_bytes = decoder.buffer.len() - frame.length as usize;
            self.taken = if is_control && fragment_bytes > 0 {
                decoder.buffer.split_off(fragment_bytes)
            } else {
                mem::take(&mut decoder.buffer)
            };
            None
        };
        let (opcode, compressed) = match decoder.message {
            Some(message) if !is_control => {
                decoder.message = None;
                (message.opcode, message.compressed)
            }
            _ => (frame.opcode, false),
        };
        Some(Complete { opcode, compressed, input })
    }
}

fn read_data(opcode: Opcode, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    match opcode {
        Opcode::Text => read_text(payload).map(Message::Text),
        _ => Ok(Message::Binary(payload)),
    }
}

fn read_text(payload: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)
}

fn read_close(payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(Message::Close(None)),
            _ => Err(ProtocolError::InvalidClosePayload),
        };
    };
    let code = u16::from_be_bytes(*code);
    match code {
        // RFC 6455 and the registry; 1004 to 1006 and 1015 are never sent.
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Message::Close(Some((code, read_text(reason)?)))),
        _ => Err(ProtocolError::InvalidCloseCode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_costs_a_few_dozen_bytes() {
        assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
        assert_eq!(Decoder::new(1 << 20, true).buffered_bytes(), 0);
    }
}
