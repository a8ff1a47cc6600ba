//! The wire between our own processes: what is written in which format, what proves that it is ours, and what becomes of what this
//! build cannot read. Streams, publications, and what waits in a store come through here; their contents are defined in
//! [`crate::stream`] and [`crate::publication`].
//!
//! **Formats.** The first byte is the format.
//!
//! - Format 1 (release 0.1): an entry is the envelope in postcard and then the sealed body; a publication is the header in
//!   postcard and then the payload. Whoever can write to Redis can make either.
//! - Format 2: `format (1) ‖ key id (2) ‖ tag (16) ‖ rest`. The tag covers everything else and the name of the stream or channel.
//!   The rest of a publication is the header in postcard and the payload; that of an entry is
//!   `deadline (8) ‖ length of the envelope (2) ‖ envelope in postcard ‖ IV (16) ‖ encrypted body`. Fields can be appended to the
//!   envelope: a reader skips what it does not know.
//!
//! All later formats begin with format, key id and tag, and an entry's go on with the deadline, so that a build which is too old for
//! one can still tell it from a forgery, and knows how long it may be left for another worker.
//!
//! **Append only.** Postcard writes an enum's variant as its number and a struct as its fields in order: variants and commands are
//! added at the end of their lists, fields of structs are never added outside the envelope, and nothing is taken out or reordered.
//! `golden/` holds bytes of each variant, which every later version has to read as the same values.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
pub use crate::config::WireFormat;
use crate::crypto::{Keyring, Medium, OpenError, TAG_BYTES, TagError};
use crate::ids::{ConnectionRef, UserId};
use crate::protocol::RequestId;
use crate::publication::Header;
use crate::stream::{Body, Envelope};
use crate::telemetry::traces::TraceContext;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

const FORMAT_1: u8 = 1;
const FORMAT_2: u8 = 2;
/// Format, key id, tag.
const PREAMBLE_BYTES: usize = 1 + 2 + TAG_BYTES;
const DEADLINE_BYTES: usize = 8;
const LENGTH_BYTES: usize = 2;
/// Separates stored outcomes from everything else that is sealed under a command's id.
const OUTCOME: Uuid = Uuid::from_u128(0x7f0c_6f75_7463_6f6d_6500_0000_0000_0002);
/// The same for cached windows and the ids of conversations. The last digit is the windows' format: what another version of the program
/// keeps may lack what this one shows.
const WINDOW: Uuid = Uuid::from_u128(0x7f0c_7769_6e64_6f77_0000_0000_0000_0003);

/// Writes and reads what travels between our processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire {
    keyring: Keyring,
    format: WireFormat,
}

/// An entry that is not applied here.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the entry has the unknown format {0}")]
    Format(u8),
    #[error("the entry is cut short or malformed")]
    Malformed,
    #[error("the body cannot be opened")]
    Sealed,
    #[error("the entry is not authenticated: it has format 1, which WIRE_FORMAT does not allow")]
    Unverified,
    #[error("the entry is not ours: {0}")]
    Forged(#[from] TagError),
    /// It is ours, but of another version: a worker that knows it applies it before the deadline.
    #[error("the entry was written by another version of the program, which knows what this one does not")]
    TooNew { deadline: Timestamp },
}

/// A publication that is not delivered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the publication is malformed or of an unknown format")]
    Malformed,
    #[error("the publication is not authenticated: it has format 1, which WIRE_FORMAT does not allow")]
    Unverified,
    #[error("the publication is not ours: {0}")]
    Forged(#[from] TagError),
    /// It is ours, but of another version: whoever it is for has to ask for what it said.
    #[error("the publication was written by another version of the program, which knows what this one does not")]
    TooNew,
}

/// The envelope of format 1. Never changes.
type Envelope1 = (Uuid, String, UserId, ConnectionRef, Option<RequestId>, Timestamp, Timestamp, Option<String>, u8);

/// The envelope of format 2, without the deadline, which comes before it. Optional fields may be appended: readers skip what they
/// do not know, and take what is not there for absent. One follows so far, `Option<TraceContext>`, of commands that are traced.
#[derive(Serialize)]
struct Envelope2<'a> {
    id: Uuid,
    name: &'a str,
    user: UserId,
    reply_to: ConnectionRef,
    request_id: Option<&'a RequestId>,
    ingested_at: Timestamp,
    hops: u8,
}

