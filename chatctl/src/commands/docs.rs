//! `chatctl docs`: pages that are generated from the code, and the check that they are up to date.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::terminal::print_line;

const LINE_CHARACTERS: usize = 120;

#[derive(Debug, Subcommand)]
pub enum DocsCommand {
    /// The reference of all settings.
    Configuration(PageArguments),
    /// The reference of all metrics.
    Metrics(PageArguments),
    /// The protocol as a page for frontend developers.
    Protocol(PageArguments),
    /// The WebSocket as AsyncAPI.
    Asyncapi(PageArguments),
    /// The HTTP endpoints as OpenAPI.
    Openapi(PageArguments),
    /// The WebSocket as TypeScript types, for the SDK.
    Typescript(PageArguments),
    /// The endpoints of the server API as TypeScript, for the SDK.
    Endpoints(PageArguments),
}

#[derive(Debug, Args)]
pub struct PageArguments {
    /// Writes nothing, and fails if the file differs from what would be written.
    #[arg(long)]
    check: bool,
    /// File to write [default: the page's path in the repository].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// A page that is generated from the code.
struct Page {
    command: &'static str,
    file: &'static str,
    content: String,
}

impl DocsCommand {
    pub fn run(self) -> Result<()> {
        let (page, arguments) = match self {
            DocsCommand::Configuration(arguments) => (configuration(), arguments),
            DocsCommand::Metrics(arguments) => (metrics(), arguments),
            DocsCommand::Protocol(arguments) => (protocol(), arguments),
            DocsCommand::Asyncapi(arguments) => (asyncapi(), arguments),
            DocsCommand::Openapi(arguments) => (openapi(), arguments),
            DocsCommand::Typescript(arguments) => (typescript(), arguments),
            DocsCommand::Endpoints(arguments) => (endpoints(), arguments),
        };
        page.apply(&arguments)
    }
}

fn configuration() -> Page {
    let content = shared::config::reference_markdown();
    Page { command: "configuration", file: "docs/configuration.md", content }
}

fn metrics() -> Page {
    Page { command: "metrics", file: "docs/metrics.md", content: shared::metrics::reference_markdown() }
}

fn protocol() -> Page {
    Page { command: "protocol", file: "docs/protocol.md", content: contract::markdown::protocol_markdown() }
}

fn asyncapi() -> Page {
    let content = contract::json::print(&contract::asyncapi(), LINE_CHARACTERS);
    Page { command: "asyncapi", file: "docs/asyncapi.json", content }
}

fn openapi() -> Page {
    let content = contract::json::print(&contract::openapi(), LINE_CHARACTERS);
    Page { command: "openapi", file: "docs/openapi.json", content }
}

fn typescript() -> Page {
    let content = contract::typescript();
    Page { command: "typescript", file: "sdk/src/generated/protocol.ts", content }
}

fn endpoints() -> Page {
    let content = contract::typescript::server_endpoints();
    Page { command: "endpoints", file: "sdk/src/generated/server-api.ts", content }
}

impl Page {
    fn apply(&self, arguments: &PageArguments) -> Result<()> {
        let content = self.content.as_str();
        let file = arguments.file.clone().unwrap_or_else(|| self.file.into());
        let name = file.display();
        let present = match std::fs::read_to_string(&file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {name}")),
        };
        if present.as_deref() == Some(content) {
            return print_line(&format!("{name} is up to date"));
        }
        if arguments.check {
            bail!("{name} is not up to date: run `chatctl docs {}`", self.command);
        }
        std::fs::write(&file, content).with_context(|| format!("writing {name}"))?;
        print_line(&format!("{name} written"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_page_is_up_to_date() {
        for page in [configuration(), metrics(), protocol(), asyncapi(), openapi(), typescript(), endpoints()] {
            let file = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), page.file);
            page.apply(&PageArguments { check: true, file: Some(file.into()) }).unwrap();
        }
    }

    #[test]
    fn the_check_finds_a_difference_and_writes_nothing() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let arguments = |check| PageArguments { check, file: Some(folder.join("page.md")) };
        let page = |content: &str| Page { command: "page", file: "unused", content: content.to_owned() };
        assert!(page("new").apply(&arguments(true)).is_err());
        assert!(!folder.join("page.md").exists());
        page("new").apply(&arguments(false)).unwrap();
        page("new").apply(&arguments(true)).unwrap();
        assert!(page("newer").apply(&arguments(true)).is_err());
        assert_eq!(std::fs::read_to_string(folder.join("page.md")).unwrap(), "new");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
