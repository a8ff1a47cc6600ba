//! The load generator against a real fleet: what it counts must be what the database holds.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use devstack::testing;
use e2e::{Deployment, Options, User};
use serde_json::Value;

/// Runs a scenario for these users over both gateways.
async fn loadtest(deployment: &Deployment, users: &[User], args: &[&str]) -> Result<(Output, Value)> {
    let file = |name: &str| deployment.logs().join(name);
    let ids: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    std::fs::write(file("users"), ids.join("\n"))?;
    std::fs::write(file("secret"), &deployment.fleet.secrets().jwt_secret)?;
    let _ = std::fs::remove_file(file("result.json"));
    let mut command = Command::new(testing::bin_dir()?.join("loadtest"));
    command.args(args).args(["--warmup", "200ms", "--settle", "500ms", "--drain", "120s", "--quiet", "--deflate"]);
    command.arg("--users").arg(file("users")).arg("--jwt-secret-file").arg(file("secret"));
    command.arg("--json").arg(file("result.json"));
    for (place, gateway) in deployment.fleet.gateways.iter().enumerate() {
        command.args(["--url", &deployment.gateway_url(place)]);
        command.arg("--watch").arg(format!("gateway{place}={}", gateway.pid().context("a pid")?));
    }
    command.args(["--redis-url", &deployment.redis.url(), "--database-url", &deployment.postgres.url("chat")]);
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("running loadtest")?;
    let result = std::fs::read_to_string(file("result.json")).with_context(|| format!("{output:?}"))?;
    Ok((output, serde_json::from_str(&result)?))
}

fn check(output: &Output, result: &Value) -> Result<u64> {
    let nothing = serde_json::json!({});
    ensure!(result["refused"] == nothing && result["failures"] == nothing, "{result:#}");
    for finding in ["lost", "out_of_order", "unanswered", "closed"] {
        ensure!(result["verification"][finding] == 0, "{finding}: {result:#}");
    }
    // The server may deliver twice, if a worker loses its lease at a bad moment.
    let ok = result["verification"]["duplicates"] == 0 && result["verification"]["seq_gaps"] == 0;
    ensure!(output.status.success() == ok && result["ok"] == ok, "{output:?} {result:#}");
    for pointer in ["/latency_ms/deliver/p50", "/redis/calls_per_message", "/groups/gateway1/rss_after_bytes"] {
        ensure!(result.pointer(pointer).and_then(Value::as_f64).is_some_and(|v| v > 0.0), "{pointer}: {result:#}");
    }
    result["verification"]["expected"].as_u64().context("what was expected")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_test_counts_what_is_stored() -> Result<()> {
    let deployment = Deployment::start("load", Options::default())?;
    let users: Vec<User> = (0..6).map(|_| deployment.user("load")).collect::<Result<_>>()?;

    let direct = ["direct", "--rate", "200", "--duration", "2s", "--client-ids"];
    let (output, result) = loadtest(&deployment, &users, &direct).await?;
    let expected = check(&output, &result)?;
    let stored: u64 = deployment.sql("SELECT count(*) FROM private_messages")?.parse()?;
    ensure!(stored >= 300 && expected == 2 * stored, "{stored} stored, {expected} deliveries expected");

    let group = ["group", "--members", "3", "--senders", "2", "--closed", "2", "--duration", "1s", "--processes", "2"];
    let (output, result) = loadtest(&deployment, &users, &group).await?;
    let expected = check(&output, &result)?;
    let in_groups = "SELECT count(*) FROM private_messages WHERE recipient_id IS NULL";
    let stored: u64 = deployment.sql(in_groups)?.parse()?;
    ensure!(stored > 0 && expected == 3 * stored, "{stored} stored, {expected} deliveries expected");
    ensure!(result["processes"] == 2, "{result:#}");
    ensure!(result.pointer("/latency_ms/to_the_last/count").is_some(), "{result:#}");
    Ok(())
}
