//! Where the next part of a list begins, as a client receives it and sends it back. It is opaque to the client and
//! grants nothing: a client that makes one up reads another part of its own list. A damaged one, or one of another
//! list, is rejected.

use serde::Serialize;
use serde::de::DeserializeOwned;

const CHECKSUM_BYTES: usize = 4;
/// The maximum length in characters, for the schemas.
pub const MAX_CURSOR_CHARACTERS: usize = 256;

/// A position in one kind of list.
pub trait Cursor: Serialize + DeserializeOwned {
    /// Distinguishes the lists.
    const LIST: &'static str;

    fn to_text(&self) -> String {
        let mut bytes = postcard::to_stdvec(self).unwrap_or_default();
        let checksum = checksum(Self::LIST, &bytes);
        bytes.extend_from_slice(&checksum);
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
    }

    /// `None` if it is not a cursor of this list.
    fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_CURSOR_CHARACTERS || !text.len().is_multiple_of(2) {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let byte = |pair: &[u8]| Some(((digit(pair[0])? << 4) | digit(pair[1])?) as u8);
        let bytes: Vec<u8> = text.as_bytes().chunks_exact(2).map(byte).collect::<Option<_>>()?;
        let (position, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
        if *sum != checksum(Self::LIST, position) {
            return None;
        }
        postcard::from_bytes(position).ok()
    }
}

/// FNV-1a; it detects accidental damage.
fn checksum(list: &str, position: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    list.as_bytes().iter().chain(&[0]).chain(position).fold(0x811c_9dc5, mix).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Here(i64);
    impl Cursor for Here {
        const LIST: &'static str = "here";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct There(i64);
    impl Cursor for There {
        const LIST: &'static str = "there";
    }

    #[test]
    fn a_cursor_is_taken_back_by_its_own_list_only() {
        let text = Here(1_772_356_502_481).to_text();
        assert_eq!(Here::parse(&text), Some(Here(1_772_356_502_481)));
        assert_eq!(There::parse(&text), None);
        let damaged = text.replace(&text[..1], "x");
        for bad in ["", "0", "00", &text[1..], &text[2..], &damaged, &text.to_uppercase(), "ü", &"0".repeat(300)] {
            assert_eq!(Here::parse(bad), None, "{bad}");
        }
    }
}
