//! `chatctl status`: the state of the whole deployment, from Redis and Postgres. If one of them does not answer, its
//! part is left out, and the command fails after showing the rest.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::database::{self, PartitionOwner};
use crate::fleet::FleetClient;
use crate::settings::Settings;
use crate::terminal::print_line;

#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

impl StatusArguments {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut problems = Vec::new();
        let mut note = |problem: anyhow::Error| problems.push(format!("{problem:#}"));
        let owners = owners(settings).await.map_err(&mut note).ok();
        // Postgres knows how many partitions there are; without it, assume the default number.
        let partitions = owners.as_ref().map_or(64, |owners| owners.iter().map(|owner| owner.partitions).sum::<i64>());
        let fleet = look(settings, partitions.unsigned_abs() as u32).await.map_err(&mut note).ok();
        let status = json!({"fleet": fleet, "partitions": owners.as_deref().map(partitions_json)});
        if self.json {
            print_line(&status.to_string())?;
        } else {
            print(&status)?;
        }
        if problems.is_empty() { Ok(()) } else { bail!(problems.join("; ")) }
    }
}

async fn owners(settings: &Settings) -> Result<Vec<PartitionOwner>> {
    let mut connection = database::connect(settings).await?;
    database::list_partition_owners(&mut connection).await
}

fn partitions_json(owners: &[PartitionOwner]) -> Json {
    let owner = |owner: &PartitionOwner| {
        let worker = owner.worker.map(|worker| worker.simple().to_string());
        json!({"worker": worker, "partitions": owner.partitions})
    };
    owners.iter().map(owner).collect()
}

async fn look(settings: &Settings, partitions: u32) -> Result<Json> {
    let fleet = FleetClient::connect(settings).await?;
    let mut gateways = Vec::new();
    for gateway in fleet.alive("gateway").await? {
        let sessions = fleet.count_sessions(&gateway.id).await?;
        let version = fleet.version("gateway", &gateway.id).await?;
        let (id, seen) = (gateway.id, gateway.seen_ms);
        gateways.push(json!({"id": id, "version": version, "heartbeatMs": seen, "sessions": sessions}));
    }
    let mut workers = Vec::new();
    for worker in fleet.alive("worker").await? {
        let version = fleet.version("worker", &worker.id).await?;
        workers.push(json!({"id": worker.id, "version": version, "heartbeatMs": worker.seen_ms}));
    }
    let streams: Vec<String> = (0..partitions).map(|partition| fleet.keys.partition(partition)).collect();
    let ordered = fleet.backlogs(&streams).await?;
    let queries = fleet.backlogs(&[fleet.keys.queries()]).await?;
    let dead_letters = fleet.dead_letters().count().await.context("dead letters")?;
    let online = fleet.count_online().await.context("online users")?;
    Ok(json!({
        "gateways": gateways, "workers": workers, "onlineUsers": online, "deadLetters": dead_letters,
        "waiting": {"ordered": backlog_json(&ordered), "queries": backlog_json(&queries)},
    }))
}

fn backlog_json(lanes: &[(u64, Duration)]) -> Json {
    let commands: u64 = lanes.iter().map(|(length, _)| length).sum();
    let busy = lanes.iter().filter(|(length, _)| *length > 0).count();
    let oldest = lanes.iter().map(|(_, age)| age.as_secs_f64()).fold(0.0, f64::max);
    json!({"commands": commands, "lanes": busy, "oldestSeconds": oldest})
}

fn version(process: &Json) -> &str {
    process["version"].as_str().unwrap_or("of an unknown version")
}

fn print(status: &Json) -> Result<()> {
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let fleet = &status["fleet"];
    if !fleet.is_null() {
        for gateway in list(&fleet["gateways"]) {
            let (id, seen) = (gateway["id"].as_str().unwrap_or_default(), &gateway["heartbeatMs"]);
            let (version, sessions) = (version(&gateway), &gateway["sessions"]);
            print_line(&format!("gateway  {id}  {version}, {sessions} sessions, seen {seen} ms ago"))?;
        }
        for worker in list(&fleet["workers"]) {
            let id = worker["id"].as_str().unwrap_or_default();
            print_line(&format!("worker   {id}  {}, seen {} ms ago", version(&worker), worker["heartbeatMs"]))?;
        }
        for lane in ["ordered", "queries"] {
            let waiting = &fleet["waiting"][lane];
            let oldest = waiting["oldestSeconds"].as_f64().unwrap_or_default();
            print_line(&format!("waiting  {lane}: {} commands, the oldest for {oldest:.1} s", waiting["commands"]))?;
        }
        print_line(&format!("online   {} users", fleet["onlineUsers"]))?;
        print_line(&format!("dead     {} letters", fleet["deadLetters"]))?;
    }
    for owner in list(&status["partitions"]) {
        let worker = owner["worker"].as_str().unwrap_or("nobody");
        print_line(&format!("owner    {worker}  {} partitions", owner["partitions"]))?;
    }
    Ok(())
}