#[derive(Deserialize)]
struct ReadEnvelope2 {
    id: Uuid,
    name: String,
    user: UserId,
    reply_to: ConnectionRef,
    request_id: Option<RequestId>,
    ingested_at: Timestamp,
    hops: u8,
}

impl Wire {
    pub fn new(keyring: Keyring, format: WireFormat) -> Self {
        Wire { keyring, format }
    }

    /// Whether what is written can be read by release 0.1.
    pub fn writes_format_1(&self) -> bool {
        self.format == WireFormat::One
    }

    /// An entry for this stream.
    pub fn entry(&self, stream: &str, envelope: &Envelope, body: &Body) -> Vec<u8> {
        // Serialising plain values into memory cannot fail.
        let body = postcard::to_stdvec(body).unwrap_or_default();
        match self.format {
            WireFormat::One => entry_1(envelope, &self.keyring.seal_blob(envelope.id, &body)),
            WireFormat::Both | WireFormat::Two => self.entry_2(stream, envelope, &body),
        }
    }

    fn entry_2(&self, stream: &str, envelope: &Envelope, body: &[u8]) -> Vec<u8> {
        let mut entry = self.begin(256 + body.len());
        entry.extend_from_slice(&envelope.deadline.0.to_be_bytes());
        let length_at = entry.len();
        entry.extend_from_slice(&[0; LENGTH_BYTES]);
        let written = Envelope2 {
            id: envelope.id,
            name: &envelope.name,
            user: envelope.user,
            reply_to: envelope.reply_to,
            request_id: envelope.request_id.as_ref(),
            ingested_at: envelope.ingested_at,
            hops: envelope.hops,
        };
        let mut entry = postcard::to_extend(&written, entry).unwrap_or_default();
        if envelope.trace.is_some() {
            entry = postcard::to_extend(&envelope.trace, entry).unwrap_or_default();
        }
        let start = length_at + LENGTH_BYTES;
        // Names and request ids are far shorter than 64 KiB.
        let length = u16::try_from(entry.len() - start).unwrap_or(u16::MAX);
        entry[length_at..start].copy_from_slice(&length.to_be_bytes());
        self.keyring.encrypt_onto(&mut entry, body);
        self.sign(Medium::Stream(stream), &mut entry);
        entry
    }

    /// Reads an entry of this stream.
    ///
    /// # Errors
    /// With what becomes of it: see [`DecodeError`].
    pub fn open_entry(&self, stream: &str, entry: &[u8]) -> Result<(Envelope, Body), DecodeError> {
        let (envelope, body) = match entry.first() {
            Some(&FORMAT_1) if self.format == WireFormat::Two => return Err(DecodeError::Unverified),
            Some(&FORMAT_1) => {
                let (envelope, sealed) = split_1(entry)?;
                let plain = self.keyring.open_blob(envelope.id, sealed).map_err(|_| DecodeError::Sealed)?;
                let body = postcard::from_bytes(&plain).map_err(|_| DecodeError::Malformed)?;
                (envelope, body)
            }
            Some(_) => self.open_entry_2(stream, entry)?,
            None => return Err(DecodeError::Malformed),
        };
        // The variant's number says what is done, the name what was meant.
        if envelope.name != body.name() {
            return Err(DecodeError::TooNew { deadline: envelope.deadline });
        }
        Ok((envelope, body))
    }

    fn open_entry_2(&self, stream: &str, entry: &[u8]) -> Result<(Envelope, Body), DecodeError> {
        let (key_id, rest) = self.verify(Medium::Stream(stream), entry)?.ok_or(DecodeError::Malformed)?;
        // From here on, what cannot be read was written by another version.
        let (deadline, _) = rest.split_first_chunk::<DEADLINE_BYTES>().ok_or(DecodeError::Malformed)?;
        let deadline = Timestamp(i64::from_be_bytes(*deadline));
        let too_new = DecodeError::TooNew { deadline };
        if entry[0] != FORMAT_2 {
            return Err(too_new);
        }
        let read = || {
            let (envelope, encrypted) = split_2(entry).ok()?;
            let body = self.keyring.decrypt_tagged(key_id, encrypted)?;
            Some((envelope, postcard::from_bytes(&body).ok()?))
        };
        read().ok_or(too_new)
    }

