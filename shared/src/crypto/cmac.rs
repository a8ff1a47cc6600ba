//! AES-256-CMAC (RFC 4493): the last block of a CBC encryption, whose last block of plaintext is combined with a subkey.
//!
//! Built on the bulk encryption of `cbc`: the `cmac` crate combines blocks byte by byte, which takes twice the
//! instructions, and every publication has a tag that each gateway checks. The tests compare the two.

use aes::Aes256Enc;
use aes::cipher::{Array, Block, BlockCipherEncrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use zeroize::Zeroizing;

pub(super) const BLOCK_BYTES: usize = 16;
/// What doubling in GF(2^128) adds for the bit that is shifted out.
const REDUCTION: u128 = 0x87;
/// Ends a message whose last block is not whole.
const PADDING: u8 = 0x80;

pub(super) struct Cmac {
    cipher: Aes256Enc,
    /// Combined with a last block that is whole: K1 of the RFC.
    whole: Zeroizing<[u8; BLOCK_BYTES]>,
    /// Combined with a last block that was padded: K2.
    padded: Zeroizing<[u8; BLOCK_BYTES]>,
}

impl Cmac {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes256Enc::new(key.into());
        let mut zeros = Block::<Aes256Enc>::default();
        cipher.encrypt_block(&mut zeros);
        let whole = doubled(u128::from_be_bytes(zeros.into()));
        let padded = doubled(whole).to_be_bytes().into();
        Cmac { cipher, whole: whole.to_be_bytes().into(), padded }
    }

    /// The tag of the concatenated `parts`.
    pub(super) fn tag<'a>(&self, parts: impl Iterator<Item = &'a [u8]> + Clone) -> [u8; BLOCK_BYTES] {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        let blocks = length.div_ceil(BLOCK_BYTES).max(1);
        let mut message = Vec::with_capacity(blocks * BLOCK_BYTES);
        parts.for_each(|part| message.extend_from_slice(part));
        let is_whole = message.len() == blocks * BLOCK_BYTES;
        if !is_whole {
            message.push(PADDING);
            message.resize(blocks * BLOCK_BYTES, 0);
        }
        let subkey = if is_whole { &self.whole } else { &self.padded };
        let last = (blocks - 1) * BLOCK_BYTES;
        message[last..].iter_mut().zip(subkey.iter()).for_each(|(byte, key)| *byte ^= key);
        let (blocks, _) = Array::slice_as_chunks_mut(&mut message);
        cbc::Encryptor::inner_iv_init(&self.cipher, &Array::default()).encrypt_blocks(blocks);
        blocks.last().copied().unwrap_or_default().into()
    }
}

fn doubled(block: u128) -> u128 {
    let carry = if block >> (u128::BITS - 1) == 1 { REDUCTION } else { 0 };
    (block << 1) ^ carry
}

#[cfg(test)]
mod tests {
    use cmac::Mac;

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 7 + 3) as u8).collect()
    }

    #[test]
    fn tags_are_those_of_the_library() {
        for key in [[0; 32], [0x5a; 32], std::array::from_fn(|n| n as u8)] {
            let (ours, library) = (Cmac::new(&key), cmac::Cmac::<Aes256Enc>::new((&key).into()));
            for length in (0..100).chain([4_096, 100_001]) {
                let message = bytes(length);
                let expected: [u8; BLOCK_BYTES] = library.clone().chain_update(&message).finalize().into_bytes().into();
                assert_eq!(ours.tag([message.as_slice()].into_iter()), expected, "{length} bytes");
            }
        }
    }

    #[test]
    fn where_parts_end_does_not_matter() {
        let (cmac, message) = (Cmac::new(&[9; 32]), bytes(70));
        let whole = cmac.tag([message.as_slice()].into_iter());
        for at in 0..=message.len() {
            let (start, end) = message.split_at(at);
            assert_eq!(cmac.tag([start, end].into_iter()), whole);
        }
    }

    /// Of the examples for AES-256 that are published with NIST SP 800-38B.
    #[test]
    fn tags_are_those_of_the_standard() {
        let bytes = |numbers: &[u128]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
        let key = bytes(&[0x603d_eb10_15ca_71be_2b73_aef0_857d_7781, 0x1f35_2c07_3b61_08d7_2d98_10a3_0914_dff4]);
        let message = bytes(&[
            0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a,
            0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
            0x30c8_1c46_a35c_e411_0000_0000_0000_0000,
        ]);
        let cmac = Cmac::new(&key.try_into().expect("32 bytes"));
        let tag = |length: usize| u128::from_be_bytes(cmac.tag([&message[..length]].into_iter()));
        assert_eq!(tag(0), 0x0289_62f6_1b7b_f89e_fc6b_551f_4667_d983);
        assert_eq!(tag(16), 0x28a7_023f_452e_8f82_bd4b_f28d_8c37_c35c);
        assert_eq!(tag(40), 0xaaf3_d8f1_de56_40c2_32f5_b169_b9c9_11e6);
    }
}
