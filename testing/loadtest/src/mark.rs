//! What a message's content says: which run, room, sender and number it is, and when it was due. The rest is padding.

use std::io::Write as _;

use memchr::memmem;

use crate::scan::leading_number;

const BEFORE: &[u8] = b"\"content\":\"LT1:";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub run: u32,
    pub room: u32,
    /// The sender's place in the room.
    pub slot: u32,
    /// The number of this sender's message, from 1.
    pub number: u64,
    /// When it was due, in microseconds of the agent's clock.
    pub due_us: u64,
}

impl Mark {
    /// Appends the content, padded to `bytes`; it needs no escaping in JSON.
    pub fn write(&self, out: &mut Vec<u8>, bytes: usize) {
        let begin = out.len();
        // Writing to a vector cannot fail.
        let _ = write!(out, "LT1:{}:{}:{}:{}:{}:", self.run, self.room, self.slot, self.number, self.due_us);
        let length = out.len() - begin;
        out.resize(begin + bytes.max(length), b'.');
    }

    /// Reads it from an event; `None` for other messages.
    pub fn find(event: &[u8]) -> Option<Self> {
        let at = memmem::find(event, BEFORE)? + BEFORE.len();
        let mut rest = event.get(at..)?;
        let mut next = || {
            let (number, after) = leading_number(rest)?;
            rest = after.strip_prefix(b":")?;
            Some(number)
        };
        let (run, room, slot) = (next()?.try_into().ok()?, next()?.try_into().ok()?, next()?.try_into().ok()?);
        Some(Self { run, room, slot, number: next()?, due_us: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found() {
        let mark = Mark { run: 7, room: 3, slot: 1, number: 12, due_us: 1_000_001 };
        let mut event = br#"{"type":"new_message","content":""#.to_vec();
        let begin = event.len();
        mark.write(&mut event, 100);
        assert_eq!(event.len() - begin, 100);
        event.extend_from_slice(b"\"}");
        assert_eq!(Mark::find(&event), Some(mark));
        assert_eq!(Mark::find(br#"{"content":"hello LT1:1:2:3:4:5:"}"#), None);
        assert_eq!(Mark::find(br#"{"content":"LT1:1:2:x"}"#), None);
    }
}
