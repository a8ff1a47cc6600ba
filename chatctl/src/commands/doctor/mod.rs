//! `chatctl doctor`: what an operator would check on the first day, each with what to do about it. Reads only.

mod fleet;
mod front;
mod grants;
mod postgres;
mod redis;

use std::collections::BTreeSet;
use std::fmt::Display;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use shared::clock::Timestamp;
use shared::config::{DefaultDoc, GatewaySettings, WorkerSettings};

use crate::access::{Access, AccessArguments};
use crate::database;
use crate::fleet::FleetClient;
use crate::settings::Settings;
use crate::terminal::print_line;

/// Everything works with clocks that differ by a minute, but a larger difference than this is worth fixing.
const MAX_CLOCK_OFFSET_MS: i64 = 1_000;
/// Percentage of a limit.
const NEARLY_FULL: i64 = 80;

#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Also fail if there is only advice.
    #[arg(long)]
    strict: bool,
    /// Also connect as this user, through whatever is in front of the gateways, to check that the client's address
    /// arrives and that a quiet connection survives. Takes two PING_INTERVALs; the user is online meanwhile.
    #[arg(long, value_name = "NAME")]
    connect_as: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
}

/// The findings so far.
#[derive(Default)]
struct Findings {
    problems: usize,
    advice: usize,
}

impl Findings {
    fn check(&mut self, holds: bool, what: impl Display, remedy: &str) -> Result<()> {
        if holds { print_line(&format!("ok      {what}")) } else { self.problem(what, remedy) }
    }

    /// Like `check`, for what is only recommended.
    fn advise(&mut self, holds: bool, what: impl Display, remedy: &str) -> Result<()> {
        if holds {
            return print_line(&format!("ok      {what}"));
        }
        self.advice += 1;
        print_line(&format!("advice  {what}\n        {remedy}"))
    }

    fn problem(&mut self, what: impl Display, remedy: &str) -> Result<()> {
        self.problems += 1;
        print_line(&format!("PROBLEM {what}\n        {remedy}"))
    }
    fn clock(&mut self, whose: &str, theirs_ms: i64) -> Result<()> {
        let offset = theirs_ms - Timestamp::now().0;
        let what = format!("the clock of {whose} differs from this machine's by {offset} ms");
        self.advise(offset.abs() < MAX_CLOCK_OFFSET_MS, what, "Let both follow an NTP server.")
    }
}

impl DoctorArguments {
    /// Prints a line per check.
    ///
    /// # Errors
    /// When there is a problem, or with `--strict` any advice.
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut findings = Findings::default();
        // From a client's point of view, without access to the stores.
        let looks_from_outside = self.connect_as.is_some();
        usable_settings(&mut findings, settings)?;
        open_files(&mut findings)?;
        match database::connect(settings).await {
            Ok(mut db) => {
                postgres::check(&mut findings, &mut db, settings).await.context("asking Postgres")?;
                postgres::keys(&mut findings, settings, &mut db).await?;
            }
            Err(_) if looks_from_outside && !settings.has_database() => {
                print_line("skipped Postgres: DATABASE_URL is not set")?
            }
            Err(error) => {
                findings.problem(format!("Postgres: {error:#}"), "Check DATABASE_URL, the network and the password.")?
            }
        }
        let fleet = match FleetClient::connect(settings).await {
            Ok(fleet) => {
                redis::check(&mut findings, &fleet).await.context("asking Redis")?;
                fleet::check(&mut findings, &fleet).await.context("asking Redis for the fleet")?;
                Some(fleet)
            }
            Err(_) if looks_from_outside && !settings.has_redis() => {
                print_line("skipped Redis: REDIS_URL is not set")?;
                None
            }
            Err(error) => {
                findings.problem(format!("Redis: {error:#}"), "Check REDIS_URL, the network and the password.")?;
                None
            }
        };
        match &self.connect_as {
            Some(name) => {
                let mut access = Access::new(settings, &self.access, name).await?;
                front::check(&mut findings, &mut access, fleet.as_ref()).await?;
            }
            None => print_line("skipped what is in front of the gateways: --connect-as NAME and --url URL check it")?,
        }
        let Findings { problems, advice } = findings;
        if problems > 0 || (self.strict && advice > 0) {
            bail!("{problems} problems, {advice} pieces of advice");
        }
        print_line(&format!("no problems, {advice} pieces of advice"))
    }
}

/// Checks the settings present here as a service would read them. A required one may be set elsewhere.
fn usable_settings(findings: &mut Findings, settings: &Settings) -> Result<()> {
    let gateway = GatewaySettings::from_source(|name| settings.variable(name)).err();
    let worker = WorkerSettings::from_source(|name| settings.variable(name)).err();
    let problems: BTreeSet<String> = gateway.into_iter().chain(worker).flat_map(|error| error.problems).collect();
    let problems: Vec<String> = problems.into_iter().filter(|problem| !problem.contains(" is required")).collect();
    let what = if problems.is_empty() { "the settings here are usable".to_owned() } else { problems.join("; ") };
    findings.check(problems.is_empty(), what, "A service with these does not start; see docs/configuration.md.")
}

/// A setting of the gateways, from the environment or its default.
fn value_here(name: &str) -> Option<String> {
    let default = GatewaySettings::docs().into_iter().find(|setting| setting.name == name)?.default;
    let default = match default {
        DefaultDoc::Value(value) => Some(value.to_owned()),
        DefaultDoc::Required | DefaultDoc::Unset => None,
    };
    std::env::var(name).ok().filter(|value| !value.trim().is_empty()).or(default)
}

/// Checks the limit of this process, which is that of its container.
fn open_files(findings: &mut Findings) -> Result<()> {
    let Ok(limits) = std::fs::read_to_string("/proc/self/limits") else { return Ok(()) };
    let Some(files) = soft_limit(&limits) else { return Ok(()) };
    let connections = value_here("MAX_CONNECTIONS").and_then(|value| value.parse::<u64>().ok());
    let Some(connections) = connections else { return Ok(()) };
    findings.advise(
        files > connections,
        format!("a process may open {files} files here, and a gateway {connections} connections"),
        "If gateways have this limit (ulimit -n), raise it, or lower their MAX_CONNECTIONS.",
    )
}

/// Parses /proc/PID/limits.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_writes_them() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files"),
            Some(u64::MAX)
        );
        assert_eq!(soft_limit("Max processes  1  1  processes"), None);
    }
}
