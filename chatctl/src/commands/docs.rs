//! `chatctl docs`: pages that are made from the code, and the check that they are up to date.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::terminal::print_line;

#[derive(Debug, Subcommand)]
pub enum DocsCommand {
    /// The reference of all settings.
    Configuration {
        #[command(flatten)]
        page: PageArguments,
        #[arg(long, default_value = "docs/configuration.md", value_name = "FILE")]
        file: PathBuf,
    },
    /// The reference of all metrics.
    Metrics {
        #[command(flatten)]
        page: PageArguments,
        #[arg(long, default_value = "docs/metrics.md", value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct PageArguments {
    /// Writes nothing, and fails when the file is not what would be written.
    #[arg(long)]
    check: bool,
}

impl DocsCommand {
    pub fn run(self) -> Result<()> {
        match self {
            DocsCommand::Configuration { page, file } => page.apply(&file, &shared::config::reference_markdown()),
            DocsCommand::Metrics { page, file } => page.apply(&file, &shared::metrics::reference_markdown()),
        }
    }
}

impl PageArguments {
    fn apply(&self, file: &Path, content: &str) -> Result<()> {
        let name = file.display();
        let present = match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {name}")),
        };
        if present.as_deref() == Some(content) {
            return print_line(&format!("{name} is up to date"));
        }
        if self.check {
            bail!("{name} is not up to date: run `chatctl docs` for it");
        }
        std::fs::write(file, content).with_context(|| format!("writing {name}"))?;
        print_line(&format!("{name} written"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_references_are_up_to_date() {
        let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
        let check = PageArguments { check: true };
        check.apply(&docs.join("configuration.md"), &shared::config::reference_markdown()).unwrap();
        check.apply(&docs.join("metrics.md"), &shared::metrics::reference_markdown()).unwrap();
    }

    #[test]
    fn the_check_finds_a_difference_and_writes_nothing() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("page.md");
        let page = |check| PageArguments { check };
        assert!(page(true).apply(&file, "new").is_err());
        assert!(!folder.join("page.md").exists());
        page(false).apply(&file, "new").unwrap();
        page(true).apply(&file, "new").unwrap();
        assert!(page(true).apply(&file, "newer").is_err());
        assert_eq!(std::fs::read_to_string(folder.join("page.md")).unwrap(), "new");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
