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
        let tables = tables(settings).await.map_err(&mut note).ok();
        let tables_json = tables.as_ref().map(|tables| tables.iter().map(Table::json).collect::<Vec<_>>());
        let status =
            json!({"fleet": fleet, "partitions": owners.as_deref().map(partitions_json), "tables": tables_json});
        if self.json {
            print_line(&status.to_string())?;
        } else {
            print(&status)?;
            print_tables(&tables.unwrap_or_default())?;
        }
        if problems.is_empty() { Ok(()) } else { bail!(problems.join("; ")) }
    }
}

/// A table, and what it was when it was measured before.
#[derive(Debug, sqlx::FromRow)]
struct Table {
    name: String,
    heap_bytes: i64,
    index_bytes: i64,
    /// As Postgres estimates it.
    rows: i64,
    /// What it has grown by since the measurement that it is compared with, a day if Postgres has been measured for
    /// longer, and how many days ago that was.
    grown_bytes: Option<i64>,
    grown_rows: Option<i64>,
    days: Option<f64>,
}

impl Table {
    /// Bytes and rows per day.
    fn growth(&self) -> Option<(f64, f64)> {
        let days = self.days.filter(|days| *days >= 0.5)?;
        Some((self.grown_bytes? as f64 / days, self.grown_rows? as f64 / days))
    }

    fn json(&self) -> Json {
        let growth = self.growth();
        json!({
            "name": self.name, "heapBytes": self.heap_bytes, "indexBytes": self.index_bytes, "rows": self.rows,
            "bytesPerDay": growth.map(|(bytes, _)| bytes.round()), "rowsPerDay": growth.map(|(_, rows)| rows.round()),
        })
    }
}

/// The tables, the largest first. Workers measure them at the end of each day: growth is the difference to the newest of
/// these measurements that is at least a week old, or else to the oldest one before today.
async fn tables(settings: &Settings) -> Result<Vec<Table>> {
    let mut connection = database::connect(settings).await?;
    let tables = sqlx::query_as(
        "WITH compared AS (
             SELECT coalesce(max(measured_on) FILTER (WHERE measured_on <= current_date - 7), min(measured_on)) AS on_day
             FROM table_sizes WHERE measured_on < current_date
         )
         SELECT c.relname::text AS name, pg_table_size(c.oid) AS heap_bytes, pg_indexes_size(c.oid) AS index_bytes,
             greatest(c.reltuples, 0)::bigint AS rows, pg_total_relation_size(c.oid) - s.bytes AS grown_bytes,
             greatest(c.reltuples, 0)::bigint - s.rows AS grown_rows,
             (extract(epoch FROM now() - (s.measured_on + 1)) / 86400)::float8 AS days
         FROM pg_class c
         CROSS JOIN compared
         LEFT JOIN table_sizes s ON s.table_name = c.relname AND s.measured_on = compared.on_day
         WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
         ORDER BY pg_total_relation_size(c.oid) DESC, c.relname",
    )
    .fetch_all(&mut connection)
    .await
    .context("sizes of the tables")?;
    Ok(tables)
}

fn print_tables(tables: &[Table]) -> Result<()> {
    for table in tables {
        let size =
            format!("{} and {} of indexes", megabytes(table.heap_bytes as f64), megabytes(table.index_bytes as f64));
        let growth = match table.growth() {
            Some((bytes, rows)) => format!("{} and {rows:.0} rows more a day", megabytes(bytes)),
            None => "growth is known after a day".to_owned(),
        };
        print_line(&format!("table    {}: {size}, about {} rows, {growth}", table.name, table.rows))?;
    }
    Ok(())
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
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
