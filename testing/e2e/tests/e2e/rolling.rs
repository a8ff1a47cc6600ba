//! A deploy: every server of the fleet is restarted in turn while people talk. No message is lost, doubled or out of
//! order, and nobody appears offline.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, event_type};
use e2e::{Deployment, Options, Talk, User};
use tokio::sync::Mutex;

/// Records who is announced offline; reconnects like everybody else.
async fn watch(urls: Vec<String>, user: User, gone: Arc<Mutex<Vec<String>>>) {
    for url in urls.iter().cycle() {
        if let Ok(mut client) = Client::login(url, &user.token).await {
            while let Ok(event) = client.recv().await {
                if event_type(&event) == "user_offline" {
                    gone.lock().await.push(event.to_string());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_every_server_in_turn_loses_nothing_and_nobody() -> Result<()> {
    let options = Options::default()
        .with("DRAIN_WINDOW", "1s")
        .with("OFFLINE_GRACE_PERIOD", "30s")
        .with("LEASE_TTL", "2s")
        .with("COMMAND_TIMEOUT", "5s");
    let mut deployment = Deployment::start("rolling", options)?;
    let urls = [0, 1].map(|gateway| deployment.gateway_url(gateway));
    let other_way = vec![urls[1].clone(), urls[0].clone()];
    let urls = urls.to_vec();
    let gone = Arc::new(Mutex::new(Vec::new()));
    let watchers = [&urls, &other_way].map(|urls| (urls.clone(), gone.clone()));
    for (urls, gone) in watchers {
        tokio::spawn(watch(urls, deployment.user("watcher")?, gone));
    }
    let mut talks = Vec::new();
    for _ in 0..3 {
        let [from, to] = deployment.users(["from", "to"])?;
        talks.push(Talk::start(from, to, urls.clone(), other_way.clone()));
    }
    let progress = async |more: usize| {
        for talk in &talks {
            talk.progress(more).await?;
        }
        anyhow::Ok(())
    };
    progress(30).await.context("before the deploy")?;
    for place in 0..2 {
        tokio::task::block_in_place(|| deployment.fleet.workers[place].restart())?;
        progress(30).await.with_context(|| format!("after the restart of worker {place}"))?;
        tokio::task::block_in_place(|| deployment.fleet.gateways[place].restart())?;
        progress(30).await.with_context(|| format!("after the restart of gateway {place}"))?;
    }
    for talk in talks {
        talk.finish(&deployment).await?;
    }
    let gone = gone.lock().await;
    ensure!(gone.is_empty(), "looked gone: {gone:?}");
    Ok(())
}
