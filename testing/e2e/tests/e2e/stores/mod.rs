//! Faults of the stores: PostgreSQL and Redis unavailable, full, slow or failing over; ownership of partitions; dead
//! letters.

mod cluster;
mod dead_letters;
mod histories;
mod leases;
mod postgres;
mod redis;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use client::{Client, event_type};
use serde_json::Value;
use tokio::time::Instant;

/// The longest wait, with allowance for a slow machine; the actual time is printed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(60);

/// Sends the command until it is not rejected as unavailable.
async fn until_served(client: &mut Client, command: &Value) -> Result<Value> {
    let deadline = Instant::now() + RECOVERS_WITHIN;
    loop {
        let answer = client.request_within(command.clone(), RECOVERS_WITHIN).await?;
        if answer["code"] != "SERVICE_UNAVAILABLE" {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("not served in time: {answer}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends the command, and expects `SERVICE_UNAVAILABLE`; returns the time until the answer.
async fn unavailable(client: &mut Client, command: &Value) -> Result<Duration> {
    let asked = Instant::now();
    let answer = client.request_within(command.clone(), RECOVERS_WITHIN).await?;
    ensure!(event_type(&answer) == "error" && answer["code"] == "SERVICE_UNAVAILABLE", "{answer}");
    ensure!(answer["retryAfter"].as_u64().is_some_and(|seconds| seconds > 0), "{answer}");
    Ok(asked.elapsed())
}

/// Makes every reaction fail by itself, and the reverse.
pub const BREAK_REACTIONS: &str = "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
    CREATE TRIGGER broken BEFORE INSERT ON message_reactions EXECUTE FUNCTION broken()";
pub const MEND_REACTIONS: &str = "DROP TRIGGER broken ON message_reactions; DROP FUNCTION broken()";
