//! The memory of servers without work and of idle connections.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::plot::Chart;
use super::section::{Section, cell};
use super::setup::Setup;
use super::site::Site;
use super::target::{Figure, at, number};

/// Within ten seconds, processes release the memory of their start, mostly 16 MiB for each key.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
const MIB: f64 = 1024.0 * 1024.0;

pub fn measure(setup: &Setup) -> Result<Section> {
    let most = setup.sizes.idle.iter().copied().max().unwrap_or(0);
    let mut site = Site::start(setup, most)?;
    std::thread::sleep(SETTLED_AFTER);
    let [gateways, workers] = site.resident_bytes()?;
    let mut idle: Vec<(usize, Value)> = Vec::new();
    for connections in setup.sizes.idle {
        if !idle.is_empty() {
            site.restart_fleet()?;
            std::thread::sleep(SETTLED_AFTER);
        }
        let label = format!("{connections} idle connections");
        let args = ["--deflate", "--connect-rate", "500", "--rate", "500", "--settle", "3s", "--duration", "3s"];
        idle.push((*connections, site.loadtest(&label, "idle", 0..*connections, &args)?));
    }
    let mut section = Section::new("Memory");
    for (connections, result) in &idle {
        section.check(&format!("{connections} idle"), result);
    }
    let megabytes = |of: &[u64]| of.iter().max().map(|bytes| *bytes as f64 / 1e6);
    let kib = |name: &str| idle.last().and_then(|(_, result)| of_gateways(result, name)).map(|bytes| bytes / 1024.0);
    section.figures = vec![
        Figure::at_most("gateway memory per idle connection", kib("rss_per_connection_bytes"), 3.3, "KiB"),
        Figure::at_most("and after a message each way", kib("rss_growth_per_connection_bytes"), 1.0, "KiB more"),
        Figure::at_most("gateway without connections", megabytes(&gateways), 12.0, "MB"),
        Figure::at_most("worker without work", megabytes(&workers), 25.0, "MB"),
    ];
    section.text("![Memory against connections](benchmarks-memory.svg)");
    let row = |(connections, result): &(usize, Value)| {
        let in_unit = |name: &str, unit: f64| cell(of_gateways(result, name).map(|bytes| bytes / unit));
        vec![
            number(*connections as f64),
            in_unit("rss_connected_bytes", MIB),
            in_unit("rss_per_connection_bytes", 1024.0),
            in_unit("rss_growth_per_connection_bytes", 1024.0),
        ]
    };
    let heads = [
        "idle connections, with permessage-deflate",
        "both gateways, MiB",
        "KiB each",
        "KiB more after a message each way",
    ];
    section.table(&heads, idle.iter().map(row));
    section.plots.push(("benchmarks-memory.svg".to_owned(), chart(&idle)));
    Ok(section)
}

fn of_gateways(result: &Value, name: &str) -> Option<f64> {
    at(result, &format!("/groups/gateway/{name}"))
}

fn chart(idle: &[(usize, Value)]) -> String {
    let series = |name: &str| {
        let before = idle.first().and_then(|(_, result)| of_gateways(result, "rss_before_bytes"));
        let first = before.map(|bytes| (0.0, bytes / MIB));
        let point =
            |(connections, result): &(usize, Value)| Some((*connections as f64, of_gateways(result, name)? / MIB));
        first.into_iter().chain(idle.iter().filter_map(point)).collect::<Vec<_>>()
    };
    Chart {
        title: "Memory of both gateways",
        x: "idle connections",
        y: "MiB",
        series: vec![("idle", series("rss_connected_bytes")), ("after a message", series("rss_after_bytes"))],
    }
    .render()
}
