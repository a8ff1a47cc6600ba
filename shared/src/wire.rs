//! The wire between our own processes: which format is written, how it is authenticated, and what happens to what this
//! build cannot read. Streams, publications, and what waits in a store pass through here; their contents are defined in
//! [`crate::stream`] and [`crate::publication`].
//!
//! **Formats.** The first byte is the format.
//!
//! - Format 1 (release 0.1): an entry is the envelope in postcard and then the sealed body; a publication is the header in
//!   postcard and then the payload. Anyone who can write to Redis can make either.
//! - Format 2: `format (1) ‖ key id (2) ‖ tag (16) ‖ rest`. The tag covers everything else and the name of the stream or channel.
//!   The rest of a publication is the header in postcard and the payload; the rest of an entry is
//!   `deadline (8) ‖ length of the envelope (2) ‖ envelope in postcard ‖ IV (16) ‖ encrypted body`. Fields can be
//!   appended to the envelope: a reader skips unknown ones.
//!
//! All later formats begin with format, key id and tag, followed in entries by the deadline, so that a build which is
//! too old for one can still tell it from a forgery, and knows how long it may be left for another worker.
//!
//! **Append only.** Postcard writes an enum's variant as its number and a struct as its fields in order: add variants
//! and commands at the end of their lists, never add fields to structs outside the envelope, and never remove or
//! reorder anything. `golden/` contains bytes of each variant, which every later version must decode to the same
//! values.

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
/// Separates stored outcomes from everything else sealed under a command's id.
const OUTCOME: Uuid = Uuid::from_u128(0x7f0c_6f75_7463_6f6d_6500_0000_0000_0002);
/// The same for cached windows and the ids of conversations. The last digit is the windows' format: what another version of the program
/// keeps may lack what this one shows.
const WINDOW: Uuid = Uuid::from_u128(0x7f0c_7769_6e64_6f77_0000_0000_0000_0003);

/// Encodes and decodes what travels between our processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire {
    keyring: Keyring,
    format: WireFormat,
}

/// Why an entry is not applied here.
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
    /// It is ours, but from another version: a worker that knows it applies it before the deadline.
    #[error("the entry was written by another version of the program, which knows what this one does not")]
    TooNew { deadline: Timestamp },
}

/// Why a publication is not delivered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the publication is malformed or of an unknown format")]
    Malformed,
    #[error("the publication is not authenticated: it has format 1, which WIRE_FORMAT does not allow")]
    Unverified,
    #[error("the publication is not ours: {0}")]
    Forged(#[from] TagError),
    /// It is ours, but from another version: its receivers have to request what it said.
    #[error("the publication was written by another version of the program, which knows what this one does not")]
    TooNew,
}

/// The envelope of format 1. Never changes.
type Envelope1 = (Uuid, String, UserId, ConnectionRef, Option<RequestId>, Timestamp, Timestamp, Option<String>, u8);

