//! Decompression of one message at a time. Nothing is kept per connection: an inflater is borrowed from the thread for as
//! long as a [`Feed`](crate::Feed) is used.

use std::cell::Cell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::ProtocolError;
use crate::deflate::SYNC_TAIL;

/// How much of its output buffer an idle inflater may keep.
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;
const FIRST_OUTPUT_BYTES: usize = 4 * 1024;

thread_local! {
    /// One is enough, since a thread reads one connection at a time.
    static SPARE: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
}

/// Takes the thread's inflater at first use and returns it when dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease(Option<Box<Inflater>>);

impl Lease {
    pub(crate) fn inflater(&mut self) -> &mut Inflater {
        self.0.get_or_insert_with(|| {
            // The slot is gone when the thread is ending.
            SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default()
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut inflater) = self.0.take() {
            inflater.shrink();
            let _ = SPARE.try_with(|spare| spare.set(Some(inflater)));
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inflater {
    decompress: Decompress,
    output: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Self {
        // Raw deflate with the largest window can read what was written with any smaller one.
        Self { decompress: Decompress::new(false), output: Vec::new() }
    }
}

impl Inflater {
    /// Decompresses a whole message's payload. Never holds more than `limit_bytes + 1` bytes of output, or the capacity
    /// left from earlier messages if that is more.
    pub(crate) fn inflate(&mut self, payload: &[u8], limit_bytes: usize) -> Result<&[u8], ProtocolError> {
        self.output.clear();
        // RFC 7692 writes an empty message as one zero octet; some clients write it as none.
        if payload.is_empty() {
            return Ok(&self.output);
        }
        self.decompress.reset(false);
        if let Ended::AtFinalBlock { unread } = self.run(payload, limit_bytes)? {
            // After a final block (RFC 7692, 7.2.3.4) one octet may follow, the start of the tail's empty block.
            return match unread {
                [] | [0] => Ok(&self.output),
                _ => Err(ProtocolError::InvalidDeflate),
            };
        }
        self.run(&SYNC_TAIL, limit_bytes)?;
        Ok(&self.output)
    }

    fn run<'a>(&mut self, mut input: &'a [u8], limit_bytes: usize) -> Result<Ended<'a>, ProtocolError> {
        loop {
            self.make_room(input.len(), limit_bytes)?;
            let read_before = self.decompress.total_in();
            let status = self
                .decompress
                .decompress_vec(input, &mut self.output, FlushDecompress::Sync)
                .map_err(|_| ProtocolError::InvalidDeflate)?;
            let read = (self.decompress.total_in() - read_before) as usize;
            input = input.get(read..).unwrap_or_default();
            if self.output.len() > limit_bytes {
                return Err(ProtocolError::TooLarge);
            }
            if status == Status::StreamEnd {
                return Ok(Ended::AtFinalBlock { unread: input });
            }
            // Remaining room means that there is no more output.
            if self.output.len() < self.output.capacity() {
                return match input {
                    [] => Ok(Ended::AtInputEnd),
                    _ => Err(ProtocolError::InvalidDeflate),
                };
            }
        }
    }

    /// Makes room for at least one byte. Doubles up to one byte more than the limit, which shows that the limit was
    /// exceeded.
    fn make_room(&mut self, input_bytes: usize, limit_bytes: usize) -> Result<(), ProtocolError> {
        let length = self.output.len();
        if length < self.output.capacity() {
            return Ok(());
        }
        let most = limit_bytes.saturating_add(1);
        let wanted = FIRST_OUTPUT_BYTES.max(input_bytes.saturating_mul(4)).max(length.saturating_mul(2)).min(most);
        if wanted <= length {
            return Err(ProtocolError::TooLarge);
        }
        self.output.reserve_exact(wanted - length);
        Ok(())
    }

    fn shrink(&mut self) {
        if self.output.capacity() > KEPT_OUTPUT_BYTES {
            self.output = Vec::new();
        }
    }
}

enum Ended<'a> {
    AtInputEnd,
    AtFinalBlock { unread: &'a [u8] },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};

    const LIMIT_BYTES: usize = 1 << 20;

    /// A message's payload in the form of RFC 7692, from a separate compressor.
    fn compress(data: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), false);
        let mut output = Vec::with_capacity(data.len() + 1024);
        compress.compress_vec(data, &mut output, flush).unwrap();
        assert_eq!(compress.total_in() as usize, data.len());
        if flush == FlushCompress::Sync {
            assert!(output.ends_with(&SYNC_TAIL));
            output.truncate(output.len() - SYNC_TAIL.len());
        }
        output
    }

