//! Probes and metrics on their own listener, `ADMIN_ADDR`. It is for the cluster and not for clients: it counts no
//! addresses, and it answers until the drain ends.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::http::routes;

/// Answers until the process stops.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener) -> Result<(), Infallible> {
    let stopped = gateway.lifecycle.stopped();
    let routes = routes::admin_routes(&gateway);
    warp::serve(routes).incoming(listener).graceful(async move { stopped.cancelled().await }).run().await;
    Ok(())
}
