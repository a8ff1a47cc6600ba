//! docs/benchmarks.json, which keeps the last findings of each part, and docs/benchmarks.md, which is rendered from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::section::{Block, Section};
use super::site::SETTINGS;
use super::target::Figure;
use crate::workspace::Workspace;

const DATA: &str = "benchmarks.json";
const PAGE: &str = "benchmarks.md";

/// When, where and how a part was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    pub date: String,
    pub version: String,
    pub commit: String,
    pub machine: String,
    pub command: String,
    /// Sizes were smaller than those that the targets are about.
    pub quick: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    origin: Origin,
    #[serde(flatten)]
    section: Section,
}

/// The page and its data.
pub struct Book {
    dir: PathBuf,
    /// The names of the parts, in the order of the page.
    order: Vec<String>,
    /// By the name of the part.
    entries: BTreeMap<String, Entry>,
}

impl Book {
    pub fn open(dir: &Path, order: Vec<String>) -> Result<Self> {
        let path = dir.join(DATA);
        let entries = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        Ok(Self { dir: dir.to_owned(), order, entries })
    }

    /// Replaces the section of a part and writes the page; the other sections stay as they are.
    pub fn write(&mut self, part: &str, origin: Origin, section: Section) -> Result<()> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("making {}", self.dir.display()))?;
        for (name, plot) in &section.plots {
            self.write_file(name, plot)?;
        }
        self.entries.insert(part.to_owned(), Entry { origin, section });
        let mut data = serde_json::to_string_pretty(&self.entries)?;
        data.push('\n');
        self.write_file(DATA, &data)?;
        self.write_page()
    }

    pub fn write_page(&self) -> Result<()> {
        self.write_file(PAGE, &self.render())
    }

    fn write_file(&self, name: &str, content: &str) -> Result<()> {
        let path = self.dir.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    }

    /// The parts that have been measured, in the order of the page.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|part| self.entries.get(part))
    }

    pub fn render(&self) -> String {
        let mut page = String::from(
            "# Benchmarks\n\nWritten by `cargo xtask bench`; change nothing by hand. `cargo xtask bench PART` measures one section \
             anew, and the others keep their figures; [the table at the end](#sections) says when each was measured. Servers, stores and \
             the load generator share the machine. Open-loop latencies count from when a message was due, from the sender to the \
             recipient; every run checks that nothing was lost, doubled or swapped.\n\n",
        );
        let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
        let rows = [
            ("fleet", "2 gateways, 2 workers; release build".to_owned()),
            (
                "stores",
                "PostgreSQL with `fsync` and `synchronous_commit` on, Redis with its append-only file".to_owned(),
            ),
            ("settings", settings.join(" ")),
        ];
        table(&mut page, &["", ""].map(str::to_owned), &rows.map(|(name, value)| vec![name.to_owned(), value]));
        self.targets(&mut page);
        for entry in self.entries() {
            let _ = writeln!(page, "## {}\n", entry.section.title);
            for block in &entry.section.blocks {
                match block {
                    Block::Text(text) => {
                        let _ = writeln!(page, "{}\n", text.trim_end());
                    }
                    Block::Table { heads, rows } => table(&mut page, heads, rows),
                }
            }
        }
        self.origins(&mut page);
        format!("{}\n", page.trim_end())
    }

    fn targets(&self, page: &mut String) {
        page.push_str("## Targets\n\n");
        if self.entries().any(|entry| entry.origin.quick) {
            page.push_str("Some sizes were smaller than those that the targets are about (`--quick`).\n\n");
        }
        let row =
            |figure: &Figure| vec![figure.name.clone(), figure.shown_value(), figure.shown_target(), figure.verdict()];
        let rows: Vec<_> = self.entries().flat_map(|entry| &entry.section.figures).map(row).collect();
        table(page, &["figure", "measured", "target", ""].map(str::to_owned), &rows);
        page.push_str(
            "What bounds the figures that are missed, and what it would take, is in \
             [performance](performance.md#what-limits-the-figures-that-miss-their-target).\n\n",
        );
        let faults: Vec<&str> = self.entries().flat_map(|entry| &entry.section.faults).map(String::as_str).collect();
        if faults.is_empty() {
            page.push_str("In every run everything arrived once and in order.\n\n");
        } else {
            let _ = writeln!(page, "**Not everything arrived once and in order:** {}\n", faults.join("; "));
        }
    }

    fn origins(&self, page: &mut String) {
        page.push_str("## Sections\n\n");
        let row = |entry: &Entry| {
            let Origin { date, version, commit, machine, command, .. } = &entry.origin;
            let by = format!("`{command}`");
            vec![entry.section.title.clone(), by, date.clone(), format!("{version}, {commit}"), machine.clone()]
        };
        let heads = ["section", "written by", "on", "version, commit", "machine"].map(str::to_owned);
        table(page, &heads, &self.entries().map(row).collect::<Vec<_>>());
    }
}

