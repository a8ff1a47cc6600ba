//! The hot functions of a message's path, each prepared to be called any number of times. One list of them serves the
//! benchmarks in time (`benches/functions.rs`) and in instructions (`src/main.rs`).
//!
//! A call must cost the same as the call before it: nothing here depends on the time or on chance, except the content
//! of initialisation vectors.

mod inbound;
mod outbound;
mod stored;

/// A prepared call; everything it needs was prepared before.
pub type Call = Box<dyn FnMut()>;

pub struct Function {
    pub name: &'static str,
    pub prepare: fn() -> Call,
}

/// In the order in which a message passes them.
pub const FUNCTIONS: &[Function] = &[
    Function { name: "decode_command", prepare: inbound::decode_command },
    Function { name: "inflate_frame", prepare: inbound::inflate_frame },
    Function { name: "seal_content", prepare: stored::seal_content },
    Function { name: "open_content", prepare: stored::open_content },
    Function { name: "seal_entry", prepare: stored::seal_entry },
    Function { name: "open_entry", prepare: stored::open_entry },
    Function { name: "encode_frame", prepare: outbound::encode_frame },
    Function { name: "compress_frame", prepare: outbound::compress_frame },
    Function { name: "fan_out_to_50", prepare: outbound::fan_out_to_50 },
    Function { name: "fan_out_to_1000", prepare: outbound::fan_out_to_1000 },
];

#[must_use]
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each checks its own result; a benchmark of a function that rejects its input would be useless.
    #[test]
    fn every_function_can_be_called_again_and_again() {
        for function in FUNCTIONS {
            let mut call = (function.prepare)();
            (0..3).for_each(|_| call());
        }
    }
}
