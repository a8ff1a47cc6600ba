//! Node and npm, for the SDK and the web client. Nothing else needs them, so callers decide what their absence means.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use devstack::install;

use crate::workspace::Workspace;

const OLDEST: u32 = 20;

/// Installs the packages of a folder's lock file and returns the folder; `None` without Node or a registry.
pub fn packages(workspace: &Workspace, folder: &str) -> Result<Option<PathBuf>> {
    let folder = workspace.root.join(folder);
    if !is_there() {
        println!("there is no Node {OLDEST} or newer with npm");
        return Ok(None);
    }
    if is_installed(&folder) {
        return Ok(Some(folder));
    }
    let status = npm(&folder, &["ci", "--no-audit", "--no-fund"]).status().context("running npm ci")?;
    Ok(status.success().then_some(folder))
}

/// Installs Node if system packages can be installed.
pub fn ensure() {
    if is_there() {
        return;
    }
    println!("installing Node and npm");
    if let Err(error) = install::install("Node", vec!["nodejs", "npm"], &mut |line| println!("{line}")) {
        println!("{error:#}");
    }
}

pub fn is_there() -> bool {
    is_recent_enough(version().as_deref()) && install::has_program("npm")
}

pub fn npm(folder: &Path, args: &[&str]) -> Command {
    let mut npm = Command::new("npm");
    npm.args(args).current_dir(folder);
    npm
}

/// Returns true if the packages are up to date: npm keeps a copy of the lock file, and `npm ci` would fetch everything
/// again.
fn is_installed(folder: &Path) -> bool {
    let time = |path: &str| std::fs::metadata(folder.join(path)).and_then(|file| file.modified());
    let (Ok(lock), Ok(installed)) = (time("package-lock.json"), time("node_modules/.package-lock.json")) else {
        return false;
    };
    installed >= lock
}

fn version() -> Option<String> {
    let output = Command::new("node").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_recent_enough(version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST)
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
