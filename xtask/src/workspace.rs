//! The checkout: its root, cargo's target folder, and how cargo is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

#[derive(Clone, Debug)]
pub struct Workspace {
    pub root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, or `target` at the root.
    pub target_dir: PathBuf,
}

impl Workspace {
    pub fn find(given: Option<PathBuf>) -> Result<Self> {
        let here = std::env::current_dir().context("no current folder")?;
        let root = match (given, std::env::var_os("CARGO_MANIFEST_DIR")) {
            (Some(root), _) => root,
            // Set by `cargo run`, and so by `cargo xtask`: the folder of this package.
            (None, Some(package)) => {
                PathBuf::from(package).parent().map(Path::to_path_buf).context("folder above this package")?
            }
            (None, None) => {
                let found = here.ancestors().find(|dir| dir.join("xtask/Cargo.toml").is_file());
                found.context("call this inside of the workspace")?.to_path_buf()
            }
        };
        let root = root.canonicalize().with_context(|| format!("folder {}", root.display()))?;
        let target_dir = match std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => here.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target_dir })
    }

    /// Returns the folder of the development stack's state. It is always here, wherever cargo builds, so it can be
    /// found.
    pub fn stack_dir(&self) -> PathBuf {
        self.root.join("target/stack")
    }

    /// Returns a cargo command at the root, with the environment of a command that was typed there: build scripts that
    /// read the variables that `cargo run` sets for this package (ring's does) would run again, and everything that
    /// depends on them.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_a_package)) {
            command.env_remove(name);
        }
        command.args(args).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target_dir);
        command
    }

    /// Runs cargo with our own output streams.
    pub fn run_cargo(&self, args: &[&str]) -> Result<()> {
        let status = self.cargo(args).status().context("running cargo")?;
        if !status.success() {
            bail!("`cargo {}` failed ({status})", args.join(" "));
        }
        Ok(())
    }

    /// Returns `path` as it would be typed at the root.
    pub fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn is_of_a_package(variable: &str) -> bool {
    variable == "CARGO_CRATE_NAME"
        || ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| variable.starts_with(p))
}