    /// A publication for this channel.
    pub fn publication(&self, channel: &str, header: &Header, payload: &[u8]) -> Vec<u8> {
        if self.format == WireFormat::One {
            return publication_1(header, payload);
        }
        // Serialising plain values into memory cannot fail.
        let mut bytes = postcard::to_extend(header, self.begin(128 + payload.len())).unwrap_or_default();
        bytes.extend_from_slice(payload);
        self.sign(Medium::Channel(channel), &mut bytes);
        bytes
    }

    /// Reads a publication on this channel: its header, and where the payload begins.
    ///
    /// # Errors
    /// With what becomes of it: see [`Unreadable`].
    pub fn open_publication(&self, channel: &str, bytes: &[u8]) -> Result<(Header, usize), Unreadable> {
        let (rest, error) = match bytes.split_first() {
            Some((&FORMAT_1, _)) if self.format == WireFormat::Two => return Err(Unreadable::Unverified),
            Some((&FORMAT_1, rest)) => (rest, Unreadable::Malformed),
            Some((&format, _)) => {
                let (_, rest) = self.verify(Medium::Channel(channel), bytes)?.ok_or(Unreadable::Malformed)?;
                if format != FORMAT_2 {
                    return Err(Unreadable::TooNew);
                }
                (rest, Unreadable::TooNew)
            }
            None => return Err(Unreadable::Malformed),
        };
        let (header, payload) = postcard::take_from_bytes::<Header>(rest).map_err(|_| error)?;
        Ok((header, bytes.len() - payload.len()))
    }

    /// Seals the outcome of a command for Postgres: opens only as this command's, and as nothing but an outcome.
    pub fn seal_outcome(&self, command: Uuid, outcome: &[u8]) -> Vec<u8> {
        match self.format {
            WireFormat::One => self.keyring.seal_blob(command, outcome),
            WireFormat::Both | WireFormat::Two => self.keyring.seal_blob(apart(command, OUTCOME), outcome),
        }
    }

    /// # Errors
    /// As [`Keyring::open_blob`].
    pub fn open_outcome(&self, command: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let opened = self.keyring.open_blob(apart(command, OUTCOME), sealed);
        match self.format {
            WireFormat::Two => opened,
            WireFormat::One | WireFormat::Both => opened.or_else(|_| self.keyring.open_blob(command, sealed)),
        }
    }

    /// Seals a cached part of a conversation. Of both formats, since whatever does not open is read from Postgres.
    pub fn seal_window(&self, conversation: Uuid, window: &[u8]) -> Vec<u8> {
        self.keyring.seal_blob(apart(conversation, WINDOW), window)
    }

    /// # Errors
    /// As [`Keyring::open_blob`].
    pub fn open_window(&self, conversation: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.keyring.open_blob(apart(conversation, WINDOW), sealed)
    }

    /// A publication as a later version may write it, for tests.
    #[cfg(any(test, feature = "fuzz"))]
    #[doc(hidden)]
    pub fn unknown_publication(&self, channel: &str) -> Vec<u8> {
        let mut bytes = self.begin(0);
        bytes[0] = u8::MAX;
        self.sign(Medium::Channel(channel), &mut bytes);
        bytes
    }

    /// The preamble, its tag still empty.
    fn begin(&self, capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(FORMAT_2);
        bytes.extend_from_slice(&self.keyring.newest_key_id().to_be_bytes());
        bytes.extend_from_slice(&[0; TAG_BYTES]);
        bytes
    }

    fn sign(&self, medium: Medium<'_>, bytes: &mut [u8]) {
        let Some((preamble, rest)) = bytes.split_at_mut_checked(PREAMBLE_BYTES) else { return };
        let (kept, empty) = preamble.split_at_mut(PREAMBLE_BYTES - TAG_BYTES);
        empty.copy_from_slice(&self.keyring.tag(medium, &[kept, rest]));
    }

