//! The frame header: its layout, and the rules that a single header can break. The decoder checks the order of frames.

use crate::ProtocolError;

/// The maximum size of a client's header: 2 bytes, 8 of length, 4 of mask.
pub(crate) const MAX_HEADER_BYTES: usize = 14;
pub(crate) const MAX_CONTROL_BYTES: usize = 125;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub opcode: Opcode,
    pub fin: bool,
    pub rsv1: bool,
    pub mask: [u8; 4],
    pub length: u64,
}

impl Header {
    /// Reads the header at the start of `bytes` and says how long it is. `None` if there are not enough bytes yet;
    /// [`MAX_HEADER_BYTES`] are always enough.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(ProtocolError::UnknownOpcode)?;
        let fin = first & FIN != 0;
        let rsv1 = first & RSV1 != 0;
        if first & RSV2_RSV3 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short_length = second & !MASKED;
        if opcode.is_control() {
            if rsv1 {
                return Err(ProtocolError::ReservedBits);
            }
            if !fin {
                return Err(ProtocolError::FragmentedControl);
            }
            if usize::from(short_length) > MAX_CONTROL_BYTES {
                return Err(ProtocolError::ControlTooLong);
            }
        }

        let (length, extended_bytes, least) = match short_length {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2, 126),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8, 1 << 16),
                None => return Ok(None),
            },
            short => (u64::from(short), 0, 0),
        };
        if length < least || length > i64::MAX as u64 {
            return Err(ProtocolError::InvalidLength);
        }
        let Some(mask) = rest.get(extended_bytes..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        let header = Self { opcode, fin, rsv1, mask: *mask, length };
        Ok(Some((header, 2 + extended_bytes + mask.len())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn parse(start: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        Header::parse(&[start, &MASK].concat())
    }

    fn length_of(start: &[u8]) -> Result<u64, ProtocolError> {
        parse(start).map(|parsed| parsed.unwrap().0.length)
    }

    #[test]
    fn reads_all_three_lengths() {
        assert_eq!(length_of(&[0x81, 0x80]), Ok(0));
        assert_eq!(length_of(&[0x81, 0xfd]), Ok(125));
        assert_eq!(length_of(&[0x81, 0xfe, 0, 126]), Ok(126));
        assert_eq!(length_of(&[0x81, 0xfe, 0xff, 0xff]), Ok(65535));
        assert_eq!(length_of(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(65536));
        let (header, bytes) = parse(&[0x02, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 9]).unwrap().unwrap();
        assert_eq!(bytes, MAX_HEADER_BYTES);
        let length = 0x7f00_0000_0000_0009;
        assert_eq!(header, Header { opcode: Opcode::Binary, fin: false, rsv1: false, mask: MASK, length });
    }

    #[test]
    fn rejects_lengths_not_minimal_or_with_the_top_bit() {
        assert_eq!(length_of(&[0x81, 0xfe, 0, 125]), Err(ProtocolError::InvalidLength));
        assert_eq!(length_of(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(ProtocolError::InvalidLength));
        assert_eq!(length_of(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0]), Err(ProtocolError::InvalidLength));
    }

    #[test]
    fn asks_for_more_until_the_last_byte() {
        for start in [&[0xc1, 0x85][..], &[0x81, 0xfe, 1, 0], &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]] {
            let whole = [start, &MASK].concat();
            for end in 0..whole.len() {
                assert_eq!(Header::parse(&whole[..end]), Ok(None), "{end} of {whole:?}");
            }
            assert_eq!(Header::parse(&whole).unwrap().unwrap().1, whole.len());
        }
    }

    #[test]
    fn rejects_what_the_first_two_bytes_give_away() {
        let cases = [
            (0x91, 0x80, ProtocolError::ReservedBits),
            (0xa1, 0x80, ProtocolError::ReservedBits),
            (0xc9, 0x80, ProtocolError::ReservedBits),
            (0x81, 0x00, ProtocolError::Unmasked),
            (0x09, 0x80, ProtocolError::FragmentedControl),
            (0x88, 0xfe, ProtocolError::ControlTooLong),
            (0x8a, 0xff, ProtocolError::ControlTooLong),
        ];
        for (first, second, error) in cases {
            assert_eq!(Header::parse(&[first, second]), Err(error), "{first:02x} {second:02x}");
        }
        for opcode in (3..8).chain(11..16) {
            assert_eq!(Header::parse(&[0x80 | opcode, 0x80]), Err(ProtocolError::UnknownOpcode));
        }
    }
}