impl Origin {
    pub fn now(workspace: &Workspace, command: String, quick: bool) -> Self {
        let output = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).current_dir(&workspace.root).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        Self {
            date: output("date", &["-u", "+%F"]),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: output("git", &["describe", "--always", "--dirty"]),
            machine: machine(),
            command,
            quick,
        }
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
        line.trim_start_matches([':', ' ', '\t']).trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: f64 = after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    format!(
        "{cpus} × {}, {:.0} GiB, Linux {}",
        after(&read("/proc/cpuinfo"), "model name"),
        memory / (1024.0 * 1024.0),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn table(page: &mut String, heads: &[String], rows: &[Vec<String>]) {
    let line = |page: &mut String, cells: &[String]| {
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(page, heads);
    let ruler = heads.iter().enumerate().map(|(place, _)| if place == 0 { "---" } else { "---:" }.to_owned());
    line(page, &ruler.collect::<Vec<_>>());
    rows.iter().for_each(|row| line(page, row));
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use devstack::Scratch;

    use super::*;

    fn open(dir: &Path) -> Result<Book> {
        Book::open(dir, ["messages", "replica"].map(str::to_owned).to_vec())
    }

    fn origin(command: &str) -> Origin {
        let text = |text: &str| text.to_owned();
        let (date, version, commit, machine) = (text("2026-03-01"), text("0.2.0"), text("abc"), text("2 × CPU"));
        Origin { date, version, commit, machine, command: text(command), quick: false }
    }

    fn section(title: &str, value: f64) -> Section {
        let mut section = Section::new(title);
        section.figures.push(Figure::at_most(&format!("cost of {title}"), Some(value), 2.0, "ms"));
        section.text(format!("About {title}."));
        section.table(&["", "ms"], [vec!["a".to_owned(), value.to_string()]]);
        section
    }

    #[test]
    fn a_part_rewrites_its_own_section_alone() {
        let scratch = Scratch::new("benchmarks").unwrap();
        let read = |name: &str| std::fs::read_to_string(scratch.dir().join(name)).unwrap();
        let mut book = open(scratch.dir()).unwrap();
        let replica = Section { plots: vec![("a.svg".to_owned(), "<svg>".to_owned())], ..section("Replica", 1.0) };
        book.write("replica", origin("bench replica"), replica).unwrap();
        book.write("messages", origin("bench messages"), section("Messages", 3.0)).unwrap();
        assert_eq!(read("a.svg"), "<svg>");
        let before = read(PAGE);
        assert!(before.contains("| cost of Messages | 3.00 ms | ≤ 2.00 ms | missed: 1.50 times as much |"), "{before}");
        assert!(before.contains("## Replica\n\nAbout Replica.\n\n|  | ms |\n| --- | ---: |\n| a | 1 |\n"), "{before}");
        assert!(before.contains("| Replica | `bench replica` | 2026-03-01 | 0.2.0, abc | 2 × CPU |"), "{before}");
        assert!(before.find("## Messages").unwrap() < before.find("## Replica").unwrap(), "the order of the parts");

        let mut later = open(scratch.dir()).unwrap();
        later.write("messages", origin("bench messages"), section("Messages", 1.5)).unwrap();
        let after = read(PAGE);
        let replaced = before.replace("3.00 ms", "1.50 ms").replace("missed: 1.50 times as much", "met");
        assert_eq!(after, replaced.replace("| a | 3 |", "| a | 1.5 |"));
    }

    #[test]
    fn a_fault_is_shown_until_its_part_runs_without() {
        let scratch = Scratch::new("benchmarks").unwrap();
        let mut book = open(scratch.dir()).unwrap();
        let mut faulty = section("Messages", 1.0);
        faulty.check("200/s", &serde_json::json!({"ok": false, "verification": {"lost": 1}, "failures": {}}));
        book.write("messages", origin("bench"), faulty).unwrap();
        assert!(book.render().contains("**Not everything arrived once and in order:** 200/s: `{\"lost\":1}` `{}`"));
        book.write("messages", origin("bench"), section("Messages", 1.0)).unwrap();
        assert!(book.render().contains("In every run everything arrived once and in order."));
    }
}
