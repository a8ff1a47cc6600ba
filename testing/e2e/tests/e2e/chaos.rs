//! A short run of `cargo xtask chaos`, with a seed that stops a worker beyond its lease, empties Redis, and cuts clients off.

use std::path::Path;

use anyhow::{Result, ensure};
use chaos::Plan;

#[tokio::test(flavor = "multi_thread")]
async fn faults_in_sequence_lose_nothing() -> Result<()> {
    let plan = Plan {
        seconds: 20,
        seed: 11,
        gateways: 2,
        workers: 2,
        people: 6,
        pairs: false,
        keep: Path::new(env!("CARGO_TARGET_TMPDIR")).join("chaos"),
    };
    let report = chaos::run(&plan, &|line| println!("{line}")).await?;
    println!("{report}");
    ensure!(report.violations.is_empty(), "{report}");
    ensure!(report.timeline.len() >= 2, "hardly anything happened: {report}");
    Ok(())
}
