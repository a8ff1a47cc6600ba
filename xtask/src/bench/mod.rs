//! `cargo xtask bench`: fleets on private, durable stores under standard loads. Each part is measured on a site of its own and
//! writes its section of docs/benchmarks.md; the sections of other parts stay as they are.

mod beside;
mod cluster;
mod crowd;
mod fanout;
mod growth;
mod import;
mod memory;
mod messages;
mod page;
mod plot;
mod reading;
mod replica;
mod rows;
mod section;
mod setup;
mod site;
mod target;
mod webhook;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use devstack::{install, process};

use self::page::{Book, Origin};
use self::section::Section;
use self::setup::{Setup, Sizes};
use crate::interrupt;
use crate::workspace::Workspace;

/// The parts, each a section of the page, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Direct messages in a closed loop and at fixed rates
    Messages,
    /// Lone messages and open load, beside Socket.IO
    Beside,
    /// Servers without work, and idle connections
    Memory,
    /// Groups, a community, a storm of reconnects, logins
    Fanout,
    /// Messages to 19,500 connected members of a community; as many who are told of 100 comings and goings a second; lists of
    /// 100,000 online users
    Crowd,
    /// The queries of pages and lists, in a database of a million messages
    Reading,
    /// The cost of a message with more partitions, processes, users and messages
    Growth,
    /// A message and a page in a database of --rows messages, and what they take on the disk
    Rows,
    /// Queries with and without a replica
    Replica,
    /// A Redis Cluster of three nodes and of one
    Cluster,
    /// Direct messages with a webhook that is told of each, and without one
    Webhook,
    /// The import of a million messages of the original server
    Import,
}

impl Part {
    fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Its name on the command line and in the data.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn measure(self, setup: &Setup) -> Result<Section> {
        match self {
            Self::Messages => messages::measure(setup),
            Self::Beside => beside::measure(setup),
            Self::Memory => memory::measure(setup),
            Self::Fanout => fanout::measure(setup),
            Self::Crowd => crowd::measure(setup),
            Self::Reading => reading::measure(setup),
            Self::Growth => growth::measure(setup),
            Self::Rows => rows::measure(setup),
            Self::Replica => replica::measure(setup),
            Self::Cluster => cluster::measure(setup),
            Self::Webhook => webhook::measure(setup),
            Self::Import => import::measure(setup),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only these, whose sections of the page are written anew; default: all
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// The number of messages for `rows` [default: 1000000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    rows: Option<u64>,
    /// Smaller sizes, to try it out in minutes
    #[arg(long)]
    quick: bool,
    /// Measure the programs in this folder instead of building them
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// The folder of the page and its plots
    #[arg(long)]
    out: Option<PathBuf>,
    /// Measure nothing; write the page from benchmarks.json
    #[arg(long, conflicts_with = "parts")]
    render: bool,
}

pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let out = options.out.clone().unwrap_or_else(|| workspace.root.join("docs"));
    let mut book = book(&out)?;
    if options.render {
        return book.write_page();
    }
    interrupt::install()?;
    let programs = install::ensure(&mut |line| println!("==> {line}"))?;
    let bin_dir = match &options.bin_dir {
        Some(dir) => dir.canonicalize().with_context(|| format!("folder {}", dir.display()))?,
        None => {
            build(workspace)?;
            workspace.target_dir.join("release")
        }
    };
    process::raise_file_limit();
    let sizes = if options.quick { Sizes::QUICK } else { Sizes::FULL };
    let sizes = Sizes { rows: options.rows.unwrap_or(sizes.rows), ..sizes };
    let setup = Setup { programs, bin_dir, workspace, sizes };
    let parts = if options.parts.is_empty() { Part::all().collect() } else { options.parts.clone() };
    each(&parts, |part| {
        let section = part.measure(&setup)?;
        let origin = Origin::now(workspace, part.command(options), options.quick);
        book.write(&part.name(), origin, section)?;
        println!("==> {}: wrote its section of {}", part.name(), workspace.shown(&out));
        Ok(())
    })
}

fn book(dir: &Path) -> Result<Book> {
    Book::open(dir, Part::all().map(Part::name).collect())
}

impl Part {
    /// The command that writes its section alone.
    fn command(self, options: &Options) -> String {
        let rows =
            options.rows.filter(|_| self == Self::Rows).map_or_else(String::new, |rows| format!(" --rows {rows}"));
        let quick = if options.quick { " --quick" } else { "" };
        format!("cargo xtask bench {}{rows}{quick}", self.name())
    }
}

/// Does all parts; one that fails does not stop the others. Fails with the names of those that did, or if interrupted.
fn each(parts: &[Part], mut run: impl FnMut(Part) -> Result<()>) -> Result<()> {
    let mut failed = Vec::new();
    for part in parts {
        interrupt::check()?;
        println!("==> {}", part.name());
        if let Err(error) = run(*part) {
            eprintln!("==> {} failed: {error:#}", part.name());
            failed.push(part.name());
        }
    }
    interrupt::check()?;
    match failed.as_slice() {
        [] => Ok(()),
        failed => bail!("not measured: {}", failed.join(", ")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_does_not_stop_the_others() {
        let mut done = Vec::new();
        let result = each(&[Part::Crowd, Part::Rows, Part::Replica], |part| match part {
            Part::Rows => bail!("in vain"),
            part => {
                done.push(part);
                Ok(())
            }
        });
        assert_eq!(done, [Part::Crowd, Part::Replica]);
        assert_eq!(result.unwrap_err().to_string(), "not measured: rows");
    }

    #[test]
    fn the_page_is_what_its_data_says() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let page = std::fs::read_to_string(docs.join("benchmarks.md")).unwrap();
        let rendered = book(&docs).unwrap().render();
        assert!(page == rendered, "write it with `cargo xtask bench --render`");
    }

    #[test]
    fn the_command_of_a_section_says_all_that_it_needs() {
        let options =
            Options { parts: Vec::new(), rows: Some(5_000), quick: true, bin_dir: None, out: None, render: false };
        assert_eq!(Part::Rows.command(&options), "cargo xtask bench rows --rows 5000 --quick");
        assert_eq!(Part::Crowd.command(&Options { quick: false, ..options }), "cargo xtask bench crowd");
    }
}
