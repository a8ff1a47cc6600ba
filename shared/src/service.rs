//! The `main` of a service: settings, log, metrics, runtime, and the exit code.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;

use crate::config::CommonSettings;
use crate::lifecycle::{self, Lifecycle};
use crate::telemetry::{LogSettings, Metrics, init_logging, with_causes};

/// Unusable settings: another start will not help.
pub const EXIT_SETTINGS: u8 = 2;

/// Runs a service to its end. `start` starts it and returns; the service runs until the lifecycle ends.
///
/// Exits with 2 if settings cannot be used, and prints which on standard error; with 1 if the service cannot start or
/// one of its tasks fails.
pub fn main<S, E, F>(
    name: &'static str,
    settings: Result<S, E>,
    common: impl FnOnce(&S) -> &CommonSettings,
    start: impl FnOnce(S, Metrics, Lifecycle) -> F,
) -> ExitCode
where
    E: Display,
    F: Future<Output = anyhow::Result<()>>,
{
    crate::memory::refuse_huge_pages();
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(EXIT_SETTINGS);
        }
    };
    let common = common(&settings);
    let (log, threads, timeout) = (LogSettings::from(common), common.runtime_threads, common.shutdown_timeout);
    let _log = match init_logging(&log, name) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let run = || -> anyhow::Result<ExitCode> {
        let metrics = Metrics::install()?;
        lifecycle::runtime(threads)?.block_on(async {
            let lifecycle = Lifecycle::new(timeout);
            metrics.start_upkeep(&lifecycle);
            start(settings, metrics, lifecycle.clone()).await?;
            Ok(lifecycle.run().await)
        })
    };
    run().unwrap_or_else(|error| {
        tracing::error!(error = %with_causes(&error), "the service could not start");
        ExitCode::FAILURE
    })
}
