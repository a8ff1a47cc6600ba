//! An agent process: reads its plan from standard input, runs it on one thread, and reports on standard output.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::LocalSet;

use crate::plan::{Plan, Said};
use crate::scenario;

/// Runs to the end of the plan; a failure is reported to the directing process, too.
pub fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime")?;
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let plan = lines.next_line().await?.context("no plan came")?;
        let plan: Plan = serde_json::from_str(&plan).context("the plan")?;
        scenario::run(plan, lines).await
    });
    match result {
        Ok(tally) => Said::Finished(Box::new(tally)).say(),
        Err(error) => Said::Failed(format!("{error:#}")).say(),
    }
}
