//! `cargo xtask sbom`: what the delivered programs are made of, as CycloneDX JSON: every package with version, license and
//! checksum. Packages that only tests and builds use are left out.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

const DELIVERED: [&str; 3] = ["gateway", "worker", "chatctl"];

/// Writes the document to stdout.
pub fn print(workspace: &Workspace) -> Result<()> {
    let mut args = vec!["tree", "--locked", "--prefix", "none", "--edges", "normal", "--target", "all"];
    args.extend(["--format", "{p}|{l}"]);
    DELIVERED.iter().for_each(|package| args.extend(["--package", package]));
    let tree = workspace.cargo(&args).output().context("running cargo tree")?;
    if !tree.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&tree.stderr).trim());
    }
    let lock = std::fs::read_to_string(workspace.root.join("Cargo.lock")).context("Cargo.lock")?;
    println!("{}", document(&String::from_utf8_lossy(&tree.stdout), &checksums(&lock)));
    Ok(())
}

/// Returns the checksums by name and version.
fn checksums(lock: &str) -> HashMap<(&str, &str), &str> {
    lock.split("[[package]]")
        .filter_map(|block| Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?)))
        .collect()
}

fn value<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
}

fn document(tree: &str, checksums: &HashMap<(&str, &str), &str>) -> String {
    // Lines as `bytes v1.12.0|MIT`, with ` (*)` or, for our own packages, the path in between.
    let packages: BTreeSet<(&str, &str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let (package, license) = line.split_once('|')?;
            let (name, version) = package.split_once(" v")?;
            Some((name, version.split(' ').next()?, license.trim_end_matches(" (*)").trim()))
        })
        .collect();
    let mut text = String::from("{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\"components\":[");
    for (number, (name, version, license)) in packages.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\n{{\"type\":\"library\",\"name\":\"{name}\",\"version\":\"{version}\",\
             \"purl\":\"pkg:cargo/{name}@{version}\""
        );
        if !license.is_empty() {
            let _ = write!(text, ",\"licenses\":[{{\"expression\":\"{}\"}}]", license.replace('/', " OR "));
        }
        if let Some(checksum) = checksums.get(&(*name, *version)) {
            let _ = write!(text, ",\"hashes\":[{{\"alg\":\"SHA-256\",\"content\":\"{checksum}\"}}]");
        }
        text.push('}');
    }
    text.push_str("\n]}");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_package_stands_once_with_license_and_checksum() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let tree = "own v0.1.0 (/x)|MIT\na v1.0.0|MIT/Apache-2.0\na v1.0.0|MIT/Apache-2.0 (*)\n";
        let text = document(tree, &checksums(lock));
        let parsed: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
        let components = parsed["components"].as_sequence().unwrap();
        assert_eq!(components.len(), 2, "{text}");
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[0]["hashes"][0]["content"], "ab");
        assert_eq!(components[1]["purl"], "pkg:cargo/own@0.1.0");
    }
}
