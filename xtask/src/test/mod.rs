//! `cargo xtask test`: every check of the project, one after the other; all run, even if some fail.

mod compose;
mod deny;
mod deployment;
mod hanging;
mod kustomize;
mod output;
mod pod_security;
mod policies;
mod previous;
mod report;
mod sdk;
mod web;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use devstack::{Scratch, install, testing};

use self::report::{Outcome, Report};
use crate::counts::{self, Comparison};
use crate::node;
use crate::sqlx;
use crate::workspace::Workspace;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Formatting, lints, dependencies, generated files
    Lint,
    /// The files of compose, Kubernetes and Prometheus, by tools for their kinds
    Deployment,
    /// The compose file, started and broken on a container engine, if there is one
    Compose,
    /// The TypeScript SDK, by Node, in Chromium and against a fleet
    Sdk,
    /// All tests but the end-to-end ones
    Unit,
    /// End-to-end tests with whole fleets
    E2e,
    /// The web client, by Node, in Chromium against a fleet
    Web,
}

const END_TO_END: &str = "e2e";

/// Runs everything, one part, or the tests of a part whose names contain `name`.
pub fn run(workspace: &Workspace, part: Option<Part>, name: Option<&str>) -> Result<ExitCode> {
    if name.is_some() && !matches!(part, Some(Part::Unit | Part::E2e)) {
        bail!("only the parts `unit` and `e2e` have tests with names");
    }
    let wanted = |this: Part| part.is_none_or(|part| part == this);
    let mut report = Report::default();

    step(&mut report, "programs", || {
        let programs = install::ensure(&mut |line| println!("{line}"))?;
        println!("PostgreSQL {} in {}", programs.postgres.major, programs.postgres.bin_dir.display());
        println!("Redis in {}", programs.redis_server.display());
        if wanted(Part::E2e) {
            println!("Python in {}", install::ensure_python(&mut |line| println!("{line}"))?.display());
        }
        install::ensure_tools(&mut |line| println!("{line}"))?;
        Ok(Outcome::passed(1))
    });
    if wanted(Part::Lint) {
        lint(workspace, &mut report);
    }
    if wanted(Part::Deployment) {
        deployment_files(workspace, &mut report);
    }
    let sdk_folder = if wanted(Part::Sdk) { typescript_sdk(workspace, &mut report) } else { None };
    if wanted(Part::Unit) || wanted(Part::E2e) {
        tests(workspace, &mut report, wanted(Part::Unit), wanted(Part::E2e), name);
    }
    // After the tests, which build the programs.
    if let Some(folder) = sdk_folder {
        if part.is_some() {
            servers(workspace, &mut report, "SDK: servers");
        }
        step(&mut report, "SDK: against a fleet", || sdk::test_against_fleet(workspace, &folder));
    }
    if wanted(Part::Web) {
        web_client(workspace, &mut report, part.is_some());
    }
    if wanted(Part::Compose) {
        step(&mut report, "compose file: on an engine", || compose::run(workspace));
    }
    println!("{report}");
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs one step under a heading; an error counts as a failure.
fn step(report: &mut Report, name: &str, action: impl FnOnce() -> Result<Outcome>) {
    println!("\n=== {name} ===");
    let start = Instant::now();
    let outcome = action().unwrap_or_else(|error| {
        println!("error: {error:#}");
        Outcome::failed(1)
    });
    report.add(name, outcome, start.elapsed());
}

fn lint(workspace: &Workspace, report: &mut Report) {
    step(report, "cargo fmt", || one(workspace.run_cargo(&["fmt", "--all", "--check"])));
    step(report, "cargo clippy", || {
        let mut clippy = workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        let status = clippy.env("SQLX_OFFLINE", "true").status().context("running cargo clippy")?;
        Ok(Outcome::of(status.success()))
    });
    // Broken links between items are errors: `lints.rustdoc` in Cargo.toml.
    step(report, "cargo doc", || {
        let mut doc = workspace.cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
        let status = doc.env("SQLX_OFFLINE", "true").status().context("running cargo doc")?;
        Ok(Outcome::of(status.success()))
    });
    step(report, "cargo deny: bans, licenses, sources", || deny::check_packages(workspace));
    step(report, "cargo deny: advisories", || deny::check_advisories(workspace));
    step(report, "sqlx queries", || one(sqlx::check(workspace)));
}

fn deployment_files(workspace: &Workspace, report: &mut Report) {
    let mut tools = None;
    step(report, "checkers of deployment files", || {
        tools = deployment::tools(workspace)?;
        Ok(if tools.is_some() { Outcome::passed(1) } else { deployment::not_checked("Deployment files were") })
    });
    type Check = fn(&Workspace, &std::path::Path) -> Result<Outcome>;
    let checks: [(&str, Check); 6] = [
        ("Kubernetes manifests: schema", deployment::manifests),
        ("Kubernetes manifests: built", deployment::kustomizations),
        ("Helm chart: the same objects", deployment::chart),
        ("policies", policies::check),
        ("compose file: schema", deployment::compose),
        ("Dockerfile: lints", deployment::dockerfile),
    ];
    for (name, check) in checks {
        step(report, name, || match &tools {
            Some(bin) => check(workspace, bin),
            None => Ok(deployment::not_checked(&format!("{name}:"))),
        });
    }
    step(report, "alert rules: syntax and tests", || deployment::rules(workspace));
}

/// Returns the SDK's folder unless it could not be checked.
fn typescript_sdk(workspace: &Workspace, report: &mut Report) -> Option<PathBuf> {
    let mut folder = None;
    step(report, "SDK: packages", || {
        node::ensure();
        folder = node::packages(workspace, "sdk")?;
        Ok(if folder.is_some() { Outcome::passed(1) } else { sdk::not_checked() })
    });
    let folder = folder?;
    for check in &sdk::CHECKS {
        step(report, check.name, || sdk::run(&folder, check));
    }
    Some(folder)
}

/// The other tests build the servers; if it runs alone, it builds them itself.
fn web_client(workspace: &Workspace, report: &mut Report, builds_servers: bool) {
    let mut folder = None;
    step(report, "web client: packages", || {
        node::ensure();
        folder = node::packages(workspace, "web")?;
        Ok(if folder.is_some() {
            Outcome::passed(1)
        } else {
            web::not_checked("there is no Node, or npm cannot install")
        })
    });
    let Some(folder) = folder else { return };
    for check in &web::CHECKS {
        step(report, check.name, || sdk::run(&folder, check));
    }
    if builds_servers {
        servers(workspace, report, "web client: servers");
    }
    step(report, "web client: tests in Chromium", || web::test(workspace, &folder));
}

/// Builds the servers, for a part that runs without the unit and e2e tests.
fn servers(workspace: &Workspace, report: &mut Report, name: &str) {
    step(report, name, || {
        let mut build =
            workspace.cargo(&["build", "--workspace", "--bin", "gateway", "--bin", "worker", "--bin", "chatctl"]);
        let status = build.env("SQLX_OFFLINE", "true").status().context("running cargo build")?;
        Ok(Outcome::of(status.success()))
    });
}

fn one(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::passed(1))
}

