//! Limits per address when a gateway dies.

use std::time::Duration;

use anyhow::Result;
use client::Connect;
use e2e::{Deployment, Options};

/// A dead gateway's places are given back as soon as the fleet knows that it is dead.
#[tokio::test(flavor = "multi_thread")]
async fn the_connections_of_a_dead_gateway_do_not_count() -> Result<()> {
    let options = Options::default().with("MAX_CONNECTIONS_PER_IP", "2").with("TRUSTED_PROXIES", "127.0.0.1");
    let mut deployment = Deployment::start("dead-address", Options { workers: 1, ..options })?;
    let urls = [deployment.gateway_url(0), deployment.gateway_url(1)];
    let connect = |gateway: usize| Connect::new(&urls[gateway]).forwarded_for("9.9.9.9, 2001:db8::1").open();
    let _held = [connect(0).await?, connect(0).await?];
    assert!(connect(1).await.is_err(), "both places are taken");
    deployment.fleet.gateways[0].kill()?;
    let both = async {
        loop {
            if let (Ok(one), Ok(other)) = (connect(1).await, connect(1).await) {
                break (one, other);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _both = tokio::time::timeout(Duration::from_secs(60), both).await?;
    assert!(connect(1).await.is_err(), "and not more than these");
    Ok(())
}
