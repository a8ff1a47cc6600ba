//! The dead letters: commands that failed because of their content, kept sealed and with the reason until a person
//! looks at them (`chatctl dlq`). This module does not know why commands fail.

use bytes::Bytes;
use fred::prelude::*;

use super::keys::Keys;
use super::redirect::keyed;
use crate::clock::Timestamp;
use crate::stream::{Envelope, FIELD};
use crate::wire::{self, DecodeError, Wire};

/// Beyond this many, the oldest are deleted (approximately: Redis trims whole nodes of the stream).
pub const KEPT: i64 = 10_000;
const MAX_REASON_BYTES: usize = 1_000;

const LANE: &str = "lane";
const SUBJECT: &str = "subject";
const REASON: &str = "error";
const ATTEMPTS: &str = "attempts";

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The stream entry as it was, its body sealed.
    pub entry: Bytes,
    /// The stream that it came from.
    pub lane: String,
    /// The conversation, message or user that it concerns, if that could be read.
    pub subject: Option<String>,
    pub reason: String,
    pub attempts: u32,
}

/// A dead letter in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id in Redis.
    pub id: String,
    pub letter: DeadLetter,
}

impl DeadLetter {
    /// The readable part of the entry, unauthenticated.
    ///
    /// # Errors
    /// When this build cannot read it; that may be why it failed.
    pub fn envelope(&self) -> Result<Envelope, DecodeError> {
        wire::peek_envelope(&self.entry)
    }

    /// The stored fields. Other versions read them, so names never change, and new ones may be missing.
    fn to_fields(&self) -> Vec<(&'static str, Value)> {
        let reason = &self.reason[..self.reason.floor_char_boundary(MAX_REASON_BYTES)];
        let mut fields: Vec<(&'static str, Value)> = vec![
            (FIELD, self.entry.clone().into()),
            (LANE, self.lane.as_str().into()),
            (REASON, reason.into()),
            (ATTEMPTS, self.attempts.into()),
        ];
        fields.extend(self.subject.as_deref().map(|subject| (SUBJECT, Value::from(subject))));
        fields
    }

    /// The entry for another attempt: the same command under the same id, to be applied before `deadline`.
    fn renewed(&self, wire: &Wire, deadline: Timestamp) -> Result<Bytes, DecodeError> {
        let (envelope, body) = wire.open_entry(&self.lane, &self.entry)?;
        Ok(wire.entry(&self.lane, &Envelope { deadline, hops: 0, ..envelope }, &body).into())
    }
}

