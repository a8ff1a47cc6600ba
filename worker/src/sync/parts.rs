//! The answers of a round, each of at most [`PART_BYTES`] except for a single larger message.

use std::collections::HashMap;
use std::io;

use crate::store::session::PgSession;
use shared::events::message::Message;
use shared::events::sync::{MessagePlace, OwnSettings, SyncChanges, SyncInfo, SyncMessages};
use shared::events::{self, Event};
use shared::ids::{ConversationId, GroupId, SanctionId, UserId};
use shared::stream::{Envelope, SyncPosition};

use super::messages::Messages;
use super::plan::{ChangesRead, Plan};
use super::{ROUND_BYTES, RoundItem, is_stale};
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::sanctions::shown_sanction;
use crate::store::changes::{self, Extent, GroupState};

const PART_BYTES: usize = 256 * 1024 - FRAME_BYTES;
/// The size of a part without its messages.
const FRAME_BYTES: usize = 4 * 1024;
/// The size of one message's place in JSON.
const PLACE_BYTES: usize = 80;

/// Finished parts, in order.
#[derive(Default)]
pub struct Answers {
    parts: Vec<Vec<u8>>,
    bytes: usize,
}

impl Answers {
    pub fn push<E: Event>(&mut self, event: &E) {
        let part = events::broadcast(event);
        self.bytes += part.len();
        self.parts.push(part);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn into_outcome(self, envelope: &Envelope) -> Outcome {
        let mut outcome = Outcome::default();
        for part in self.parts {
            outcome.answer_part(envelope, part);
        }
        outcome
    }
}

/// Answers the planned conversations until the round is full; returns the remaining positions.
pub async fn answer(
    app: &App,
    db: &mut PgSession,
    reader: UserId,
    items: Vec<RoundItem>,
    mut plan: Plan,
    answers: &mut Answers,
) -> Result<Vec<SyncPosition>, Failure> {
    let mut messages = Messages::read(app, db, reader, &mut plan).await?;
    let groups: Vec<GroupId> = items
        .iter()
        .zip(&plan.readings)
        .filter(|(_, reading)| reading.has_new_info)
        .filter_map(|((position, _), _)| position.conversation.group())
        .collect();
    let groups = if groups.is_empty() { Vec::new() } else { changes::list_groups(db, reader, &groups).await? };
    let infos: HashMap<GroupId, SyncInfo> =
        groups.into_iter().map(|group| (group.group_id, shown_info(app, group))).collect();

    let mut readings = plan.readings.into_iter();
    let mut left = Vec::new();
    for (position, extent) in items {
        let Some(reading) = readings.next().filter(|_| answers.bytes() < ROUND_BYTES) else {
            left.push(position);
            continue;
        };
        let info = position.conversation.group().and_then(|group| infos.get(&group));
        left.extend(answer_one(position, &extent, reading, info, &mut messages, answers));
    }
    Ok(left)
}

/// Answers one conversation; returns its position if something remains.
fn answer_one(
    position: SyncPosition,
    extent: &Extent,
    reading: ChangesRead,
    info: Option<&SyncInfo>,
    messages: &mut Messages,
    answers: &mut Answers,
) -> Option<SyncPosition> {
    if is_stale(&position, extent) {
        answers.push(&stale(position.conversation, extent.version));
        return None;
    }
    // If only messages are requested, changes are left out.
    if let Some(version) = position.version
        && let Some(left) = answer_changes(position, version, extent, &reading, info, messages, answers)
    {
        return Some(left);
    }
    let new: Vec<Message> = reading
        .messages
        .iter()
        .filter(|id| !messages.hidden.contains(*id))
        .filter_map(|id| messages.shown.remove(id))
        .collect();
    let (mut part, mut bytes, mut has_more) = (Vec::new(), 0, reading.has_more_messages);
    for message in new {
        bytes += json_bytes(&message);
        if bytes > PART_BYTES && !part.is_empty() {
            has_more = true;
            break;
        }
        part.push(message);
    }
    answers.push(&SyncMessages {
        conversation_id: position.conversation,
        messages: part,
        has_more,
        version: extent.version,
    });
    None
}

/// Answers one conversation's changes, in as many parts as they need; returns the position where the next round
/// continues, if there are more.
fn answer_changes(
    position: SyncPosition,
    version: i64,
    extent: &Extent,
    reading: &ChangesRead,
    info: Option<&SyncInfo>,
    messages: &mut Messages,
    answers: &mut Answers,
) -> Option<SyncPosition> {
    let is_cleared = extent.cleared_seq > 0 && is_told(version, extent.cleared_version, extent);
    let cleared = is_cleared.then_some(extent.cleared_seq);
    let hidden_through = cleared.max(reading.emptied_through).max(expired_through(version, extent));
    // While hidden messages remain, no version is complete: the next round reads the changes again.
    let through = if reading.has_more_hidden { version } else { reading.through.unwrap_or(extent.version) };
    let hidden: Vec<MessagePlace> =
        reading.hidden.iter().map(|(message_id, seq)| MessagePlace { message_id: *message_id, seq: *seq }).collect();
    let hidden_after = hidden.last().map_or(position.hidden_after, |place| place.seq);
    let mut part = ChangesPart {
        bytes: hidden.len() * PLACE_BYTES,
        hidden,
        hidden_through,
        info: info_since(version, info, extent),
        ..ChangesPart::new(position.conversation, version)
    };
    if reading.has_more_hidden {
        answers.push(&part.finish(version, true));
        return Some(SyncPosition { hidden_after, ..position });
    }
    let mut at = version;
    for changed in &reading.changed {
        if hidden_through.is_some_and(|seq| changed.seq <= seq)
            || messages.hidden.contains(&changed.message_id)
            || messages.unreadable.contains(&changed.message_id)
        {
            continue;
        }
        let shown = messages.shown.remove(&changed.message_id);
        let bytes = shown.as_ref().map_or(PLACE_BYTES, json_bytes);
        if part.bytes + bytes > PART_BYTES && part.bytes > 0 {
            answers.push(&part.finish(at, true));
            if answers.bytes() >= ROUND_BYTES {
                return Some(SyncPosition { version: Some(at), hidden_after, ..position });
            }
            part = ChangesPart::new(position.conversation, at);
        }
        part.bytes += bytes;
        match shown {
            Some(message) => part.changed.push(message),
            None => part.deleted.push(MessagePlace { message_id: changed.message_id, seq: changed.seq }),
        }
        at = changed.version;
    }
    let has_more = reading.through.is_some();
    if has_more || !part.is_empty() {
        answers.push(&part.finish(through, has_more));
    }
    has_more.then_some(SyncPosition { version: Some(through), hidden_after, ..position })
}

/// A `sync_changes` while it is being filled.
struct ChangesPart {
    conversation_id: ConversationId,
    from: i64,
    changed: Vec<Message>,
    deleted: Vec<MessagePlace>,
    hidden: Vec<MessagePlace>,
    hidden_through: Option<i64>,
    info: Option<SyncInfo>,
    bytes: usize,
}

impl ChangesPart {
    fn new(conversation_id: ConversationId, from: i64) -> Self {
        ChangesPart {
            conversation_id,
            from,
            changed: Vec::new(),
            deleted: Vec::new(),
            hidden: Vec::new(),
            hidden_through: None,
            info: None,
            bytes: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.changed.is_empty()
            && self.deleted.is_empty()
            && self.hidden.is_empty()
            && self.hidden_through.is_none()
            && self.info.is_none()
    }

    fn finish(self, version: i64, has_more: bool) -> SyncChanges {
        SyncChanges {
            conversation_id: self.conversation_id,
            from_version: Some(self.from),
            version,
            changed: Some(self.changed),
            deleted: Some(self.deleted),
            hidden: Some(self.hidden),
            hidden_through_seq: self.hidden_through,
            info: self.info,
            has_more: Some(has_more),
            stale: None,
        }
    }
}

fn stale(conversation_id: ConversationId, version: i64) -> SyncChanges {
    SyncChanges {
        conversation_id,
        from_version: None,
        version,
        changed: None,
        deleted: None,
        hidden: None,
        hidden_through_seq: None,
        info: None,
        has_more: None,
        stale: Some(true),
    }
}

/// True if a device with this version must be told what the user did to their own view at another version. That raises
/// no version, so a connected device that lost the event accepts later versions without noticing; it is told again when
/// the conversation changes.
fn is_told(version: i64, done_at: i64, extent: &Extent) -> bool {
    done_at >= version || extent.version > version
}

/// Up to where messages are gone because of their age. Nobody is told when that happens, and a connected device takes
/// later versions without noticing: it is told for a week, and after that when the conversation has changed.
fn expired_through(version: i64, extent: &Extent) -> Option<i64> {
    let is_told = extent.expired_seq > 0 && (extent.version > version || extent.expired_recently);
    is_told.then_some(extent.expired_seq)
}

/// What changed of the group, and of the caller's own settings.
fn info_since(version: i64, group: Option<&SyncInfo>, extent: &Extent) -> Option<SyncInfo> {
    let is_set = extent.settings_version > 0;
    let settings = (is_set && is_told(version, extent.settings_version, extent)).then(|| OwnSettings {
        muted_until: extent.muted_until.map(Into::into),
        pinned: extent.pinned,
        marked_unread: extent.marked_unread,
    });
    if group.is_none() && settings.is_none() {
        return None;
    }
    Some(SyncInfo { settings, ..group.cloned().unwrap_or_default() })
}

fn shown_info(app: &App, group: GroupState) -> SyncInfo {
    let mute =
        group.mute_id.map(|id| shown_sanction(app, SanctionId(id), group.mute_ends_at, group.mute_reason.as_deref()));
    SyncInfo {
        mute,
        metadata: metadata::of_group(app, group.group_id, group.metadata.as_deref()),
        group_id: Some(group.group_id),
        group_name: Some(group.name),
        group_description: Some(group.description),
        created_by: Some(group.created_by),
        max_members: Some(group.max_members),
        member_count: Some(group.member_count),
        created_at: Some(group.created_at.into()),
        slow_mode_seconds: Some(group.slow_mode_seconds),
        my_role: Some(group.role),
        settings: None,
    }
}

/// The length of a message in JSON.
fn json_bytes(message: &Message) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(1);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, message);
    count.0
}
