//! The worker process: settings, telemetry, and the life of [`worker::run`].

use std::process::ExitCode;

use shared::config::WorkerSettings;
use shared::lifecycle::Lifecycle;
use shared::telemetry::{LogSettings, Metrics, init_logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shared::memory::refuse_huge_pages();
    let settings = match WorkerSettings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match start(settings) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the worker could not start");
            eprintln!("the worker could not start: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(settings: WorkerSettings) -> anyhow::Result<ExitCode> {
    init_logging(&LogSettings::from(&settings.common), "worker")?;
    let metrics = Metrics::install()?;
    let runtime = shared::lifecycle::runtime(settings.common.runtime_threads)?;
    runtime.block_on(async {
        let lifecycle = Lifecycle::new(settings.common.shutdown_timeout);
        metrics.start_upkeep(&lifecycle);
        worker::run(settings, metrics, lifecycle.clone()).await?;
        Ok(lifecycle.run().await)
    })
}
