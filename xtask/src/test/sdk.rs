//! The TypeScript SDK: types, lints, tests, sizes, and the package as it would be published. Nothing else needs Node, so without
//! it this part is not checked, except in CI, where it must not be left out unnoticed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use devstack::install;

use super::report::Outcome;
use crate::workspace::Workspace;

const OLDEST_NODE: u32 = 20;

/// One thing to run in `sdk/`.
pub struct Check {
    pub name: &'static str,
    script: &'static str,
}

/// In this order: the package's checks read what the build wrote.
pub const CHECKS: [Check; 5] = [
    Check { name: "SDK: build", script: "build" },
    Check { name: "SDK: types", script: "typecheck" },
    Check { name: "SDK: lints", script: "lint" },
    Check { name: "SDK: tests and sizes", script: "test" },
    Check { name: "SDK: package", script: "package" },
];

/// The folder, with the packages of the lock file installed; `None` without Node or a registry.
pub fn prepare(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let folder = workspace.root.join("sdk");
    if !is_recent_enough(node_version().as_deref()) {
        println!("installing Node and npm");
        if let Err(error) = install::install("Node", vec!["nodejs", "npm"], &mut |line| println!("{line}")) {
            println!("{error:#}");
        }
    }
    if !is_recent_enough(node_version().as_deref()) || !install::has_program("npm") {
        println!("there is no Node {OLDEST_NODE} or newer with npm");
        return Ok(None);
    }
    if is_installed(&folder) {
        return Ok(Some(folder));
    }
    let status = npm(&folder, &["ci", "--no-audit", "--no-fund"]).status().context("running npm ci")?;
    Ok(status.success().then_some(folder))
}

/// What it means that the SDK cannot be checked here.
pub fn not_checked() -> Outcome {
    println!("\n!!! The SDK was NOT CHECKED: there is no Node, or npm cannot install. !!!");
    if std::env::var_os("CI").is_some() { Outcome::failed(1) } else { Outcome::not_checked("no Node or no packages") }
}

pub fn run(folder: &Path, check: &Check) -> Result<Outcome> {
    let status = npm(folder, &["run", "--silent", check.script]).status().context("running npm")?;
    Ok(Outcome::of(status.success()))
}

fn npm(folder: &Path, args: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(args).current_dir(folder);
    npm
}

/// npm keeps a copy of the lock file with what it installed; `npm ci` would remove and fetch everything again.
fn is_installed(folder: &Path) -> bool {
    let time = |path: &str| std::fs::metadata(folder.join(path)).and_then(|file| file.modified());
    let (Ok(lock), Ok(installed)) = (time("package-lock.json"), time("node_modules/.package-lock.json")) else {
        return false;
    };
    installed >= lock
}

fn node_version() -> Option<String> {
    let output = Command::new("node").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_recent_enough(version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST_NODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_20_and_newer_is_recent_enough() {
        assert!(is_recent_enough(Some("v20.20.2")));
        assert!(is_recent_enough(Some("v24.0.0")));
        assert!(!is_recent_enough(Some("v18.19.1")));
        assert!(!is_recent_enough(Some("20")));
        assert!(!is_recent_enough(None));
    }
}
