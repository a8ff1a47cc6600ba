//! `cargo xtask counts`: how many instructions a call of each hot function takes, compared with the checked-in counts.
//!
//! Instructions do not depend on the clock or on what else the machine does, so a change of a few percent is visible,
//! which it is not in times on a shared machine. They do depend on the tools, and on the instruction sets of the
//! processor: valgrind always emulates the same processor (a Haswell without SHA, VAES and AVX-512) if the real one has
//! AVX2. Counts made with other tools are therefore not compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow, bail};
use devstack::{Scratch, install};
use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

/// The file of the counts, written by `cargo xtask counts --write`.
const FILE: &str = "testing/bench/counts.json";
const PACKAGE: &str = "bench";
/// The function of the program that makes the calls.
const COUNTED: &str = "*measured_calls*";
/// A multiple of the number of calls that use up one block of random bytes.
const CALLS: u64 = 64;
/// The program's whole environment.
const ENVIRONMENT: [(&str, &str); 2] = [
    // The allocator must not release memory, because it does so by the clock.
    ("MIMALLOC_PURGE_DELAY", "-1"),
    // Instructions that clear or copy a whole area count once per byte, and would hide all others.
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS"),
];
/// A larger increase is a failure.
const MAX_PERCENT: u64 = 5;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Write the counts to testing/bench/counts.json instead
    #[arg(long)]
    write: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counts {
    /// What the counts were made with.
    tools: BTreeMap<String, String>,
    /// Per call.
    instructions: BTreeMap<String, u64>,
}

/// The result of the comparison.
pub enum Comparison {
    Compared {
        functions: usize,
        failures: Vec<String>,
    },
    /// The checked-in counts cannot be compared on this machine.
    NotComparable(String),
}

pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if options.write {
        write(workspace)?;
        return Ok(ExitCode::SUCCESS);
    }
    match compare(workspace)? {
        Comparison::Compared { failures, .. } if failures.is_empty() => Ok(ExitCode::SUCCESS),
        Comparison::Compared { failures, .. } => bail!("{}", failures.join("\n       ")),
        Comparison::NotComparable(why) => bail!(
            "NOT COMPARED: {why}. Write {FILE} on the commit before the change (`cargo xtask counts --write`) to compare with that"
        ),
    }
}

/// Counts, prints, and compares with the file.
pub fn compare(workspace: &Workspace) -> Result<Comparison> {
    let now = count(workspace)?;
    let path = workspace.root.join(FILE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {FILE}"))?;
    let before: Counts = serde_json::from_str(&text).with_context(|| format!("reading {FILE}"))?;
    print!("{}", table(&before, &now));
    if let Some(difference) = other_tools(&before, &now) {
        return Ok(Comparison::NotComparable(difference));
    }
    Ok(Comparison::Compared { functions: now.instructions.len(), failures: failures(&before, &now) })
}

fn write(workspace: &Workspace) -> Result<()> {
    let counts = count(workspace)?;
    print!("{}", table(&counts, &counts));
    std::fs::write(workspace.root.join(FILE), serde_json::to_string_pretty(&counts)? + "\n")
        .with_context(|| format!("writing {FILE}"))
}

fn count(workspace: &Workspace) -> Result<Counts> {
    install::ensure_valgrind(&mut |line| println!("{line}"))?;
    let tools = tools(workspace)?;
    let program = build(workspace)?;
    let scratch = Scratch::new("counts")?;
    let list = output(&mut Command::new(&program))?;
    let functions: Vec<&str> = list.lines().collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let counted: Vec<Result<(String, u64)>> = std::thread::scope(|scope| {
        let count = |functions: &[&str]| -> Vec<Result<(String, u64)>> {
            let counted = functions
                .iter()
                .map(|function| Ok(((*function).to_owned(), instructions_of(&program, function, scratch.dir())?)));
            counted.collect()
        };
        let parts = functions.chunks(functions.len().div_ceil(cores).max(1));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || count(part))).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|_| vec![Err(anyhow!("a count panicked"))]))
            .collect()
    });
    Ok(Counts { tools, instructions: counted.into_iter().collect::<Result<_>>()? })
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = workspace.cargo(&["build", "--release", "--package", PACKAGE, "--bin", PACKAGE]);
    // The developer's own flags, such as `target-cpu=native`, would produce a different program.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_INCREMENTAL", "0");
    let status = cargo.status().context("running cargo")?;
    if !status.success() {
        bail!("{PACKAGE} could not be built ({status})");
    }
    Ok(workspace.target_dir.join("release").join(PACKAGE))
}

