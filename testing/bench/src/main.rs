//! Calls one of the hot functions a given number of times, for `cargo xtask counts`, which counts the instructions of
//! [`measured_calls`]. Without arguments it lists the functions.

use std::process::ExitCode;

use bench::{Call, FUNCTIONS, find};

/// The servers' allocator: it is part of the cost of a call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After this number of calls, queues, tables and thread-local buffers have reached their size.
const CALLS_BEFORE: u32 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => FUNCTIONS.iter().for_each(|function| println!("{}", function.name)),
        [name, calls] => {
            let (Some(function), Ok(calls)) = (find(name), calls.parse()) else { return usage() };
            let mut call = (function.prepare)();
            (0..CALLS_BEFORE).for_each(|_| call());
            measured_calls(&mut call, calls);
        }
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

/// Callgrind counts while this runs, and finds it by its name.
#[inline(never)]
fn measured_calls(call: &mut Call, calls: u32) {
    for _ in 0..calls {
        call();
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: bench [FUNCTION CALLS]");
    ExitCode::FAILURE
}
