//! An event for any number of recipients: encoded once, compressed at most once.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::deflate::deflate;
use crate::encode::{frame, payload_start};
use crate::header::Opcode;

/// One text message as finished frames. Share it in an `Arc`; each recipient takes the frame it can read.
#[derive(Debug)]
pub struct PreparedText {
    plain: Bytes,
    payload_start: usize,
    /// Made when the first recipient with compression asks for it. Contains `None` if compression does not pay.
    compressed: OnceLock<Option<Bytes>>,
}

impl PreparedText {
    /// Payloads shorter than this go uncompressed: compression costs more than it saves.
    pub const COMPRESS_FROM_BYTES: usize = 512;

    /// The payload must be UTF-8.
    #[must_use]
    pub fn new(payload: &[u8]) -> Self {
        Self::from_parts(&[payload])
    }

    /// Like [`new`](Self::new), for a payload in several pieces.
    #[must_use]
    pub fn from_parts(parts: &[&[u8]]) -> Self {
        Self {
            plain: frame(Opcode::Text, false, parts),
            payload_start: payload_start(parts.iter().map(|part| part.len()).sum()),
            compressed: OnceLock::new(),
        }
    }

    /// The frame for one recipient; `deflate` is true if that connection negotiated compression. It copies nothing. The
    /// first call with `deflate` compresses, and concurrent calls wait for it.
    #[must_use]
    pub fn frame(&self, deflate: bool) -> Bytes {
        if deflate && let Some(compressed) = self.compressed() {
            return compressed.clone();
        }
        self.plain.clone()
    }

    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.plain[self.payload_start..]
    }

    fn compressed(&self) -> Option<&Bytes> {
        let payload = self.payload();
        if payload.len() < Self::COMPRESS_FROM_BYTES {
            return None;
        }
        self.compressed.get_or_init(|| deflate(payload, |body| frame(Opcode::Text, true, &[body]))).as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::inflate::Inflater;

    /// Incompressible: the high bits of a linear congruential generator, as letters without a pattern.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    }

    #[test]
    fn short_payloads_are_never_compressed() {
        let prepared = PreparedText::new(&[b'x'; 511]);
        assert_eq!(prepared.frame(true), prepared.frame(false));
        assert_eq!(prepared.frame(true)[0], 0x81);
        assert!(prepared.compressed.get().is_none());
    }

    #[test]
    fn long_payloads_are_compressed_once_and_only_when_asked() {
        let payload: Vec<u8> = (0..40).flat_map(|i| format!(r#"{{"userId":"{i}","n":{i}}},"#).into_bytes()).collect();
        let prepared = PreparedText::new(&payload);
        assert_eq!(prepared.frame(false)[4..], payload);
        assert!(prepared.compressed.get().is_none());

        let compressed = prepared.frame(true);
        assert_eq!(compressed[0], 0xc1);
        assert!(compressed.len() < payload.len() / 2, "{} of {}", compressed.len(), payload.len());
        assert_eq!(prepared.frame(true).as_ptr(), compressed.as_ptr());
        assert_eq!(prepared.frame(false).as_ptr(), prepared.frame(false).as_ptr());

        let body = &compressed[payload_start(compressed.len())..];
        assert_eq!(Inflater::default().inflate(body, payload.len()).unwrap(), payload);
    }

    #[test]
    fn every_length_survives_compression() {
        let mut inflater = Inflater::default();
        for length in (512..2000).step_by(7).chain([65_535, 65_536, 70_000, 1 << 20]) {
            let payload: Vec<u8> = noise(length).iter().map(|byte| b'a' + byte % 16).collect();
            let body = deflate(&payload, <[u8]>::to_vec).unwrap();
            assert!(body.len() < length);
            assert_eq!(inflater.inflate(&body, length).unwrap(), payload, "{length}");
        }
    }

    #[test]
    fn what_does_not_get_shorter_goes_uncompressed() {
        for length in (512..40_000).step_by(997).chain([100_000, 1 << 20]) {
            let prepared = PreparedText::new(&noise(length));
            assert_eq!(prepared.frame(true)[0], 0x81);
            assert_eq!(prepared.compressed.get(), Some(&None));
        }
    }

    #[test]
    fn parts_are_joined() {
        let prepared = PreparedText::from_parts(&[b"{\"a\":", b"1", b"}"]);
        assert_eq!(prepared.payload(), b"{\"a\":1}");
        assert_eq!(prepared.frame(false), PreparedText::new(b"{\"a\":1}").frame(false));
    }

    #[test]
    fn threads_share_one_compressed_frame() {
        let prepared = PreparedText::new(&[b'x'; 2000]);
        let addresses: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| prepared.frame(true).as_ptr() as usize)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(addresses.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
