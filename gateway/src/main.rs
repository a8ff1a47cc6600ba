//! The gateway process: settings, logs, metrics, then `gateway::run`.

use std::process::ExitCode;

use anyhow::Context;
use shared::config::GatewaySettings;
use shared::lifecycle::Lifecycle;
use shared::telemetry::{LogSettings, Metrics, init_logging};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shared::memory::refuse_huge_pages();
    let settings = match GatewaySettings::from_env() {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let started = init_logging(&LogSettings::from(&settings.common), "gateway")
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(shared::lifecycle::runtime(settings.common.runtime_threads)?))
        .map(|runtime| runtime.block_on(serve(settings)));
    match started {
        Ok(Ok(code)) => code,
        Ok(Err(error)) | Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the gateway could not start");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: GatewaySettings) -> anyhow::Result<ExitCode> {
    let metrics = Metrics::install()?;
    let lifecycle = Lifecycle::new(settings.common.shutdown_timeout);
    metrics.start_upkeep(&lifecycle);
    let listener = TcpListener::bind(settings.bind_addr)
        .await
        .with_context(|| format!("cannot listen on {}", settings.bind_addr))?;
    gateway::run(settings, listener, lifecycle.clone(), Some(metrics)).await?;
    Ok(lifecycle.run().await)
}
