//! `cargo xtask bench`: a fleet on private, durable stores under the standard set of loads, which writes
//! docs/benchmarks.md.

mod beside;
mod crowd;
mod growth;
mod history;
mod import;
mod page;
mod plot;
mod rows;
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
    /// A message to 5,000 and to 19,500 connected members of a community of 50,000; as many who are told of 100 comings and
    /// goings a second; lists of 100,000 online users
    Crowd,
    /// Lone messages and open load, beside Socket.IO
    Beside,
    /// Direct messages with a webhook that is told of each, and without one
    Webhook,
    /// A message and a page in a database of --rows messages, and what they take on the disk
    Rows,
}

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only this measurement, which is printed and not part of the page, except for `rows`, which writes its own section
    #[arg(value_enum)]
    part: Option<Part>,
    /// The number of messages for `rows`
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    rows: u64,
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
        Some(Part::Rows) => {
            let section = rows::measure(&programs, &bin_dir, &workspace.root, options.rows)?;
            println!("{section}");
            return write(workspace, options, "benchmarks.md", |before| page::with_rows(before, &section));
        }
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
    for (name, content) in page::render(workspace, &sizes, &results, &beside, &queries, &growth) {
        let with_kept = |before: &str| match page::rows_of(before) {
            Some(section) => page::with_rows(&content, section),
            None => content.clone(),
        };
        write(workspace, options, &name, with_kept)?;
    }
    Ok(())
}

/// Writes a file of the page; `content` is given what it held before.
fn write(workspace: &Workspace, options: &Options, name: &str, content: impl Fn(&str) -> String) -> Result<()> {
    let out = options.out.clone().unwrap_or_else(|| workspace.root.join("docs"));
    std::fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    let path = out.join(name);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, content(&before)).with_context(|| format!("writing {}", path.display()))?;
    println!("==> wrote {}", workspace.shown(&path));
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
