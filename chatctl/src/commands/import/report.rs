//! What could not be imported and why, row by row: all of it in a file, the numbers on the terminal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::terminal::{print_line, printable};

pub struct Report {
    file: BufWriter<File>,
    counts: BTreeMap<(&'static str, &'static str), u64>,
    imported: BTreeMap<&'static str, u64>,
}

impl Report {
    pub fn create(path: &Path) -> Result<Report> {
        let file = File::create(path).with_context(|| format!("--report {}", path.display()))?;
        let mut file = BufWriter::new(file);
        writeln!(file, "table\treason\tid")?;
        Ok(Report { file, counts: BTreeMap::new(), imported: BTreeMap::new() })
    }

    /// Records a row that was not imported, or not unchanged.
    pub fn note(&mut self, table: &'static str, reason: &'static str, id: impl std::fmt::Display) -> Result<()> {
        *self.counts.entry((table, reason)).or_default() += 1;
        writeln!(self.file, "{table}\t{reason}\t{}", printable(&id.to_string()).replace(['\t', '\n'], " "))?;
        Ok(())
    }

    /// Counts imported rows of a table.
    pub fn imported(&mut self, table: &'static str, count: u64) {
        *self.imported.entry(table).or_default() += count;
    }

    /// Prints the numbers.
    pub fn finish(mut self, path: &Path) -> Result<()> {
        self.file.flush()?;
        for (table, count) in &self.imported {
            print_line(&format!("{table}: {count}"))?;
        }
        for ((table, reason), count) in &self.counts {
            print_line(&format!("{table}: {count} {reason}"))?;
        }
        if !self.counts.is_empty() {
            print_line(&format!("the ids are in {}", path.display()))?;
        }
        Ok(())
    }
}
