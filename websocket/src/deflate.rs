//! Compression of one message at a time, with the thread's compressor.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress};

/// What a sync flush ends with; RFC 7692 leaves it out on the wire.
pub(crate) const SYNC_TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How much of its output buffer an idle compressor may keep.
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;

thread_local! {
    static DEFLATER: RefCell<Option<Deflater>> = const { RefCell::new(None) };
}

struct Deflater {
    compress: Compress,
    output: Vec<u8>,
}

/// Compresses a whole message's payload and passes it to `with`. `None` if compression does not make it shorter.
pub(crate) fn deflate<R>(payload: &[u8], with: impl FnOnce(&[u8]) -> R) -> Option<R> {
    DEFLATER
        .try_with(|deflater| {
            let mut deflater = deflater.try_borrow_mut().ok()?;
            let deflater = deflater.get_or_insert_with(|| Deflater {
                // Higher levels cost several times as much and save a few percent on events of a few hundred bytes.
                compress: Compress::new(Compression::fast(), false),
                output: Vec::new(),
            });
            let result = deflater.deflate(payload).map(with);
            if deflater.output.capacity() > KEPT_OUTPUT_BYTES {
                deflater.output = Vec::new();
            }
            result
        })
        // A thread that is ending sends its last frames uncompressed.
        .ok()
        .flatten()
}

impl Deflater {
    fn deflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        self.compress.reset();
        self.output.clear();
        // Room for the worst case, nine bits per byte. With less, zlib-rs 0.6.8 can panic at level 1: its check for
        // room in the pending buffer ignores what a full output left there.
        self.output.reserve(payload.len() + payload.len() / 4 + 64);
        self.compress.compress_vec(payload, &mut self.output, FlushCompress::Sync).ok()?;
        if self.compress.total_in() != payload.len() as u64 {
            return None;
        }
        let body = self.output.strip_suffix(&SYNC_TAIL)?;
        (body.len() < payload.len()).then_some(body)
    }
}
