//! Prometheus with the deployed configuration and rules scrapes a fleet; every expression of the rules and the
//! dashboard finds its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Prometheus, testing, wait};
use e2e::{Deployment, Front, Options, repository};
use serde_json::{Value, json};

const EVALUATED_WITHIN: Duration = Duration::from_secs(120);

/// Returns the `data` of an answer of the HTTP API; fails with its error.
fn api(prometheus: &Prometheus, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
    let answer: Value = serde_json::from_str(&prometheus.api(path, parameters)?)?;
    ensure!(answer["status"] == "success", "{parameters:?}: {}", answer["error"]);
    Ok(answer["data"].clone())
}

/// Returns the series that an expression names: `gateway_connections`, `gateway_errors_total{code="INTERNAL_ERROR"}`.
fn selectors(expression: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let is_metric = name == "up"
            || name.starts_with("nginx_")
            || name.starts_with("gateway_")
            || name.starts_with("chat_worker_");
        let labels = after.strip_prefix('{').and_then(|labels| labels.split_once('}'));
        rest = labels.map_or(after, |(_, rest)| rest);
        if is_metric {
            found.insert(labels.map_or(name.to_owned(), |(labels, _)| format!("{name}{{{labels}}}")));
        }
    }
    found
}

/// Collects all values under `key`, at any depth.
fn collect<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str));
            map.values().for_each(|value| collect(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, key, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_rules_and_dashboard_finds_its_metrics() -> Result<()> {
    let deployment = Deployment::start("prometheus", Options::default())?;
    let front = Front::start(&deployment)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let mut client = deployment.login(0, &alice).await?;
    client.request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": "counted"})).await?;

    let addresses = |servers: &[devstack::Server]| -> Vec<String> {
        servers.iter().map(|server| format!("127.0.0.1:{}", server.spec().port)).collect()
    };
    let targets = BTreeMap::from([
        ("gateway", addresses(&deployment.fleet.gateways)),
        ("worker", addresses(&deployment.fleet.workers)),
        ("nginx", vec![front.nginx.metrics_url().replace("http://", "").replace("/metrics", "")]),
    ]);
    let program = testing::find_tool("prometheus")?;
    let deployed = repository("deploy/prometheus");
    let mut prometheus = Prometheus::open(&program, deployment.logs(), &deployed, &targets, "500ms")?;
    prometheus.start()?;

    // Every target was scraped, and every rule was evaluated afterwards.
    let rules = wait::until("all targets are up and all rules evaluated", EVALUATED_WITHIN, || {
        let up = api(&prometheus, "query", &[("query", "count(up == 1)")])?;
        let rules = api(&prometheus, "rules", &[])?;
        let mut health = Vec::new();
        collect(&rules, "health", &mut health);
        let all = up["result"][0]["value"][1] == "5" && health.iter().all(|health| *health != "unknown");
        Ok(all.then_some(rules))
    })?;
    let group = &rules["groups"][0];
    let rules = group["rules"].as_array().context("rules")?;
    ensure!(rules.len() > 10, "{} rules", rules.len());
    for rule in rules {
        ensure!(rule["health"] == "ok", "{}: {}", rule["name"], rule["lastError"]);
        ensure!(rule["state"] != "firing", "{} fires for a healthy fleet", rule["name"]);
    }

    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(repository("deploy/grafana/dashboards/chat.json"))?)?;
    let mut expressions = Vec::new();
    rules.iter().for_each(|rule| collect(rule, "query", &mut expressions));
    collect(&dashboard, "expr", &mut expressions);
    ensure!(expressions.len() > 50, "{} expressions", expressions.len());
    let mut missing = BTreeSet::new();
    for expression in expressions {
        // What Grafana fills in.
        let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "5m");
        ensure!(!expression.contains('$'), "{expression} has a variable that nobody fills in");
        api(&prometheus, "query", &[("query", &expression)]).with_context(|| expression.clone())?;
        let selectors = selectors(&expression);
        ensure!(!selectors.is_empty(), "{expression} names no metric");
        for selector in selectors {
            let series = api(&prometheus, "query", &[("query", &format!("count({selector})"))])?;
            if series["result"].as_array().is_none_or(Vec::is_empty) {
                missing.insert(selector);
            }
        }
    }
    ensure!(missing.is_empty(), "nobody exposes {missing:?}");
    prometheus.stop()
}
