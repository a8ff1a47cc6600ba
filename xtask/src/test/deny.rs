//! `cargo deny`, installed below `target/tools` when it is not there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::install;

use super::output::run_and_keep;
use super::report::Outcome;
use crate::workspace::Workspace;

const VERSION: &str = "^0.20";

pub fn check_packages(workspace: &Workspace) -> Result<Outcome> {
    let (success, output) = check(workspace, &["bans", "licenses", "sources"])?;
    if success {
        // The many lines before are about packages that are there in two versions.
        println!("{}", output.lines().last().unwrap_or_default());
    } else {
        println!("{output}");
    }
    Ok(Outcome::of(success))
}

/// The database of advisories comes from the network; without one, nothing can be said.
pub fn check_advisories(workspace: &Workspace) -> Result<Outcome> {
    let (success, output) = check(workspace, &["advisories"])?;
    println!("{output}");
    if !success && is_fetch_failure(&output) {
        println!("\n!!! Known vulnerabilities were NOT CHECKED: the database of advisories cannot be fetched. !!!");
        return Ok(Outcome::not_checked("no network"));
    }
    Ok(Outcome::of(success))
}

fn is_fetch_failure(output: &str) -> bool {
    output.contains("failed to fetch advisory database")
}

fn check(workspace: &Workspace, what: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(program(workspace)?);
    command.args(["--color", "never", "check", "--hide-inclusion-graph"]).args(what).current_dir(&workspace.root);
    let (status, output) = run_and_keep(&mut command, false)?;
    Ok((status.success(), output.trim_end().to_owned()))
}

fn program(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = install::find_program("cargo-deny") {
        return Ok(found);
    }
    let root = workspace.target_dir.join("tools");
    let installed = root.join("bin/cargo-deny");
    if !installed.is_file() {
        println!("installing cargo-deny below {} (takes minutes, once)", root.display());
        let mut cargo = workspace.cargo(&["install", "cargo-deny", "--locked", "--version", VERSION, "--root"]);
        let status = cargo.arg(&root).status().context("running cargo install")?;
        if !status.success() {
            bail!("cargo-deny could not be installed ({status})");
        }
    }
    Ok(installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_network_is_told_from_a_finding() {
        assert!(is_fetch_failure("[ERROR] failed to fetch advisory database https://github.com/RustSec/advisory-db"));
        assert!(!is_fetch_failure("error[vulnerability]: something\nadvisories FAILED"));
    }
}
