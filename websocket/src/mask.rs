//! Unmasking of client payloads.

/// XORs `data` with the mask, in place. `offset` is how many bytes of the frame's payload came before `data`.
pub(crate) fn unmask(data: &mut [u8], mask: [u8; 4], offset: usize) {
    let [a, b, c, d] = mask;
    let [a, b, c, d] = match offset % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    };
    let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);

    // Words let the compiler use whatever vectors the target has.
    let (words, tail) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_every_length_and_offset() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let expected: Vec<u8> =
                    plain.iter().enumerate().map(|(i, byte)| byte ^ mask[(i + offset) % 4]).collect();
                let mut data = plain;
                unmask(&mut data, mask, offset);
                assert_eq!(data, expected, "length {length}, offset {offset}");
            }
        }
    }
}