/// Why a dead letter is not put back.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    #[error("this version cannot read it: {0}")]
    Unreadable(#[from] DecodeError),
    #[error("Redis: {0}")]
    Redis(#[from] Error),
}

/// The stream.
#[derive(Clone)]
pub struct DeadLetters {
    client: Client,
    stream: String,
}

impl DeadLetters {
    pub fn new(client: Client, keys: &Keys) -> Self {
        DeadLetters { client, stream: keys.dead_letters() }
    }

    pub async fn insert(&self, letter: &DeadLetter) -> Result<(), Error> {
        let fields = letter.to_fields();
        keyed!(&self.client, &self.stream, |sender, stream| {
            let fields = fields.clone();
            async move { sender.xadd(stream, false, ("MAXLEN", "~", KEPT), "*", fields).await }
        })
        .await
    }

    pub async fn count(&self) -> Result<u64, Error> {
        keyed!(&self.client, &self.stream, |sender, stream| async move { sender.xlen(stream).await }).await
    }

    /// At most `count` letters, oldest first: those after `after` (from the first if `None`) up to `last`.
    pub async fn list(&self, after: Option<&str>, last: &str, count: u64) -> Result<Vec<Stored>, Error> {
        let first = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let entries: Vec<RawLetter> = keyed!(&self.client, &self.stream, |sender, stream| {
            let (first, last) = (first.clone(), last.to_owned());
            async move { sender.xrange(stream, first, last, Some(count)).await }
        })
        .await?;
        Ok(entries.into_iter().map(stored).collect())
    }

    pub async fn find(&self, id: &str) -> Result<Option<Stored>, Error> {
        let entries: Vec<RawLetter> =
            keyed!(
                &self.client,
                &self.stream,
                |sender, stream| async move { sender.xrange(stream, id, id, Some(1)).await }
            )
            .await?;
        Ok(entries.into_iter().next().map(stored))
    }

    /// The id of the newest letter.
    pub async fn last_id(&self) -> Result<Option<String>, Error> {
        let entries: Vec<RawLetter> = keyed!(&self.client, &self.stream, |sender, stream| async move {
            sender.xrevrange(stream, "+", "-", Some(1)).await
        })
        .await?;
        Ok(entries.into_iter().next().map(|(id, _)| id))
    }

    /// Puts the command back on its lane, then removes the dead letter. Does nothing and returns `false` if the lane
    /// does not exist, since no worker would read it. If it is interrupted in between, the next requeue appends the
    /// command again, and it is still applied only once.
    ///
    /// # Errors
    /// When Redis fails, or the entry is not one that `wire` reads.
    pub async fn requeue(&self, wire: &Wire, stored: &Stored, deadline: Timestamp) -> Result<bool, RequeueError> {
        let fields = vec![(FIELD, stored.letter.renewed(wire, deadline)?)];
        let appended: Option<String> = keyed!(&self.client, &stored.letter.lane, |sender, lane| {
            let fields = fields.clone();
            async move { sender.xadd(lane, true, None, "*", fields).await }
        })
        .await?;
        if appended.is_none() {
            return Ok(false);
        }
        self.delete(&stored.id).await?;
        Ok(true)
    }

    /// Deletes a letter; returns true if it existed.
    pub async fn delete(&self, id: &str) -> Result<bool, Error> {
        let deleted: u64 =
            keyed!(&self.client, &self.stream, |sender, stream| async move { sender.xdel(stream, id).await }).await?;
        Ok(deleted > 0)
    }
}

/// An id and its fields.
type RawLetter = (String, Vec<(String, Bytes)>);

fn stored((id, fields): RawLetter) -> Stored {
    Stored { id, letter: from_fields(fields) }
}

/// Missing and malformed fields are left empty, so that a person can see the rest.
fn from_fields(fields: Vec<(String, Bytes)>) -> DeadLetter {
    let mut letter =
        DeadLetter { entry: Bytes::new(), lane: String::new(), subject: None, reason: String::new(), attempts: 0 };
    for (name, value) in fields {
        let text = || String::from_utf8_lossy(&value).into_owned();
        match name.as_str() {
            FIELD => letter.entry = value,
            LANE => letter.lane = text(),
            SUBJECT => letter.subject = Some(text()),
            REASON => letter.reason = text(),
            ATTEMPTS => letter.attempts = text().parse().unwrap_or(0),
            _ => {}
        }
    }
    letter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spelled out, because a renamed field would make the letters of the previous version unreadable.
    #[test]
    fn the_fields_of_a_letter_never_change() {
        let letter = DeadLetter {
            entry: Bytes::from_static(&[2, 0, 255]),
            lane: "chat:{commands}:7".to_owned(),
            subject: Some("conv_1_2".to_owned()),
            reason: "it failed".to_owned(),
            attempts: 5,
        };
        let golden: [(&str, &[u8]); 5] = [
            ("c", &[2, 0, 255]),
            ("lane", b"chat:{commands}:7"),
            ("error", b"it failed"),
            ("attempts", b"5"),
            ("subject", b"conv_1_2"),
        ];
        let bytes = |value: Value| match value {
            Value::Integer(number) => number.to_string().into_bytes(),
            other => other.as_bytes().unwrap_or_default().to_vec(),
        };
        let written: Vec<(&str, Vec<u8>)> =
            letter.to_fields().into_iter().map(|(name, value)| (name, bytes(value))).collect();
        assert_eq!(written, golden.map(|(name, value)| (name, value.to_vec())));
        let kept = golden.map(|(name, value)| (name.to_owned(), Bytes::from_static(value)));
        assert_eq!(from_fields(kept.to_vec()), letter);
    }
}
