//! `cargo deny`, installed below `target/tools` if it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use devstack::install;

use super::output::run_and_keep;
use super::report::Outcome;
use crate::workspace::Workspace;

const VERSION: &str = "^0.20";
const OFFLINE: &[&str] = &["--offline"];

pub fn check_packages(workspace: &Workspace) -> Result<Outcome> {
    let (success, output) = Deny::find(workspace)?.check(&[], &["bans", "licenses", "sources"])?;
    if success {
        // The many lines before are about packages that occur in two versions.
        println!("{}", output.lines().last().unwrap_or_default());
    } else {
        println!("{output}");
    }
    Ok(Outcome::of(success))
}

/// If the database is older, no findings mean nothing.
const MAX_DATABASE_AGE: Duration = Duration::from_secs(90 * 24 * 3600);

/// Checks against the database of advisories, which is fetched and kept below `CARGO_HOME`. Without a network the
/// database of an earlier run is used; without one, or if it is too old, the result is unknown.
pub fn check_advisories(workspace: &Workspace) -> Result<Outcome> {
    let deny = Deny::find(workspace)?;
    let (mut success, mut output) = deny.check(&[], &["advisories"])?;
    let is_fetched = success || !is_fetch_failure(&output);
    let mut database = newest_database(&deny.home);
    if !is_fetched {
        println!("the database of advisories cannot be fetched; the one of an earlier run is used if there is one");
        if database.is_some() {
            (success, output) = deny.check(OFFLINE, &["advisories"])?;
            // A database that cannot be read was not checked.
            database = database.filter(|_| success || !output.contains("advisory database"));
        }
    }
    println!("{output}");
    if let Some(database) = &database {
        println!("the database of advisories is of {}", database.date);
    }
    let outcome = judge(success, is_fetched, database.map(|database| database.age));
    if let Some(reason) = &outcome.not_checked {
        println!("\n!!! Known vulnerabilities were NOT CHECKED: {reason}. !!!");
    }
    Ok(outcome)
}

/// Findings from an old database count. A database that is old although it was just fetched is no longer maintained:
/// configure another one.
fn judge(success: bool, is_fetched: bool, age: Option<Duration>) -> Outcome {
    match age {
        Some(age) if age <= MAX_DATABASE_AGE => Outcome::of(success),
        Some(_) if !success || is_fetched => Outcome::of(false),
        // It is the newest there is, wherever it is stored.
        None if is_fetched => Outcome::of(success),
        Some(_) => Outcome::not_checked("no network, and the database of advisories is older than 90 days"),
        None => Outcome::not_checked("no network, and no database of advisories from before"),
    }
}

struct Database {
    /// The date of its last change.
    date: String,
    age: Duration,
}

/// `cargo deny` keeps a clone for each address, in a folder with a generated name.
fn newest_database(home: &Path) -> Option<Database> {
    let clones = std::fs::read_dir(home.join("advisory-dbs")).ok()?.flatten();
    clones.filter_map(|clone| database(&clone.path())).min_by_key(|database| database.age)
}

fn database(clone: &Path) -> Option<Database> {
    if !clone.join(".git").exists() && !clone.join("HEAD").exists() {
        return None;
    }
    let output = Command::new("git").arg("-C").arg(clone).args(["log", "-1", "--format=%ct %cs"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (seconds, date) = text.trim().split_once(' ')?;
    let changed_at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.parse().ok()?);
    Some(Database { date: date.to_owned(), age: changed_at.elapsed().unwrap_or_default() })
}

fn is_fetch_failure(output: &str) -> bool {
    output.contains("failed to fetch advisory database")
}

struct Deny {
    program: PathBuf,
    root: PathBuf,
    /// `CARGO_HOME`, with the databases of advisories.
    home: PathBuf,
}

impl Deny {
    fn find(workspace: &Workspace) -> Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        Ok(Self { program: program(workspace)?, root: workspace.root.clone(), home: home.context("no CARGO_HOME")? })
    }

    fn check(&self, options: &[&str], what: &[&str]) -> Result<(bool, String)> {
        let mut command = Command::new(&self.program);
        command.args(["--color", "never"]).args(options).args(["check", "--hide-inclusion-graph"]).args(what);
        let (status, output) = run_and_keep(command.current_dir(&self.root).env("CARGO_HOME", &self.home), false)?;
        Ok((status.success(), output.trim_end().to_owned()))
    }
}

