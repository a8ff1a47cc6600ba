//! The servers of the previous release, which the upgrade tests run beside the present ones. They are built once, from
//! the commit of that release, and share dependencies with the present build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::report::Outcome;
use crate::workspace::Workspace;

/// Release 0.1.0.
const COMMIT: &str = "cb217db5adfd4ad00142bd7d52d53d6feb8c3583";
const PROGRAMS: [&str; 2] = ["gateway", "worker"];

/// The program with the upgrade tests.
pub const TESTS: &str = "upgrade";

/// Returns the filter for the upgrade tests whose names, or whose program's name, contain `name`; `None` if there is
/// no such test.
pub fn tests_named<'a>(workspace: &Workspace, name: Option<&'a str>) -> Option<Option<&'a str>> {
    let Some(name) = name.filter(|name| !TESTS.contains(name)) else { return Some(None) };
    let source = std::fs::read_to_string(workspace.root.join(format!("testing/e2e/tests/{TESTS}.rs"))).ok()?;
    let mut tests =
        source.split("#[tokio::test").skip(1).filter_map(|test| test.split("fn ").nth(1)?.split('(').next());
    tests.any(|test| test.contains(name)).then_some(Some(name))
}

/// Returns the folder where [`build`] puts the programs.
pub fn bin_dir(workspace: &Workspace) -> PathBuf {
    folder(workspace).join(COMMIT)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target_dir.join("previous")
}

/// Builds the previous release unless it is already built. Must come before the present build, whose programs have the
/// same names in the same folder.
pub fn build(workspace: &Workspace) -> Result<Outcome> {
    let bin_dir = bin_dir(workspace);
    if PROGRAMS.iter().all(|program| bin_dir.join(program).exists()) {
        println!("in {}", bin_dir.display());
        return Ok(Outcome::passed(1));
    }
    if !has_commit(&workspace.root) {
        println!(
            "\n!!! The upgrade from the previous release is NOT CHECKED: its commit {COMMIT} is not in this clone; \
             `git fetch --unshallow` gets it. !!!"
        );
        let fails = std::env::var_os("CI").is_some();
        return Ok(if fails { Outcome::failed(1) } else { Outcome::not_checked("no history") });
    }
    let source = folder(workspace).join("source");
    unpack(&workspace.root, &source)?;
    // The whole workspace, so that dependencies have the same features as in the present build, and are shared with it.
    let mut args = vec!["build", "--workspace"];
    args.extend(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    let mut cargo = workspace.cargo(&args);
    let status = cargo.current_dir(&source).env("SQLX_OFFLINE", "true").status().context("running cargo build")?;
    if !status.success() {
        return Ok(Outcome::failed(1));
    }
    std::fs::create_dir_all(&bin_dir)?;
    for program in PROGRAMS {
        std::fs::copy(workspace.target_dir.join("debug").join(program), bin_dir.join(program))
            .with_context(|| format!("copying {program}"))?;
    }
    Ok(Outcome::passed(1))
}

fn has_commit(root: &Path) -> bool {
    let mut git = Command::new("git");
    git.args(["cat-file", "-e", COMMIT]).current_dir(root).stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

fn unpack(root: &Path, source: &Path) -> Result<()> {
    std::fs::create_dir_all(source)?;
    let mut archive = Command::new("git")
        .args(["archive", COMMIT])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("running git archive")?;
    let output = archive.stdout.take().context("the output of git archive")?;
    let unpacked = Command::new("tar").arg("-x").current_dir(source).stdin(output).status().context("running tar")?;
    if !archive.wait()?.success() || !unpacked.success() {
        bail!("the previous release could not be unpacked");
    }
    Ok(())
}
