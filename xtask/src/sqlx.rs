//! The checked query data in `.sqlx`: created by compiling the crates with SQL against a fresh, migrated database.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use devstack::{Scratch, install, testing};

use crate::workspace::Workspace;

const CRATES: [&str; 2] = ["worker", "chatctl"];

type Queries = BTreeMap<String, Vec<u8>>;

/// Brings `.sqlx` up to date; nothing is changed if the queries do not compile.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let made = generate(workspace)?;
    let dir = workspace.root.join(".sqlx");
    std::fs::create_dir_all(&dir)?;
    for name in read(&dir)?.keys().filter(|name| !made.contains_key(*name)) {
        std::fs::remove_file(dir.join(name)).with_context(|| format!("removing {name}"))?;
    }
    for (name, content) in &made {
        std::fs::write(dir.join(name), content).with_context(|| format!("writing {name}"))?;
    }
    println!("{} queries in {}", made.len(), dir.display());
    Ok(())
}

/// Fails with the differences if `.sqlx` is not what [`prepare`] would write.
pub fn check(workspace: &Workspace) -> Result<()> {
    let made = generate(workspace)?;
    let committed = read(&workspace.root.join(".sqlx"))?;
    let differences = differences(&committed, &made);
    if !differences.is_empty() {
        bail!(".sqlx is out of date; run `cargo xtask sqlx prepare`:\n  {}", differences.join("\n  "));
    }
    println!("{} queries are up to date", made.len());
    Ok(())
}

fn generate(workspace: &Workspace) -> Result<Queries> {
    install::ensure(&mut |line| println!("==> {line}"))?;
    let scratch = Scratch::new("sqlx")?;
    let postgres = testing::start_postgres(&scratch)?;
    let url = postgres.create_database("prepare")?;
    for file in migrations(&workspace.root.join("migrations"))? {
        postgres.run_file("prepare", &file)?;
    }
    let out = scratch.dir().join("queries");
    std::fs::create_dir(&out)?;
    // The macros run only when a crate is compiled, and do not declare their dependencies to cargo.
    touch_roots(workspace)?;
    // The whole workspace, so that dependencies are built with the same features as everywhere else, and only once.
    let args = ["check", "--workspace", "--all-targets"];
    let status = workspace
        .cargo(&args)
        .env("DATABASE_URL", &url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &out)
        .status()
        .context("running cargo")?;
    // The next compilation must not reuse these results.
    touch_roots(workspace)?;
    if !status.success() {
        bail!("the queries do not compile against the migrations ({status})");
    }
    read(&out)
}

/// Returns the migrations in the order in which they are applied.
fn migrations(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(|| format!("folder {}", dir.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    Ok(files)
}

/// Marks the root file of each target as changed.
fn touch_roots(workspace: &Workspace) -> Result<()> {
    for name in CRATES {
        let package = workspace.root.join(name);
        let mut roots = vec![package.join("src/lib.rs"), package.join("src/main.rs")];
        for dir in ["src/bin", "tests", "examples", "benches"] {
            roots.extend(std::fs::read_dir(package.join(dir)).into_iter().flatten().flatten().map(|e| e.path()));
        }
        for root in roots.iter().filter(|root| root.extension().is_some_and(|extension| extension == "rs")) {
            if let Ok(file) = File::options().append(true).open(root) {
                file.set_modified(SystemTime::now()).with_context(|| format!("touching {}", root.display()))?;
            }
        }
    }
    Ok(())
}

fn read(dir: &Path) -> Result<Queries> {
    let mut queries = Queries::new();
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(queries);
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            queries.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(queries)
}

fn differences(committed: &Queries, made: &Queries) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, content) in made {
        match committed.get(name) {
            None => lines.push(format!("missing: {name} {}", query_of(content))),
            Some(old) if old != content => lines.push(format!("changed: {name} {}", query_of(content))),
            Some(_) => {}
        }
    }
    let stale = committed.iter().filter(|(name, _)| !made.contains_key(*name));
    lines.extend(stale.map(|(name, content)| format!("stale: {name} {}", query_of(content))));
    lines
}

/// Returns the beginning of the query, for people; the data has one field per line.
fn query_of(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let query = text.lines().find_map(|line| line.trim().strip_prefix("\"query\": "));
    query.unwrap_or_default().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_differs() {
        let queries = |list: &[(&str, &str)]| -> Queries {
            list.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let committed = queries(&[("same", "x"), ("old", "y"), ("edited", "1")]);
        let made = queries(&[("same", "x"), ("new", "{\n  \"query\": \"select 1\",\n}"), ("edited", "2")]);
        let lines = differences(&committed, &made);
        assert_eq!(lines, ["changed: edited ", "missing: new \"select 1\",", "stale: old "]);
        assert!(differences(&made, &made).is_empty());
    }
}
