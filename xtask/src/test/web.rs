//! The web client: types, lints, sizes, and its tests in a real browser against a fleet on private stores.

use std::path::{Path, PathBuf};

use anyhow::Result;
use devstack::install;

use super::report::Outcome;
use super::sdk::{self, Check};
use crate::node::npm;
use crate::workspace::Workspace;

pub const CHECKS: [Check; 3] = [
    Check { name: "web client: types", script: "typecheck" },
    Check { name: "web client: lints", script: "lint" },
    Check { name: "web client: build", script: "build" },
];

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Reports that something cannot be checked here.
pub fn not_checked(why: &str) -> Outcome {
    println!("\n!!! The web client was NOT CHECKED: {why}. !!!");
    if std::env::var_os("CI").is_some() { Outcome::failed(1) } else { Outcome::not_checked("no Node or no browser") }
}

pub fn test(workspace: &Workspace, folder: &Path) -> Result<Outcome> {
    let Some(browser) = browser() else {
        return Ok(not_checked("there is no Chromium"));
    };
    // With MEASURE set, measure the figures of docs/web.md instead; they need an idle machine.
    let script = if std::env::var_os("MEASURE").is_some() { "measure" } else { "test" };
    let mut test = npm(folder, &["run", "--silent", script]);
    test.env("CHROMIUM", browser);
    sdk::on_fleet(workspace, test, "web")
}

/// Returns the path of the first installed browser, or installs one from the system's packages.
fn browser() -> Option<PathBuf> {
    let find = || BROWSERS.iter().find_map(install::find_program);
    find().or_else(|| {
        println!("installing Chromium");
        if let Err(error) = install::install("Chromium", vec!["chromium"], &mut |line| println!("{line}")) {
            println!("{error:#}");
        }
        find()
    })
}
