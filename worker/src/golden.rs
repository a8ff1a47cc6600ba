//! Bytes of what the worker stores and another version reads, as recorded in `golden/*.txt`: one line each, with `name`
//! and the bytes in hex. A line is never changed or moved. `GOLDEN=append cargo xtask test unit golden` adds lines for
//! new values. `shared/src/wire/golden.rs` pins what gateways and workers send each other.

use std::fmt::{Debug, Write as _};
use std::path::PathBuf;

/// Asserts that each value encodes to the bytes of its line, and that each line decodes to its value.
pub fn pin<T: PartialEq + Debug>(
    file: &str,
    values: &[(&str, T)],
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Option<T>,
) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/golden").join(file);
    let mut text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(lines.len() <= values.len(), "{file}: a value was removed");
    for (at, (name, value)) in values.iter().enumerate() {
        let line = format!("{name}\t{}", hex(&encode(value)));
        let Some(golden) = lines.get(at) else {
            assert!(std::env::var("GOLDEN").is_ok_and(|mode| mode == "append"), "no golden bytes: {line}");
            text = format!("{text}{line}\n");
            continue;
        };
        let bytes = golden.split_once('\t').and_then(|(_, bytes)| unhex(bytes)).expect("a name and bytes");
        assert_eq!(decode(&bytes).as_ref(), Some(value), "{file}: {name} is read as something else");
        assert_eq!(*golden, line, "{file}: append only");
    }
    if text.lines().count() > lines.len() {
        std::fs::write(path, text).expect("the folder of golden bytes");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
