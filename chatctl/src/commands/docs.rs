//! `chatctl docs`: pages that are made from the code, and the check that they are up to date.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::terminal::print_line;

#[derive(Debug, Subcommand)]
pub enum DocsCommand {
    /// The reference of all settings.
    Configuration(PageArguments),
}

#[derive(Debug, Args)]
pub struct PageArguments {
    /// Writes nothing, and fails when the file is not what would be written.
    #[arg(long)]
    check: bool,
    #[arg(long, default_value = "docs/configuration.md", value_name = "FILE")]
    file: PathBuf,
}

impl DocsCommand {
    pub fn run(self) -> Result<()> {
        match self {
            DocsCommand::Configuration(page) => page.apply(&shared::config::reference_markdown()),
        }
    }
}

impl PageArguments {
    fn apply(&self, content: &str) -> Result<()> {
        let name = self.file.display();
        let present = match std::fs::read_to_string(&self.file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {name}")),
        };
        if present.as_deref() == Some(content) {
            return print_line(&format!("{name} is up to date"));
        }
        if self.check {
            bail!("{name} is not up to date: run `chatctl docs configuration`");
        }
        std::fs::write(&self.file, content).with_context(|| format!("writing {name}"))?;
        print_line(&format!("{name} written"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_configuration_reference_is_up_to_date() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        PageArguments { check: true, file: file.into() }.apply(&shared::config::reference_markdown()).unwrap();
    }

    #[test]
    fn the_check_finds_a_difference_and_writes_nothing() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let page = |check| PageArguments { check, file: folder.join("page.md") };
        assert!(page(true).apply("new").is_err());
        assert!(!folder.join("page.md").exists());
        page(false).apply("new").unwrap();
        page(true).apply("new").unwrap();
        assert!(page(true).apply("newer").is_err());
        assert_eq!(std::fs::read_to_string(folder.join("page.md")).unwrap(), "new");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
