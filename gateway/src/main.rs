//! The gateway process.

use std::process::ExitCode;

use anyhow::Context;
use shared::config::GatewaySettings;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let settings = GatewaySettings::from_env();
    shared::service::main(
        "gateway",
        settings,
        |settings| &settings.common,
        async |settings, metrics, lifecycle| {
            let address = settings.bind_addr;
            let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
            gateway::run(settings, listener, lifecycle, Some(metrics)).await
        },
    )
}
