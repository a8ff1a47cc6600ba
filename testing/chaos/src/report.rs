//! What a run found, for people; and what a run with violations leaves behind.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::Deployment;

use crate::Plan;
use crate::faults::Step;

/// One step of the sequence, with its times.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Since the first.
    pub at: Duration,
    pub step: Step,
    /// From the first fault to the end of the last.
    pub lasted: Duration,
    /// From there to the first successful send on every gateway.
    pub back_after: Duration,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |duration: Duration| duration.as_secs_f64();
        write!(
            f,
            "{:6.1} s  {}: lasted {:.1} s, every gateway served {:.1} s later",
            seconds(self.at),
            self.step,
            seconds(self.lasted),
            seconds(self.back_after)
        )
    }
}

#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    pub acknowledged: u64,
    /// Refused for the moment, and repeated.
    pub refused: u64,
    /// Commands on living connections that were not answered at all.
    pub unanswered: u64,
    pub timeline: Vec<Entry>,
    /// What reached its recipient only after reconnecting.
    pub late: Vec<String>,
    pub violations: Vec<String>,
    /// The folder with the logs of a run with violations.
    pub kept: Option<PathBuf>,
}

impl Report {
    /// Keeps logs and messages for a person to look at.
    pub(crate) fn keep(&mut self, plan: &Plan, deployment: &Deployment) -> Result<()> {
        let folder = plan.keep.join(format!("seed-{}", self.seed));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for entry in std::fs::read_dir(deployment.logs())?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        let messages = deployment.sql(
            "SELECT conversation_id, seq, message_id, sender_id, client_message_id, created_at
             FROM private_messages ORDER BY 1, 2",
        )?;
        std::fs::write(folder.join("messages"), messages)?;
        std::fs::write(folder.join("report"), format!("{plan:?}\n{self}"))?;
        self.kept = Some(folder);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.timeline {
            writeln!(f, "{entry}")?;
        }
        writeln!(
            f,
            "{} messages acknowledged, {} commands refused for the moment, {} never answered; {} things arrived only by \
             reconnecting",
            self.acknowledged,
            self.refused,
            self.unanswered,
            self.late.len()
        )?;
        for late in self.late.iter().take(5) {
            writeln!(f, "  late: {late}")?;
        }
        for violation in &self.violations {
            writeln!(f, "  VIOLATION: {violation}")?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "logs: {}", kept.display())?;
        }
        let verdict = if self.violations.is_empty() { "nothing was lost, doubled or out of order" } else { "VIOLATED" };
        write!(f, "seed {}: {verdict}", self.seed)
    }
}
