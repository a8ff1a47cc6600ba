//! Installing what is missing with apt, after saying so.
//!
//! Debian's packages start system-wide services of their own. They are left alone: our private instances never use the
//! default ports 5432 and 6379, nor the packages' data folders.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::programs::{self, Missing, Programs};
use crate::python;

/// Finds the programs, installing them when they are missing; `say` gets lines for the person waiting.
pub fn ensure(say: &mut dyn FnMut(&str)) -> Result<Programs> {
    match Programs::find() {
        Ok(found) => Ok(found),
        Err(missing) => {
            install(&missing, say)?;
            Programs::find().map_err(|still| {
                anyhow::anyhow!(
                    "apt has no {}; install it by hand, or use `docker compose up` with the compose file at the root",
                    still.describe()
                )
            })
        }
    }
}

/// The same for a Python with the package `websockets`, which only a test needs.
pub fn ensure_python(say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if let Some(found) = python::find() {
        return Ok(found);
    }
    install(&Missing { python: true, ..Missing::default() }, say)?;
    python::find().context("python3 cannot import the package websockets though it was installed")
}

fn install(missing: &Missing, say: &mut dyn FnMut(&str)) -> Result<()> {
    let path = programs::search_path();
    let have = |name: &str| programs::find_file(&path, name);
    let is_root = rustix::process::geteuid().is_root();
    let may_sudo = !is_root && have("sudo").is_some_and(|sudo| may_sudo_without_password(&sudo));
    match plan(missing, have("apt-get").is_some(), is_root, may_sudo, have("docker").is_some()) {
        Plan::Apt { prefix, packages } => {
            say(&format!("{} not found: installing {} with apt", missing.describe(), packages.join(" ")));
            apt(&prefix, &["update"])?;
            let mut args = vec!["install", "--yes", "--no-install-recommends"];
            args.extend(&packages);
            apt(&prefix, &args)
        }
        Plan::GiveUp(message) => bail!(message),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Apt { prefix: Vec<&'static str>, packages: Vec<&'static str> },
    GiveUp(String),
}

fn plan(missing: &Missing, apt: bool, is_root: bool, may_sudo: bool, docker: bool) -> Plan {
    let mut packages = Vec::new();
    if missing.postgres {
        packages.extend(["postgresql", "postgresql-client"]);
    }
    if missing.redis {
        packages.push("redis-server");
    }
    if missing.python {
        packages.extend(["python3", python::PACKAGE]);
    }
    let what = missing.describe();
    let compose = "`docker compose up` runs everything in containers instead";
    match (apt, is_root || may_sudo, docker) {
        (true, true, _) => Plan::Apt { prefix: if is_root { vec![] } else { vec!["sudo", "-n"] }, packages },
        (true, false, docker) => {
            let hint = if docker { format!("; or: {compose}") } else { String::new() };
            Plan::GiveUp(format!(
                "missing: {what}. Installing needs root: run `sudo apt-get install {}` and try again{hint}",
                packages.join(" ")
            ))
        }
        (false, _, true) => Plan::GiveUp(format!("missing: {what}, and there is no apt to install it; {compose}")),
        (false, _, false) => Plan::GiveUp(format!(
            "missing: {what}. There is neither apt nor docker here: install it with this system's package manager, on \
             the PATH"
        )),
    }
}

fn may_sudo_without_password(sudo: &Path) -> bool {
    quiet(Command::new(sudo).args(["-n", "true"]))
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn apt(prefix: &[&str], args: &[&str]) -> Result<()> {
    // Through `env`, because sudo drops variables. The lock may be held by an unattended upgrade.
    let words: Vec<&str> =
        [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"], args]
            .concat();
    let (program, rest) = words.split_first().context("empty command")?;
    let status = Command::new(program).args(rest).stdin(Stdio::null()).status().context("running apt-get")?;
    if !status.success() {
        bail!("`{}` failed ({status})", words.join(" "));
    }
    Ok(())
}

/// Whether a program of this name can be run.
pub fn has_program(name: impl AsRef<OsStr>) -> bool {
    find_program(name).is_some()
}

pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    programs::find_file(&programs::search_path(), name.as_ref().to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Missing = Missing { postgres: true, redis: true, python: false };

    #[test]
    fn installs_as_root_or_with_sudo() {
        assert_eq!(
            plan(&BOTH, true, true, false, true),
            Plan::Apt { prefix: vec![], packages: vec!["postgresql", "postgresql-client", "redis-server"] }
        );
        let only_redis = Missing { postgres: false, redis: true, python: false };
        assert_eq!(
            plan(&only_redis, true, false, true, false),
            Plan::Apt { prefix: vec!["sudo", "-n"], packages: vec!["redis-server"] }
        );
        let only_python = Missing { python: true, ..Missing::default() };
        assert_eq!(
            plan(&only_python, true, true, false, true),
            Plan::Apt { prefix: vec![], packages: vec!["python3", "python3-websockets"] }
        );
    }

    #[test]
    fn otherwise_says_what_to_do() {
        let text = |plan| match plan {
            Plan::GiveUp(text) => text,
            Plan::Apt { .. } => panic!("should not install"),
        };
        assert!(text(plan(&BOTH, false, true, false, true)).contains("docker compose up"));
        let neither = text(plan(&BOTH, false, false, false, false));
        assert!(neither.contains("PostgreSQL 15") && neither.contains("Redis 7") && !neither.contains("compose"));
        assert!(text(plan(&BOTH, true, false, false, false)).contains("sudo apt-get install postgresql"));
    }
}
