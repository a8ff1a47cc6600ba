//! The TypeScript SDK: types, lints, tests, sizes, and the package as it would be published. Without Node
//! this part is not checked, except in CI, where it must not be left out unnoticed.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::report::Outcome;
use crate::node::npm;

/// One thing to run in `sdk/`.
pub struct Check {
    pub name: &'static str,
    pub script: &'static str,
}

/// In this order: the package's checks read what the build wrote.
pub const CHECKS: [Check; 5] = [
    Check { name: "SDK: build", script: "build" },
    Check { name: "SDK: types", script: "typecheck" },
    Check { name: "SDK: lints", script: "lint" },
    Check { name: "SDK: tests and sizes", script: "test" },
    Check { name: "SDK: package", script: "package" },
];

/// What it means that the SDK cannot be checked here.
pub fn not_checked() -> Outcome {
    println!("\n!!! The SDK was NOT CHECKED: there is no Node, or npm cannot install. !!!");
    if std::env::var_os("CI").is_some() { Outcome::failed(1) } else { Outcome::not_checked("no Node or no packages") }
}

pub fn run(folder: &Path, check: &Check) -> Result<Outcome> {
    let status = npm(folder, &["run", "--silent", check.script]).status().context("running npm")?;
    Ok(Outcome::of(status.success()))
}
