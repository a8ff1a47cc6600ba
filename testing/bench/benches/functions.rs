//! Measures the time of the hot functions: `cargo bench -p bench`, or only of those with a word in their name: `… --
//! fan_out`.

use bench::FUNCTIONS;
use criterion::{Criterion, criterion_group, criterion_main};

/// The servers' allocator: it is part of the cost of a call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn functions(criterion: &mut Criterion) {
    for function in FUNCTIONS {
        let mut call = (function.prepare)();
        criterion.bench_function(function.name, |bencher| bencher.iter(&mut call));
    }
}

criterion_group!(benches, functions);
criterion_main!(benches);