/// Returns the instructions per call of one function.
fn instructions_of(program: &Path, function: &str, dir: &Path) -> Result<u64> {
    let counted = dir.join(function);
    let mut valgrind = Command::new(install::find_program("valgrind").context("valgrind is not there")?);
    valgrind.args(["--quiet", "--tool=callgrind", &format!("--toggle-collect={COUNTED}")]);
    valgrind
        .arg(format!("--callgrind-out-file={}", counted.display()))
        .arg(program)
        .args([function, &CALLS.to_string()]);
    valgrind.env_clear().envs(ENVIRONMENT);
    output(&mut valgrind)?;
    let text = std::fs::read_to_string(&counted).context("reading what callgrind wrote")?;
    let total = total(&text).with_context(|| format!("callgrind counted nothing of {function}"))?;
    Ok(total.div_ceil(CALLS))
}

/// Returns the sum in callgrind's file; `None` if nothing was counted.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "))?;
    line.trim().parse().ok().filter(|total| *total > 0)
}

/// Returns everything that determines which instructions run, except the code and `Cargo.lock`: the compilers (the
/// allocator is written in C), the C library with its copying of memory, and valgrind with its processor.
fn tools(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    let mut rustc = Command::new("rustc");
    rustc.arg("--version").current_dir(&workspace.root);
    let mut tools = BTreeMap::from([("processor".to_owned(), processor())]);
    for (name, mut command) in [
        ("rustc", rustc),
        ("cc", with_argument("cc", "--version")),
        ("libc", with_argument("getconf", "GNU_LIBC_VERSION")),
        ("valgrind", with_argument("valgrind", "--version")),
    ] {
        let text = output(&mut command)?;
        tools.insert(name.to_owned(), text.lines().next().unwrap_or_default().to_owned());
    }
    Ok(tools)
}

fn with_argument(program: &str, argument: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has_avx2 = flags.split_ascii_whitespace().any(|flag| flag == "avx2");
    format!("{} {} AVX2", std::env::consts::ARCH, if has_avx2 { "with" } else { "without" })
}

/// Returns what a command prints; it must succeed.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("running {name}"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn other_tools(before: &Counts, now: &Counts) -> Option<String> {
    let differs = |(name, then): (&String, &String)| {
        let here = now.tools.get(name).map_or("none", String::as_str);
        (here != then).then(|| format!("{name} is {here} here and was {then}"))
    };
    let differences: Vec<String> = before.tools.iter().filter_map(differs).collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

fn failures(before: &Counts, now: &Counts) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, &count) in &now.instructions {
        match before.instructions.get(name) {
            None => failures.push(format!("{name} is not in {FILE}: run `cargo xtask counts --write`")),
            Some(&then) if count * 100 > then * (100 + MAX_PERCENT) => failures.push(format!(
                "{name} takes {:+.1} % instructions; if that is meant, run `cargo xtask counts --write`",
                percent(then, count)
            )),
            Some(_) => {}
        }
    }
    let gone = before.instructions.keys().filter(|name| !now.instructions.contains_key(*name));
    failures.extend(gone.map(|name| format!("{name} of {FILE} is gone: run `cargo xtask counts --write`")));
    failures
}

fn percent(then: u64, now: u64) -> f64 {
    (now as f64 / then as f64 - 1.0) * 100.0
}

fn table(before: &Counts, now: &Counts) -> String {
    let mut text = format!("{:<20} {:>12} {:>9}\n", "function", "instructions", "change");
    for (name, &count) in &now.instructions {
        let change = before.instructions.get(name).map(|&then| format!("{:+.2} %", percent(then, count)));
        let _ = writeln!(text, "{name:<20} {count:>12} {:>9}", change.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rustc: &str, instructions: &[(&str, u64)]) -> Counts {
        Counts {
            tools: BTreeMap::from([("rustc".to_owned(), rustc.to_owned())]),
            instructions: instructions.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn counts_may_grow_by_five_percent_and_must_have_a_base() {
        let before = counts("1", &[("a", 1_000), ("b", 1_000), ("c", 1_000), ("gone", 1)]);
        let now = counts("1", &[("a", 1_050), ("b", 1_051), ("c", 10), ("new", 1)]);
        let failures = failures(&before, &now);
        let about: Vec<&str> = failures.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(about, ["b", "new", "gone"]);
        assert!(table(&before, &now).contains("+5.10 %"));
    }

    #[test]
    fn counts_of_another_compiler_are_not_compared() {
        let before = counts("1.95.0", &[]);
        assert_eq!(other_tools(&before, &before), None);
        let difference = other_tools(&before, &counts("1.96.0", &[])).unwrap();
        assert_eq!(difference, "rustc is 1.96.0 here and was 1.95.0");
    }

    #[test]
    fn the_total_of_a_function_that_never_ran_is_none() {
        assert_eq!(total("events: Ir\nfn=(1) x\n1 5\n\ntotals: 12345\n"), Some(12_345));
        assert_eq!(total("events: Ir\n\ntotals: 0\n"), None);
        assert_eq!(total(""), None);
    }
}