/// The envelope of format 2, without the deadline, which comes before it. Optional fields may be appended: readers skip
/// unknown ones, and treat missing ones as absent. One follows so far: `Option<TraceContext>`, for traced commands.
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

    /// True if release 0.1 can read what is written.
    pub fn writes_format_1(&self) -> bool {
        self.format == WireFormat::One
    }

    /// Encodes an entry for this stream.
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

    /// Decodes an entry of this stream.
    ///
    /// # Errors
    /// Says how to handle the entry: see [`DecodeError`].
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
        // The variant's number decides what is done, the name what was meant.
        if envelope.name != body.name() {
            return Err(DecodeError::TooNew { deadline: envelope.deadline });
        }
        Ok((envelope, body))
    }

    fn open_entry_2(&self, stream: &str, entry: &[u8]) -> Result<(Envelope, Body), DecodeError> {
        let (key_id, rest) = self.verify(Medium::Stream(stream), entry)?.ok_or(DecodeError::Malformed)?;
        // From here on, anything unreadable was written by another version.
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

    /// Encodes a publication for this channel.
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

    /// Decodes a publication on this channel: its header, and where the payload begins.
    ///
    /// # Errors
    /// Says how to handle the publication: see [`Unreadable`].
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

    /// A text as a member of the set of this name. The same text has the same member, until the key changes.
    pub fn member(&self, set: &str, text: &str) -> String {
        let key_id = self.keyring.newest_key_id();
        let tag = self.keyring.tag(Medium::Member(set), &[&key_id.to_be_bytes(), text.as_bytes()]);
        format!("{key_id}.{:032x}:{text}", u128::from_be_bytes(tag))
    }

    /// The text of a member of the set of this name; `None` for one that we did not put there.
    pub fn member_text<'a>(&self, set: &str, member: &'a str) -> Option<&'a str> {
        let (proof, text) = member.split_once(':')?;
        let (key_id, tag) = proof.split_once('.')?;
        let (key_id, tag): (i16, u128) = (key_id.parse().ok()?, u128::from_str_radix(tag, 16).ok()?);
        let parts: [&[u8]; 2] = [&key_id.to_be_bytes(), text.as_bytes()];
        self.keyring.verify_tag(key_id, Medium::Member(set), &parts, &tag.to_be_bytes()).ok()?;
        Some(text)
    }

    /// Seals the outcome of a command for Postgres: opens only as this command's, and as nothing but an outcome.
    pub fn seal_outcome(&self, command: Uuid, outcome: &[u8]) -> Vec<u8> {
        match self.format {
            WireFormat::One => self.keyring.seal_blob(command, outcome),
            WireFormat::Both | WireFormat::Two => self.keyring.seal_blob(apart(command, OUTCOME), outcome),
        }
    }

    /// # Errors
    /// Like [`Keyring::open_blob`].
    pub fn open_outcome(&self, command: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let opened = self.keyring.open_blob(apart(command, OUTCOME), sealed);
        match self.format {
            WireFormat::Two => opened,
            WireFormat::One | WireFormat::Both => opened.or_else(|_| self.keyring.open_blob(command, sealed)),
        }
    }

    /// Seals a cached part of a conversation. Any format works, since whatever does not open is read from Postgres.
    pub fn seal_window(&self, conversation: Uuid, window: &[u8]) -> Vec<u8> {
        self.keyring.seal_blob(apart(conversation, WINDOW), window)
    }

    /// # Errors
    /// Like [`Keyring::open_blob`].
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

    /// The preamble, with an empty tag.
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

    /// The key id, and what follows the preamble after its tag was verified; `None` if it is too short.
    fn verify<'a>(&self, medium: Medium<'_>, bytes: &'a [u8]) -> Result<Option<(i16, &'a [u8])>, TagError> {
        let Some((preamble, rest)) = bytes.split_first_chunk::<PREAMBLE_BYTES>() else { return Ok(None) };
        let [format, id_high, id_low, tag @ ..] = *preamble;
        let key_id = i16::from_be_bytes([id_high, id_low]);
        self.keyring.verify_tag(key_id, medium, &[&[format, id_high, id_low], rest], &tag)?;
        Ok(Some((key_id, rest)))
    }
}

/// Reads an entry's envelope to show it to a person. No key is used, so it is not authenticated.
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
        // If it is unreadable, it comes from another version; then nothing is traced.
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

/// Seals an outcome again, with the newest key and in its present format (`chatctl keys rotate`).
///
/// # Errors
/// Like [`Keyring::open_blob`].
pub fn reseal_outcome(keyring: &Keyring, command: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let contexts = [apart(command, OUTCOME), command];
    let context = if keyring.open_blob(contexts[0], sealed).is_ok() { contexts[0] } else { contexts[1] };
    keyring.open_blob(context, sealed).map(|plain| keyring.seal_blob(context, &plain))
}

/// An id that differs from every id of its kind, since those are random or begin with a time.
fn apart(id: Uuid, purpose: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ purpose.as_u128())
}