    /// The key id, and what follows the preamble once its tag is found right; `None` when it is too short for one.
    fn verify<'a>(&self, medium: Medium<'_>, bytes: &'a [u8]) -> Result<Option<(i16, &'a [u8])>, TagError> {
        let Some((preamble, rest)) = bytes.split_first_chunk::<PREAMBLE_BYTES>() else { return Ok(None) };
        let [format, id_high, id_low, tag @ ..] = *preamble;
        let key_id = i16::from_be_bytes([id_high, id_low]);
        self.keyring.verify_tag(key_id, medium, &[&[format, id_high, id_low], rest], &tag)?;
        Ok(Some((key_id, rest)))
    }
}

/// Reads an entry's envelope to show it to a person: without a key, so that nothing says that it is true.
///
/// # Errors
/// When this build cannot read it.
pub fn peek_envelope(entry: &[u8]) -> Result<Envelope, DecodeError> {
    match entry.first() {
        Some(&FORMAT_1) => Ok(split_1(entry)?.0),
        Some(&FORMAT_2) => Ok(split_2(entry)?.0),
        Some(&format) => Err(DecodeError::Format(format)),
        None => Err(DecodeError::Malformed),
    }
}

fn entry_1(envelope: &Envelope, sealed_body: &[u8]) -> Vec<u8> {
    let Envelope { id, name, user, reply_to, request_id, ingested_at, deadline, hops, trace: _ } = envelope;
    let traceparent: Option<String> = None;
    let envelope = (id, name, user, reply_to, request_id, ingested_at, deadline, traceparent, hops);
    let mut entry = postcard::to_extend(&envelope, vec![FORMAT_1]).unwrap_or_default();
    entry.extend_from_slice(sealed_body);
    entry
}

fn split_1(entry: &[u8]) -> Result<(Envelope, &[u8]), DecodeError> {
    let rest = entry.get(1..).unwrap_or_default();
    let (envelope, sealed) = postcard::take_from_bytes::<Envelope1>(rest).map_err(|_| DecodeError::Malformed)?;
    let (id, name, user, reply_to, request_id, ingested_at, deadline, _, hops) = envelope;
    Ok((Envelope { id, name, user, reply_to, request_id, ingested_at, deadline, hops, trace: None }, sealed))
}

/// The envelope and the encrypted body.
fn split_2(entry: &[u8]) -> Result<(Envelope, &[u8]), DecodeError> {
    let split = || {
        let rest = entry.get(PREAMBLE_BYTES..)?;
        let (deadline, rest) = rest.split_first_chunk::<DEADLINE_BYTES>()?;
        let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
        let (envelope, encrypted) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (read, appended) = postcard::take_from_bytes::<ReadEnvelope2>(envelope).ok()?;
        let ReadEnvelope2 { id, name, user, reply_to, request_id, ingested_at, hops } = read;
        let deadline = Timestamp(i64::from_be_bytes(*deadline));
        // Of another version when it cannot be read; then nothing is traced.
        let trace = postcard::take_from_bytes::<Option<TraceContext>>(appended).ok().and_then(|(trace, _)| trace);
        Some((Envelope { id, name, user, reply_to, request_id, ingested_at, deadline, hops, trace }, encrypted))
    };
    split().ok_or(DecodeError::Malformed)
}

fn publication_1(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96 + payload.len());
    bytes.push(FORMAT_1);
    let mut bytes = postcard::to_extend(header, bytes).unwrap_or_default();
    bytes.extend_from_slice(payload);
    bytes
}

/// Seals an outcome anew, under the newest key and in the format that it has (`chatctl keys rotate`).
///
/// # Errors
/// As [`Keyring::open_blob`].
pub fn reseal_outcome(keyring: &Keyring, command: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let contexts = [apart(command, OUTCOME), command];
    let context = if keyring.open_blob(contexts[0], sealed).is_ok() { contexts[0] } else { contexts[1] };
    keyring.open_blob(context, sealed).map(|plain| keyring.seal_blob(context, &plain))
}

/// An id that differs from every id of its kind: these are random or begin with a time.
fn apart(id: Uuid, purpose: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ purpose.as_u128())
}
