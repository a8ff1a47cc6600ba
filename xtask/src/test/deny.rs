//! `cargo deny`, installed below `target/tools` when it is not there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

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

/// What may be said with a database of advisories that is older: nothing.
const MAX_DATABASE_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

/// The database of advisories comes from the network and is kept below `CARGO_HOME`; without a network, what is kept is used.
pub fn check_advisories(workspace: &Workspace) -> Result<Outcome> {
    let (mut success, mut output) = check(workspace, &["advisories"])?;
    if !success && is_fetch_failure(&output) {
        println!("the database of advisories cannot be fetched; using the one from before, if there is one");
        (success, output) = check(workspace, &["--disable-fetch", "advisories"])?;
    }
    println!("{output}");
    let database = newest_database();
    match &database {
        Some(database) => println!("the database of advisories is of {}", database.date),
        None => println!("\n!!! Known vulnerabilities were NOT CHECKED: there is no database of advisories. !!!"),
    }
    Ok(judge(success, database.map(|database| database.age), std::env::var_os("CI").is_some()))
}

/// An old database finds what it knows, and its silence means nothing.
fn judge(success: bool, age: Option<Duration>, is_ci: bool) -> Outcome {
    match age {
        Some(age) if age <= MAX_DATABASE_AGE => Outcome::of(success),
        Some(_) if !success || is_ci => Outcome::failed(1),
        Some(_) => Outcome::not_checked("the database of advisories is older than 90 days"),
        None if is_ci => Outcome::failed(1),
        None => Outcome::not_checked("no network"),
    }
}

struct Database {
    /// Of its last change.
    date: String,
    age: Duration,
}

/// Where `cargo deny` keeps it: a clone for each address, in a folder whose name it makes up.
fn newest_database() -> Option<Database> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let clones = ["advisory-dbs", "advisory-db"].map(|folder| home.join(folder));
    let clones = clones.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    clones.filter_map(|clone| database(&clone.path())).min_by_key(|database| database.age)
}

fn database(clone: &Path) -> Option<Database> {
    let output = Command::new("git").arg("-C").arg(clone).args(["log", "-1", "--format=%ct %cs"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (seconds, date) = text.trim().split_once(' ')?;
    let changed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse().ok()?);
    Some(Database { date: date.to_owned(), age: changed_at.elapsed().unwrap_or_default() })
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
    fn an_old_database_is_no_check_and_in_ci_a_failure() {
        let day = Duration::from_secs(24 * 3600);
        let word = |success, age: Option<u32>, is_ci| {
            let outcome = judge(success, age.map(|days| day * days), is_ci);
            (outcome.passed, outcome.failed, outcome.not_checked.is_some())
        };
        assert_eq!(word(true, Some(90), true), (1, 0, false));
        assert_eq!(word(false, Some(1), false), (0, 1, false));
        assert_eq!(word(true, Some(91), true), (0, 1, false));
        assert_eq!(word(true, Some(91), false), (0, 0, true));
        assert_eq!(word(false, Some(91), false), (0, 1, false), "what it knows is known");
        assert_eq!(word(false, None, true), (0, 1, false));
        assert_eq!(word(false, None, false), (0, 0, true));
    }

    #[test]
    fn a_missing_network_is_told_from_a_finding() {
        assert!(is_fetch_failure("[ERROR] failed to fetch advisory database https://github.com/RustSec/advisory-db"));
        assert!(!is_fetch_failure("error[vulnerability]: something\nadvisories FAILED"));
    }
}