fn program(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(found) = installed(workspace) {
        return Ok(found);
    }
    let root = workspace.target_dir.join("tools");
    println!("installing cargo-deny below {} (takes a minute or two, once)", root.display());
    // Without optimisation, which would take longer than the checks.
    let mut cargo = workspace.cargo(&["install", "cargo-deny", "--debug", "--locked", "--version", VERSION, "--root"]);
    let status = cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").arg(&root).status().context("running cargo install")?;
    if !status.success() {
        bail!("cargo-deny could not be installed ({status})");
    }
    installed(workspace).context("cargo-deny")
}

fn installed(workspace: &Workspace) -> Option<PathBuf> {
    let ours = workspace.target_dir.join("tools/bin/cargo-deny");
    install::find_program("cargo-deny").or_else(|| ours.is_file().then_some(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_database_fails_with_a_network_and_is_no_check_without() {
        let day = Duration::from_secs(24 * 3600);
        let word = |success, is_fetched, age: Option<u32>| {
            let outcome = judge(success, is_fetched, age.map(|days| day * days));
            (outcome.passed, outcome.failed, outcome.not_checked.is_some())
        };
        assert_eq!(word(true, true, Some(90)), (1, 0, false));
        assert_eq!(word(false, true, Some(1)), (0, 1, false));
        assert_eq!(word(true, true, Some(91)), (0, 1, false), "a mirror that nobody renews");
        assert_eq!(word(true, true, None), (1, 0, false), "it was fetched just now");
        assert_eq!(word(true, false, Some(90)), (1, 0, false));
        assert_eq!(word(false, false, Some(91)), (0, 1, false), "what it knows is known");
        assert_eq!(word(true, false, Some(91)), (0, 0, true));
        assert_eq!(word(false, false, None), (0, 0, true));
    }

    /// Makes a database of 3 February 2020 with one advisory, about `serde`, where `cargo deny` looks for that of RustSec.
    fn make_database(home: &Path) {
        let clone = home.join("advisory-dbs/advisory-db-3157b0e258782691");
        let advisory = "```toml\n[advisory]\nid = \"RUSTSEC-2020-9999\"\npackage = \"serde\"\ndate = \"2020-02-02\"\n\
                        [versions]\npatched = []\n```\n\n# Made up for a test\n";
        std::fs::create_dir_all(clone.join("crates/serde")).unwrap();
        std::fs::write(clone.join("crates/serde/RUSTSEC-2020-9999.md"), advisory).unwrap();
        assert!(database(&clone).is_none(), "a folder that is no clone");
        for arguments in ["init --quiet", "add .", "commit --quiet --message=Advisory"] {
            let mut git = Command::new("git");
            git.arg("-C").arg(&clone).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
            for date in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
                git.env(date, "2020-02-03T12:00:00Z");
            }
            assert!(git.args(arguments.split(' ')).output().unwrap().status.success(), "{arguments}");
        }
    }

    /// With the real program, so that options that it no longer has are noticed.
    #[test]
    fn the_database_from_before_is_read_without_a_network() {
        let workspace = Workspace::find(None).unwrap();
        let Some(program) = installed(&workspace) else {
            println!("!!! cargo deny was NOT CHECKED: it is not installed; `cargo xtask test lint` installs it. !!!");
            return;
        };
        let home = std::env::temp_dir().join(format!("chat-advisories-{}", std::process::id()));
        make_database(&home);
        let known = Deny::find(&workspace).unwrap().home;
        std::os::unix::fs::symlink(known.join("registry"), home.join("registry")).unwrap();
        let deny = Deny { program, root: workspace.root, home: home.clone() };
        let (success, output) = deny.check(OFFLINE, &["advisories"]).unwrap();
        let database = newest_database(&home).unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        assert!(!success && output.contains("RUSTSEC-2020-9999"), "{output}");
        assert_eq!(database.date, "2020-02-03");
        assert!(database.age > MAX_DATABASE_AGE);
    }

    #[test]
    fn a_missing_network_is_told_from_a_finding() {
        assert!(is_fetch_failure("[ERROR] failed to fetch advisory database https://github.com/RustSec/advisory-db"));
        assert!(!is_fetch_failure("error[vulnerability]: something\nadvisories FAILED"));
    }
}
