//! Dead letters: commands that failed for reasons of their own, kept with the reason for a person to look at.

use shared::redis::lanes::RawEntry;

use super::settle::Settlement;
use crate::app::App;

/// Queues the entry, still sealed, for the dead-letter stream.
pub fn queue(app: &App, settlement: &mut Settlement, raw: &RawEntry, error: &str) {
    tracing::error!(entry_id = raw.id, error, "a command goes to the dead letters");
    settlement.dead_letters.push((app.keys.dead_letters(), raw.entry.clone(), error.to_owned()));
}
