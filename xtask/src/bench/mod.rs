//! `cargo xtask bench`: a fleet on private, durable stores under the standard set of loads, which writes
//! docs/benchmarks.md.

mod beside;
mod crowd;
mod growth;
mod history;
mod import;
mod page;
mod plot;
mod runs;
mod site;
mod target;
mod webhook;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use devstack::install;

use self::runs::Sizes;
use self::site::Site;
use crate::interrupt;
use crate::workspace::Workspace;

/// The measurements that can be run alone.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Part {
    /// The import of a million messages of the original server
    Import,
    /// A message to 5,000 and to 19,500 connected members of a community of 50,000
    Crowd,
    /// Lone messages and open load, beside Socket.IO
    Beside,
    /// Direct messages with a webhook that is told of each, and without one
    Webhook,
}

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only this measurement, which is printed and not part of the page
    #[arg(value_enum)]
    part: Option<Part>,
    /// Smaller sizes, to try it out in a minute or two
    #[arg(long)]
    quick: bool,
    /// Measure the programs in this folder instead of building them
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// The folder of the page and its plots
    #[arg(long)]
    out: Option<PathBuf>,
}

pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    interrupt::install()?;
    let programs = install::ensure(&mut |line| println!("==> {line}"))?;
    let bin_dir = match &options.bin_dir {
        Some(dir) => dir.canonicalize().with_context(|| format!("folder {}", dir.display()))?,
        None => {
            build(workspace)?;
            workspace.target_dir.join("release")
        }
    };
    match options.part {
        Some(Part::Import) => {
            return import::measure(&programs, &bin_dir, if options.quick { 10_000 } else { 1_000_000 });
        }
        Some(Part::Webhook) if options.quick => return webhook::measure(&programs, &bin_dir, &Sizes::QUICK, 1),
        Some(Part::Webhook) => return webhook::measure(&programs, &bin_dir, &Sizes::FULL, 3),
        Some(Part::Crowd) if options.quick => return crowd::measure(&programs, &bin_dir, 5_000, &[500]),
        Some(Part::Crowd) => return crowd::measure(&programs, &bin_dir, 50_000, &[5_000, 19_500]),
        Some(Part::Beside) | None => {}
    }
    devstack::process::raise_file_limit();
    let sizes = if options.quick { Sizes::QUICK } else { Sizes::FULL };
    let mut site = Site::start(&programs, &bin_dir, sizes.users())?;
    if let Some(Part::Beside) = options.part {
        return beside::measure(&site, workspace, &sizes).map(drop);
    }
    let results = runs::all(&mut site, &sizes)?;
    let beside = beside::measure(&site, workspace, &sizes)?;
    let queries = history::measure(&site, &workspace.root, &sizes)?;
    let growth = growth::measure(&mut site, &sizes)?;
    let out = options.out.clone().unwrap_or_else(|| workspace.root.join("docs"));
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let page = page::render(workspace, &sizes, &results, &beside, &queries, &growth);
    for (name, content) in page {
        let path = out.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        println!("==> wrote {}", workspace.shown(&path));
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<()> {
    println!("==> building gateway, worker, chatctl and loadtest (release)");
    let mut args = vec!["build", "--release"];
    args.extend(["gateway", "worker", "chatctl", "loadtest"].iter().flat_map(|name| ["--bin", name]));
    let status = workspace.cargo(&args).env("SQLX_OFFLINE", "true").status().context("running cargo")?;
    if !status.success() {
        bail!("the build failed ({status})");
    }
    Ok(())
}
