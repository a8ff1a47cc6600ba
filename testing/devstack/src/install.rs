//! Installing what is missing with apt, after saying so.
//!
//! Debian's packages start system-wide services of their own. They are left alone: our private instances never use the
//! default ports 5432 and 6379, nor the packages' data folders.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::programs::{self, Programs};
use crate::python;

/// Finds the programs of the stores, installing them if they are missing; `say` gets lines for the user.
pub fn ensure(say: &mut dyn FnMut(&str)) -> Result<Programs> {
    let missing = match Programs::find() {
        Ok(found) => return Ok(found),
        Err(missing) => missing,
    };
    let mut packages = Vec::new();
    if missing.postgres {
        packages.extend(["postgresql", "postgresql-client"]);
    }
    if missing.redis {
        packages.push("redis-server");
    }
    install(&missing.describe(), packages, say)?;
    Programs::find().map_err(|still| {
        anyhow::anyhow!(
            "apt has no {}; install it by hand, or use `docker compose up` with the compose file at the root",
            still.describe()
        )
    })
}

/// What the end-to-end tests run in addition: programs and the Debian packages that contain them.
const TOOLS: [(&str, &str); 7] = [
    ("nginx", "nginx"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("redis-cli", "redis-tools"),
    ("pgbouncer", "pgbouncer"),
];

/// Ensures that nginx, Prometheus and the small tools are installed, as [`ensure`] does for the stores.
pub fn ensure_tools(say: &mut dyn FnMut(&str)) -> Result<()> {
    let missing = || TOOLS.into_iter().filter(|(program, _)| !has_program(program));
    let names: Vec<&str> = missing().map(|(program, _)| program).collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing().map(|(_, package)| package).collect();
    packages.dedup();
    install(&names.join(", "), packages, say)?;
    match missing().next() {
        Some((program, package)) => bail!("apt's {package} has no {program}; install it by hand, on the PATH"),
        None => Ok(()),
    }
}

/// Does the same for valgrind, which counts instructions.
pub fn ensure_valgrind(say: &mut dyn FnMut(&str)) -> Result<()> {
    if has_program("valgrind") {
        return Ok(());
    }
    install("valgrind", vec!["valgrind"], say)?;
    if has_program("valgrind") { Ok(()) } else { bail!("apt's valgrind has no program of this name") }
}

/// Does the same for a Python with the package `websockets`, which only one test needs.
pub fn ensure_python(say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if let Some(found) = python::find() {
        return Ok(found);
    }
    install("Python 3 with the package websockets", vec!["python3", python::PACKAGE], say)?;
    python::find().context("python3 cannot import the package websockets though it was installed")
}

/// Installs the packages; `what` tells the user what was missing.
pub fn install(what: &str, packages: Vec<&'static str>, say: &mut dyn FnMut(&str)) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let may_sudo = !is_root && find_program("sudo").is_some_and(|sudo| may_sudo_without_password(&sudo));
    match plan(what, packages, has_program("apt-get"), is_root, may_sudo, has_program("docker")) {
        Plan::Apt { prefix, packages } => {
            say(&format!("{what} not found: installing {} with apt", packages.join(" ")));
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

fn plan(what: &str, packages: Vec<&'static str>, apt: bool, is_root: bool, may_sudo: bool, docker: bool) -> Plan {
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

/// Returns true if a program of this name can be run.
pub fn has_program(name: impl AsRef<OsStr>) -> bool {
    find_program(name).is_some()
}

pub fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    programs::find_file(&programs::search_path(), name.as_ref().to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installs_as_root_or_with_sudo() {
        let as_root = Plan::Apt { prefix: vec![], packages: vec!["postgresql", "redis-server"] };
        assert_eq!(plan("both", vec!["postgresql", "redis-server"], true, true, false, true), as_root);
        let with_sudo = Plan::Apt { prefix: vec!["sudo", "-n"], packages: vec!["redis-server"] };
        assert_eq!(plan("Redis", vec!["redis-server"], true, false, true, false), with_sudo);
    }

    #[test]
    fn otherwise_says_what_to_do() {
        let text = |apt, docker| match plan("Redis 7", vec!["redis-server"], apt, false, false, docker) {
            Plan::GiveUp(text) => text,
            Plan::Apt { .. } => panic!("should not install"),
        };
        assert!(text(false, true).contains("docker compose up"));
        let neither = text(false, false);
        assert!(neither.contains("Redis 7") && !neither.contains("compose"));
        assert!(text(true, false).contains("sudo apt-get install redis-server"));
    }
}