fn tests(workspace: &Workspace, report: &mut Report, unit: bool, end_to_end: bool, name: Option<&str>) {
    // Its guardian ends it in any case, even after Ctrl-C.
    let mut stores = None;
    step(report, "private PostgreSQL and Redis", || {
        let scratch = Scratch::new("xtask-test")?;
        let postgres = testing::start_postgres(&scratch)?;
        let redis = testing::start_redis(&scratch)?;
        stores = Some((scratch, postgres.url("postgres"), redis.url()));
        Ok(Outcome::passed(1))
    });
    let Some((_scratch, database_url, redis_url)) = stores else {
        return;
    };
    let cargo = |args: &[&str]| {
        let mut command = workspace.cargo(args);
        command
            .env("SQLX_OFFLINE", "true")
            .env(testing::DATABASE_URL_VARIABLE, &database_url)
            .env(testing::REDIS_URL_VARIABLE, &redis_url)
            .env(testing::BIN_DIR_VARIABLE, workspace.target_dir.join("debug"));
        command
    };
    let mut has_previous = false;
    let upgrade = previous::tests_named(workspace, name).filter(|_| end_to_end);
    if upgrade.is_some() {
        step(report, "build of the previous release", || {
            let outcome = previous::build(workspace)?;
            has_previous = outcome.passed > 0;
            Ok(outcome)
        });
    }
    step(report, "build", || {
        // Everything at once, so that dependencies are built with one set of features; this builds the servers, too.
        let status = cargo(&["test", "--workspace", "--no-run"]).status().context("running cargo test --no-run")?;
        Ok(Outcome::of(status.success()))
    });
    if unit {
        unit_tests(report, &cargo, name);
    }
    if unit && name.is_none() {
        step(report, "instruction counts", || instruction_counts(workspace));
    }
    if end_to_end {
        // Plain `cargo test`: tests of one file share a fleet, which one process per test would start for each test.
        step(report, "end-to-end tests", || {
            let test = ["test", "--workspace", "--test", END_TO_END, "--no-fail-fast"];
            output::run_tests(cargo(&test).args(name))
        });
    }
    if let Some(filter) = upgrade.filter(|_| has_previous) {
        step(report, "upgrade from the previous release", || {
            let test = ["test", "--workspace", "--test", previous::TESTS, "--no-fail-fast"];
            let mut cargo = cargo(&test);
            cargo.env(testing::PREVIOUS_BIN_DIR_VARIABLE, previous::bin_dir(workspace));
            output::run_tests(cargo.args(filter))
        });
    }
}

fn unit_tests(report: &mut Report, cargo: &dyn Fn(&[&str]) -> Command, name: Option<&str>) {
    if !install::has_program("cargo-nextest") {
        let test = ["test", "--workspace", "--exclude", END_TO_END, "--no-fail-fast"];
        return step(report, "tests", || output::run_tests(cargo(&test).args(name)));
    }
    step(report, "tests", || {
        let nextest = ["nextest", "run", "--workspace", "--exclude", END_TO_END, "--no-fail-fast"];
        output::run_tests(cargo(&nextest).arg("--no-tests=pass").args(name))
    });
    step(report, "documentation tests", || output::run_tests(cargo(&["test", "--workspace", "--doc"]).args(name)));
}

/// Without valgrind, or with other compilers than those of the counts, the result is unknown.
fn instruction_counts(workspace: &Workspace) -> Result<Outcome> {
    if let Err(error) = install::ensure_valgrind(&mut |line| println!("{line}")) {
        println!("{error:#}\n\n!!! Instructions were NOT COUNTED: there is no valgrind. !!!");
        return Ok(Outcome::not_checked("no valgrind"));
    }
    match counts::compare(workspace)? {
        Comparison::Compared { functions, failures } => {
            failures.iter().for_each(|failure| println!("error: {failure}"));
            let failed = failures.len() as u64;
            Ok(Outcome { failed, ..Outcome::passed((functions as u64).saturating_sub(failed)) })
        }
        Comparison::NotComparable(why) => {
            println!("\n!!! Instructions were NOT COMPARED with testing/bench/counts.json: {why}. !!!");
            Ok(Outcome::not_checked("counted with other tools"))
        }
    }
}
