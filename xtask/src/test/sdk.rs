//! The TypeScript SDK: types, lints, tests, sizes, and the package as it would be published. Without Node
//! this part is not checked, except in CI, where that is a failure.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use devstack::{Scratch, testing};

use super::output;
use super::report::Outcome;
use crate::node::npm;
use crate::workspace::Workspace;

/// One script to run in `sdk/`.
pub struct Check {
    pub name: &'static str,
    pub script: &'static str,
}

/// In this order: the package's checks read the build's output.
pub const CHECKS: [Check; 5] = [
    Check { name: "SDK: build", script: "build" },
    Check { name: "SDK: types", script: "typecheck" },
    Check { name: "SDK: lints", script: "lint" },
    Check { name: "SDK: tests and sizes", script: "test" },
    Check { name: "SDK: package", script: "package" },
];

/// Reports that the SDK cannot be checked here.
pub fn not_checked() -> Outcome {
    println!("\n!!! The SDK was NOT CHECKED: there is no Node, or npm cannot install. !!!");
    if std::env::var_os("CI").is_some() { Outcome::failed(1) } else { Outcome::not_checked("no Node or no packages") }
}

pub fn run(folder: &Path, check: &Check) -> Result<Outcome> {
    output::run_check(&mut npm(folder, &["run", "--silent", check.script]))
}

/// Tests the client's promises against real servers, which must have been built.
pub fn test_against_fleet(workspace: &Workspace, folder: &Path) -> Result<Outcome> {
    // With SOAK set, run the soak of docs/sdk.md instead.
    let script = if std::env::var_os("SOAK").is_some() { "soak" } else { "test:fleet" };
    on_fleet(workspace, npm(folder, &["run", "--silent", script]), "sdk")
}

/// Runs tests that start servers themselves: on private stores, with the built programs.
pub fn on_fleet(workspace: &Workspace, mut test: Command, database: &str) -> Result<Outcome> {
    let bin_dir = workspace.target_dir.join("debug");
    for program in ["gateway", "worker", "chatctl"] {
        let path = bin_dir.join(program);
        if !path.is_file() {
            bail!("{} is missing: build the workspace first", path.display());
        }
    }
    // Its guardian ends it in any case, even after Ctrl-C.
    let scratch = Scratch::new(database)?;
    let postgres = testing::start_postgres(&scratch)?;
    let redis = testing::start_redis(&scratch)?;
    let database_url = postgres.create_database(database)?;
    test.env(testing::DATABASE_URL_VARIABLE, database_url)
        .env(testing::REDIS_URL_VARIABLE, redis.url())
        .env(testing::BIN_DIR_VARIABLE, bin_dir);
    output::run_check(&mut test)
}