    #[test]
    fn reads_the_examples_of_rfc_7692() {
        let mut inflater = Inflater::default();
        let examples: [&[u8]; 5] = [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            // No compression.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            // A final block.
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            // Two blocks.
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        ];
        for example in examples {
            assert_eq!(inflater.inflate(example, LIMIT_BYTES).unwrap(), b"Hello", "{example:02x?}");
        }
        assert_eq!(inflater.inflate(&[0x00], LIMIT_BYTES).unwrap(), b"");
        assert_eq!(inflater.inflate(&[], LIMIT_BYTES).unwrap(), b"");
    }

    #[test]
    fn rejects_data_after_a_final_block() {
        let mut payload = compress(b"Hello", FlushCompress::Finish);
        payload.extend_from_slice(&compress(b"World", FlushCompress::Sync));
        assert_eq!(Inflater::default().inflate(&payload, LIMIT_BYTES), Err(ProtocolError::InvalidDeflate));
    }

    #[test]
    fn rejects_invalid_deflate_and_recovers() {
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&[0xff; 20], LIMIT_BYTES), Err(ProtocolError::InvalidDeflate));
        let payload = compress(b"fine", FlushCompress::Sync);
        assert_eq!(inflater.inflate(&payload, LIMIT_BYTES).unwrap(), b"fine");
    }

    #[test]
    fn takes_no_context_over() {
        // The second half of this stream refers back to the first.
        let mut compress = Compress::new(Compression::best(), false);
        let mut first = Vec::with_capacity(4096);
        let mut second = Vec::with_capacity(4096);
        let text = b"a sentence that is long enough to be referred back to";
        compress.compress_vec(text, &mut first, FlushCompress::Sync).unwrap();
        compress.compress_vec(text, &mut second, FlushCompress::Sync).unwrap();

        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&first[..first.len() - 4], LIMIT_BYTES).unwrap(), text);
        assert_eq!(inflater.inflate(&second[..second.len() - 4], LIMIT_BYTES), Err(ProtocolError::InvalidDeflate));
    }

    #[test]
    fn the_limit_is_exact() {
        let mut inflater = Inflater::default();
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let payload = compress(&vec![b'x'; length], FlushCompress::Sync);
            assert_eq!(inflater.inflate(&payload, length).unwrap().len(), length);
            if length > 0 {
                assert_eq!(inflater.inflate(&payload, length - 1), Err(ProtocolError::TooLarge));
            }
        }
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let bomb = compress(&vec![0; 256 << 20], FlushCompress::Sync);
        assert!(bomb.len() < 300_000, "{}", bomb.len());
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&bomb, LIMIT_BYTES), Err(ProtocolError::TooLarge));
        assert!(inflater.output.capacity() <= LIMIT_BYTES + 1, "{}", inflater.output.capacity());
        // It stopped there, and did not continue to read and discard.
        assert!(inflater.decompress.total_out() <= LIMIT_BYTES as u64 + 1);
    }

    #[test]
    fn a_returned_inflater_keeps_little_and_is_used_again() {
        let payload = compress(&vec![b'x'; LIMIT_BYTES], FlushCompress::Sync);
        let mut lease = Lease::default();
        let first: *const Inflater = lease.inflater();
        lease.inflater().inflate(&payload, LIMIT_BYTES).unwrap();
        drop(lease);

        let mut lease = Lease::default();
        assert!(std::ptr::eq(first, lease.inflater()));
        assert!(lease.inflater().output.capacity() <= KEPT_OUTPUT_BYTES);
    }
}
