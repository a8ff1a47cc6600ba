//! What a round reads of each conversation: only which rows. [`super::messages`] reads as many of them as fit into the
//! round.

use std::collections::HashMap;

use crate::store::session::PgSession;
use shared::ids::{MessageId, UserId};
use shared::limits::MAX_PAGE;

use super::{RoundItem, is_stale};
use crate::error::Failure;
use crate::store::changes::{self, ChangeKind, HiddenSince};
use crate::store::history;

/// How many changes of one conversation fit into a round.
const MAX_CHANGES: i64 = 200;
/// How many hidden messages of one conversation fit into a round.
const MAX_HIDDEN: i64 = 1_000;
const MAX_MESSAGES: i64 = MAX_PAGE as i64;

/// What is read of one conversation.
#[derive(Debug, Default)]
pub struct ChangesRead {
    /// Each changed message with the last of the versions read that changed it, ordered by that version.
    pub changed: Vec<Changed>,
    pub has_new_info: bool,
    /// All messages up to this number are gone for everyone.
    pub emptied_through: Option<i64>,
    /// With the changes read, the client has this version; `None` if more follow.
    pub through: Option<i64>,
    pub hidden: Vec<(MessageId, i64)>,
    pub has_more_hidden: bool,
    /// New messages.
    pub messages: Vec<MessageId>,
    pub has_more_messages: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    pub version: i64,
    pub seq: i64,
    pub message_id: MessageId,
}

/// The readings of the first conversations, in their order.
pub struct Plan {
    pub readings: Vec<ChangesRead>,
}

impl Plan {
    pub async fn read(db: &mut PgSession, reader: UserId, items: &[RoundItem]) -> Result<Plan, Failure> {
        let mut readings: Vec<ChangesRead> = items.iter().map(|_| ChangesRead::default()).collect();
        read_changes(db, items, &mut readings).await?;
        read_hidden(db, reader, items, &mut readings).await?;
        read_messages(db, reader, items, &mut readings).await?;
        Ok(Plan { readings })
    }

    /// The messages to read.
    pub fn messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.readings.iter().flat_map(ChangesRead::all_messages)
    }

    /// Keeps the first conversations, as long as all of theirs is not more than `most`; at least one, however large.
    pub fn keep_fitting(&mut self, most: usize, size: impl Fn(MessageId) -> usize) {
        let mut total = 0;
        let fitting = self.readings.iter().take_while(|reading| {
            let before = total;
            total += reading.all_messages().map(&size).sum::<usize>();
            before == 0 || total <= most
        });
        let count = fitting.count();
        self.readings.truncate(count);
    }
}

impl ChangesRead {
    fn all_messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.changed.iter().map(|changed| changed.message_id).chain(self.messages.iter().copied())
    }
}

async fn read_changes(db: &mut PgSession, items: &[RoundItem], readings: &mut [ChangesRead]) -> Result<(), Failure> {
    let (mut places, mut ids, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (position, extent)) in items.iter().enumerate() {
        if let Some(version) = position.version.filter(|version| *version < extent.version)
            && !is_stale(position, extent)
        {
            places.push(place);
            ids.push(extent.conversation_id);
            versions.push(version);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let mut counts: HashMap<usize, (i64, i64)> = HashMap::new();
    for change in changes::list_changes(db, &ids, &versions, MAX_CHANGES).await? {
        let place = places[change.ord as usize - 1];
        let count = counts.entry(place).or_default();
        *count = (count.0 + 1, change.version);
        let (position, reading) = (&items[place].0, &mut readings[place]);
        match (change.kind, change.seq, change.message_id) {
            // Newer messages are sent as new messages.
            (ChangeKind::Message, Some(seq), _) if seq > position.seq => {}
            (ChangeKind::Message, Some(seq), Some(message_id)) => {
                reading.changed.retain(|changed| changed.message_id != message_id);
                reading.changed.push(Changed { version: change.version, seq, message_id });
            }
            (ChangeKind::Info, ..) => reading.has_new_info = true,
            (ChangeKind::Emptied, Some(seq), _) => reading.emptied_through = reading.emptied_through.max(Some(seq)),
            _ => {}
        }
    }
    for (place, (count, last)) in counts {
        readings[place].through = (count == MAX_CHANGES && last < items[place].1.version).then_some(last);
    }
    Ok(())
}

async fn read_hidden(
    db: &mut PgSession,
    reader: UserId,
    items: &[RoundItem],
    readings: &mut [ChangesRead],
) -> Result<(), Failure> {
    let (mut places, mut asked) = (Vec::new(), HiddenSince::default());
    for (place, (position, extent)) in items.iter().enumerate() {
        if let Some(version) = position.version
            && !is_stale(position, extent)
        {
            places.push(place);
            asked.conversations.push(extent.conversation_id);
            asked.versions.push(version);
            asked.after.push(position.hidden_after.max(extent.cleared_seq));
            asked.up_to.push(position.seq);
            asked.moved.push(extent.version > version);
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    for row in changes::list_hidden_since(db, reader, &asked, MAX_HIDDEN).await? {
        let reading = &mut readings[places[row.ord as usize - 1]];
        reading.hidden.push((row.message_id, row.seq));
        reading.has_more_hidden = reading.hidden.len() as i64 == MAX_HIDDEN;
    }
    Ok(())
}

async fn read_messages(
    db: &mut PgSession,
    reader: UserId,
    items: &[RoundItem],
    readings: &mut [ChangesRead],
) -> Result<(), Failure> {
    let (mut places, mut ids, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (position, extent)) in items.iter().enumerate() {
        let from = position.seq.max(extent.cleared_seq);
        // All changes come before new messages.
        let waits = readings[place].through.is_some() || readings[place].has_more_hidden;
        if extent.last_seq > from && !waits && !is_stale(position, extent) {
            places.push(place);
            ids.push(extent.conversation_id);
            after.push(from);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    for row in history::list_after(db, reader, &ids, &after, MAX_MESSAGES + 1).await? {
        let place = places[row.ord as usize - 1];
        let reading = &mut readings[place];
        if reading.messages.len() as i64 == MAX_MESSAGES {
            reading.has_more_messages = true;
            continue;
        }
        reading.messages.push(row.message_id);
    }
    Ok(())
}
