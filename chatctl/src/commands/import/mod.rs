//! `chatctl import`: imports the data of the original server into our tables.
//!
//! This file has the order of the steps; each step is a file. Messages go through a staging table, sealed: they are
//! read in the order of their serial `id`, which has an index, and then numbered in the order of their time. Every row
//! that cannot be imported is in the report ([`report`]).

mod communities;
mod events;
mod groups;
mod held;
mod ids;
mod marks;
mod messages;
mod move_tables;
mod numbering;
mod report;
mod runs;
mod source;
mod verify;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use shared::crypto::Keyring;
use sqlx::PgConnection;

use self::report::Report;
use self::source::Source;
use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{audit, database};

pub use move_tables::has_original_tables;

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Imports users' messages, groups and communities from the original server's tables.
    ///
    /// Run it as often as you like: nothing is imported twice, and an interrupted run continues where it stopped. The
    /// encryption settings must be those of the workers.
    Original(OriginalArguments),
    /// Moves the original server's tables out of `public`, where ours belong, into a separate schema; `--back` undoes
    /// it.
    MoveTables(move_tables::MoveArguments),
}

#[derive(Debug, Args)]
pub struct OriginalArguments {
    /// URL of the database with the original's tables; after `import move-tables` it may be the same as DATABASE_URL.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Schema with the original's tables.
    #[arg(long, default_value = "public", value_name = "NAME")]
    schema: String,
    /// Only messages written or changed since this time (RFC 3339): what was added after an earlier run.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Turns `&amp;` `&lt;` `&gt;` `&quot;` `&#x27;` back into characters, once: the original escaped what it stored.
    #[arg(long)]
    decode_entities: bool,
    /// Time zone of columns without one.
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// Reads everything and reports what could not be imported; writes nothing.
    #[arg(long, conflicts_with = "verify")]
    dry_run: bool,
    /// Compares counts, texts and order of every conversation with the source instead of importing.
    #[arg(long)]
    verify: bool,
    /// File that lists the rows that could not be imported: table, reason and id, separated by tabs [default:
    /// import-report.tsv, or with
    /// --verify verify-report.tsv].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Rows read at a time.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
}

/// What every step needs.
struct Import<'a> {
    source: &'a mut Source,
    target: &'a mut PgConnection,
    keyring: &'a Keyring,
    report: &'a mut Report,
    batch: i64,
    decode_entities: bool,
    time_zone: &'a str,
    dry_run: bool,
}

impl ImportCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        match self {
            ImportCommand::Original(arguments) => arguments.run(settings).await,
            ImportCommand::MoveTables(arguments) => arguments.run(settings).await,
        }
    }
}

impl OriginalArguments {
    async fn run(self, settings: &Settings) -> Result<()> {
        let encryption = settings.encryption()?;
        let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??;
        let mut target = database::connect(settings).await?;
        let mut source = Source::connect(&self.from, &self.schema, &self.time_zone).await?;
        let name = if self.verify { "verify-report.tsv" } else { "import-report.tsv" };
        let path = self.report.unwrap_or_else(|| name.into());
        let mut report = Report::create(&path)?;
        if !self.dry_run {
            prepare(&mut target).await?;
        }
        let mut import = Import {
            source: &mut source,
            target: &mut target,
            keyring: &keyring,
            report: &mut report,
            batch: self.batch.into(),
            decode_entities: self.decode_entities,
            time_zone: &self.time_zone,
            dry_run: self.dry_run,
        };
        if self.verify {
            let differences = verify::run(&mut import).await?;
            report.finish(&path)?;
            if differences > 0 {
                bail!("{differences} differences, see {}", path.display());
            }
            return print_line("the import is as its source");
        }
        import.run(self.since.as_deref()).await?;
        report.finish(&path)
    }
}

impl Import<'_> {
    /// Prepares a text of the source for storing.
    fn read_text(&self, text: String) -> String {
        if self.decode_entities { ids::decode_entities(&text) } else { text }
    }

    async fn run(&mut self, since: Option<&str>) -> Result<()> {
        let known = groups::known(self.source).await?;
        if self.dry_run {
            messages::stage(self, &known, None).await?;
        } else {
            let run = runs::begin(self, since).await?;
            messages::stage(self, &known, Some(&run)).await?;
            numbering::run(self).await?;
            self.run_rest(&known).await?;
            runs::finish(self.target, &run).await?;
            let details = json!({"source": run.source, "since": since});
            return audit::record(self.target, "import original", None, details).await;
        }
        self.run_rest(&known).await
    }

    /// Imports what is small enough to be imported completely in every run, whatever `--since` says.
    async fn run_rest(&mut self, known: &groups::Known) -> Result<()> {
        groups::run(self, known).await?;
        marks::run(self, known).await?;
        communities::run(self, known).await?;
        events::run(self).await
    }
}

/// Creates the import's own tables. Ours must already exist.
async fn prepare(target: &mut PgConnection) -> Result<()> {
    let ours: bool =
        sqlx::query_scalar("SELECT to_regclass('held_message_ids') IS NOT NULL").fetch_one(&mut *target).await?;
    if !ours {
        bail!("the tables to import into are not there: run `chatctl migrate` first");
    }
    // Digests are of times as Postgres prints them.
    sqlx::raw_sql("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").execute(&mut *target).await?;
    sqlx::raw_sql(include_str!("schema.sql")).execute(target).await.context("the schema chat_import")?;
    Ok(())
}
