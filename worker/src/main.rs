//! The worker process.

use std::process::ExitCode;

use shared::config::WorkerSettings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = WorkerSettings::from_env();
    shared::service::main("worker", settings, |settings| &settings.common, worker::run)
}
