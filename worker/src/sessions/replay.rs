//! What a user missed, in the order in which it is shown: chosen when the session opens, read page by page as the
//! client takes it. The choice travels with the request, so that any worker can continue and none keeps state.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::store::session::PgSession;
use serde::{Deserialize, Serialize};
use shared::events;
use shared::events::message::{GroupAnnouncement, Message, MessageKind, NewGroupMessage, NewMessage};
use shared::ids::{ConversationId, EventId, MessageId, UserId};
use shared::publication::Receipt;
use shared::stream::{Internal, InternalReply, ReplayCursor, ReplayPage, ReplayedEvent};

use super::{Request, deliveries};
use crate::app::App;
use crate::error::Failure;
use crate::history;
use crate::outcome::Outcome;
use crate::store::history::MessageRow;
use crate::store::users::NOBODY;
use crate::store::{history as rows, replay, shared_events};

/// Events in a page.
const PAGE_EVENTS: usize = 100;
/// The size of a page in bytes, so that it fits into one publication however long the messages are: the event that
/// reaches this size is the page's last.
const PAGE_BYTES: usize = 256 * 1024;
/// How many events of several users are read with the same queries: 10 MB if all messages have maximum length.
const EVENTS_TOGETHER: usize = 500;
/// How many users' choices are made with the same queries: each may bring several times the limit into memory.
const USERS_TOGETHER: usize = 32;

/// A missed message or event. Append only, because it is stored in [`ReplayCursor`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Missed {
    Message(MessageId),
    Event(EventId),
}

/// What is still to be replayed to one user, oldest first. A [`ReplayCursor`] is its encoding, so its fields must not
/// change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissedEvents {
    missed: VecDeque<Missed>,
    /// True if more was missed than is replayed.
    #[serde(skip)]
    pub truncated: bool,
}

impl MissedEvents {
    pub fn len(&self) -> usize {
        self.missed.len()
    }
}

/// Chooses what each of these users missed: the newest `limit` of it.
pub async fn choose(
    db: &mut PgSession,
    users: &[UserId],
    limit: usize,
) -> Result<HashMap<UserId, MissedEvents>, Failure> {
    let mut chosen = HashMap::with_capacity(users.len());
    for users in users.chunks(USERS_TOGETHER) {
        chosen.extend(choose_together(db, users, limit).await?);
    }
    Ok(chosen)
}

async fn choose_together(
    db: &mut PgSession,
    users: &[UserId],
    limit: usize,
) -> Result<HashMap<UserId, MissedEvents>, Failure> {
    // One more than can be shown reveals if something is left out.
    let most = limit as i64 + 1;
    let queued = replay::list_missed_events(db, users, most).await?;
    // A group's messages and changes come after the event that makes their reader a member.
    let joined = queued
        .iter()
        .filter_map(|row| Some(((row.user_id, ConversationId::Group(row.joined?)), time_ms(row.event_id))));
    let joined: HashMap<(UserId, ConversationId), i64> = joined.collect();
    let mut timed: HashMap<UserId, Vec<(i64, Missed)>> = HashMap::new();
    for row in queued.iter().filter(|row| row.joined.is_some()) {
        timed.entry(row.user_id).or_default().push((time_ms(row.event_id), Missed::Event(row.event_id)));
    }
    let mut message_times: HashMap<(UserId, MessageId), i64> = HashMap::new();
    let (sequences, incomplete) = list_sequences(db, users, most).await?;
    for ((user, conversation), missed) in sequences {
        // The position in time is never before that of the previous item, whatever the gateways' clocks said: within a
        // conversation, the order is that of the versions.
        let mut at_ms = joined.get(&(user, conversation)).copied().unwrap_or(0);
        for (own_ms, missed) in missed {
            at_ms = at_ms.max(own_ms);
            if let Missed::Message(message) = missed {
                message_times.insert((user, message), at_ms);
            }
            timed.entry(user).or_default().push((at_ms, missed));
        }
    }
    for row in queued.iter().filter(|row| row.joined.is_none()) {
        // Events about a message come after it.
        let message_ms = row.message_id.and_then(|message| message_times.get(&(row.user_id, message)).copied());
        let at_ms = time_ms(row.event_id).max(message_ms.unwrap_or(0));
        timed.entry(row.user_id).or_default().push((at_ms, Missed::Event(row.event_id)));
    }
    let newest = |(user, mut missed): (UserId, Vec<(i64, Missed)>)| {
        // A stable sort keeps the order of items with the same time.
        missed.sort_by_key(|(at_ms, _)| *at_ms);
        let surplus = missed.len().saturating_sub(limit);
        let kept = missed.split_off(surplus).into_iter().map(|(_, missed)| missed).collect();
        (user, MissedEvents { missed: kept, truncated: surplus > 0 || incomplete.contains(&user) })
    };
    for user in &incomplete {
        timed.entry(*user).or_default();
    }
    Ok(timed.into_iter().map(newest).collect())
}

/// What each user missed in a conversation, with its time, in the order of the conversation.
type Sequences = BTreeMap<(UserId, ConversationId), Vec<(i64, Missed)>>;

/// The sequences, and the users who missed more than they hold.
async fn list_sequences(
    db: &mut PgSession,
    users: &[UserId],
    most: i64,
) -> Result<(Sequences, HashSet<UserId>), Failure> {
    // Old messages have no version, and everything that has one came later.
    const BEFORE_VERSIONS: i64 = 0;
    let mut versioned: BTreeMap<_, Vec<(i64, i64, Missed)>> = BTreeMap::new();
    let messages = replay::list_missed_messages(db, users, most).await?;
    let (events, lost) = shared_events::list_missed(db, users, most).await?;
    for row in messages {
        let at_ms = (row.created_at.unix_timestamp_nanos() / 1_000_000) as i64;
        let missed = (row.version.unwrap_or(BEFORE_VERSIONS), at_ms, Missed::Message(row.message_id));
        versioned.entry((row.user_id, row.conversation_id)).or_default().push(missed);
    }
    for row in events {
        let missed = (row.version, time_ms(row.event_id), Missed::Event(row.event_id));
        versioned.entry((row.user_id, row.conversation_id)).or_default().push(missed);
    }
    let in_order = |mut missed: Vec<(i64, i64, Missed)>| {
        missed.sort_by_key(|(version, _, _)| *version);
        missed.into_iter().map(|(_, at_ms, missed)| (at_ms, missed)).collect()
    };
    let sequences = versioned.into_iter().map(|(key, missed)| (key, in_order(missed))).collect();
    Ok((sequences, lost.into_iter().collect()))
}

/// The time in the first 48 bits of a UUIDv7.
fn time_ms(event: EventId) -> i64 {
    (event.0.as_u128() >> 80) as i64
}

/// When the items to replay were chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChosenAt {
    Now,
    /// When the session opened; since then its user may have been removed from a group.
    Earlier,
}

/// Reads the first page for each user, in their order.
pub async fn first_pages(
    app: &App,
    db: &mut PgSession,
    missed_events: Vec<(UserId, MissedEvents)>,
) -> Result<Vec<ReplayPage>, Failure> {
    pages(app, db, missed_events, ChosenAt::Now).await
}

/// Reads the next page for each user, in their order, as many together as fit. Leaves out what was deleted meanwhile or
/// cannot be read.
async fn pages(
    app: &App,
    db: &mut PgSession,
    missed_events: Vec<(UserId, MissedEvents)>,
    chosen_at: ChosenAt,
) -> Result<Vec<ReplayPage>, Failure> {
    let mut pages = Vec::with_capacity(missed_events.len());
    let mut together: Vec<PageReading> = Vec::new();
    let mut events = 0;
    for (reader, missed) in missed_events {
        let reading = PageReading::begin(reader, missed);
        if events + reading.page.len() > EVENTS_TOGETHER {
            pages.extend(read_together(app, db, std::mem::take(&mut together), chosen_at).await?);
            events = 0;
        }
        events += reading.page.len();
        together.push(reading);
    }
    pages.extend(read_together(app, db, together, chosen_at).await?);
    Ok(pages)
}

/// One user's page while it is being read.
struct PageReading {
    reader: UserId,
    page: VecDeque<Missed>,
    rest: VecDeque<Missed>,
}

impl PageReading {
    fn begin(reader: UserId, MissedEvents { missed: mut page, .. }: MissedEvents) -> Self {
        let rest = page.split_off(page.len().min(PAGE_EVENTS));
        PageReading { reader, page, rest }
    }

    /// Ends the page with the items that have content, as far as they fit; the next page begins where this one ends.
    fn end(mut self, mut content: impl FnMut(&Missed) -> Option<ReplayedEvent>) -> ReplayPage {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(missed) = self.page.pop_front()
        {
            if let Some(event) = content(&missed) {
                bytes += event.json.len();
                events.push(event);
            }
        }
        self.page.append(&mut self.rest);
        let next = (!self.page.is_empty()).then(|| MissedEvents { missed: self.page, truncated: false }.to_cursor());
        ReplayPage { events, next }
    }
}

/// Removes from the pages what their readers may no longer see.
async fn drop_forbidden(db: &mut PgSession, readings: &mut [PageReading]) -> Result<(), Failure> {
    let mut messages: (Vec<UserId>, Vec<MessageId>) = Default::default();
    let mut events: (Vec<UserId>, Vec<EventId>) = Default::default();
    for reading in readings.iter() {
        for missed in &reading.page {
            match missed {
                Missed::Message(id) => {
                    messages.0.push(reading.reader);
                    messages.1.push(*id);
                }
                Missed::Event(id) => {
                    events.0.push(reading.reader);
                    events.1.push(*id);
                }
            }
        }
    }
    let mut allowed: HashSet<(UserId, Missed)> = HashSet::new();
    if !messages.0.is_empty() {
        let visible = replay::list_visible(db, &messages.0, &messages.1).await?;
        allowed.extend(visible.into_iter().map(|(reader, id)| (reader, Missed::Message(id))));
    }
    if !events.0.is_empty() {
        let queued = replay::list_queued(db, &events.0, &events.1).await?;
        allowed.extend(queued.into_iter().map(|(reader, id)| (reader, Missed::Event(id))));
        let due = shared_events::list_due(db, &events.0, &events.1).await?;
        allowed.extend(due.into_iter().map(|(reader, id)| (reader, Missed::Event(id))));
    }
    for reading in readings {
        let reader = reading.reader;
        reading.page.retain(|missed| allowed.contains(&(reader, *missed)));
    }
    Ok(())
}

/// Reads all users' pages with the same few queries. Only for replies (whose quotation may be hidden from one user and
/// not from another) and for mentions does the result depend on the reader.
async fn read_together(
    app: &App,
    db: &mut PgSession,
    mut readings: Vec<PageReading>,
    chosen_at: ChosenAt,
) -> Result<Vec<ReplayPage>, Failure> {
    if chosen_at == ChosenAt::Earlier {
        drop_forbidden(db, &mut readings).await?;
    }
    let missed = || readings.iter().flat_map(|reading| &reading.page);
    let messages: HashSet<MessageId> = missed().filter_map(|missed| missed.message()).collect();
    let events: HashSet<EventId> = missed().filter_map(|missed| missed.event()).collect();
    let mut contents: HashMap<Missed, ReplayedEvent> = HashMap::new();
    let mut replies: HashMap<MessageId, MessageRow> = HashMap::new();
    let mut mentioning: HashMap<MessageId, MessageRow> = HashMap::new();
    if !messages.is_empty() {
        let rows = rows::list_by_id(db, &messages.into_iter().collect::<Vec<_>>()).await?;
        let (quoting, plain): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.reply_to_message_id.is_some());
        replies.extend(quoting.into_iter().map(|row| (row.message_id, row)));
        // Without a quotation, a message does not depend on the reader.
        for message in history::show_as_new(app, db, NOBODY, &plain).await? {
            contents.insert(Missed::Message(message.message_id), replayed_message(&message));
        }
    }
    if !events.is_empty() {
        let ids: Vec<EventId> = events.into_iter().collect();
        contents.extend(read_events(app, db, &ids).await?);
        // A mention's event has its message's id.
        let ids: Vec<MessageId> = ids.iter().map(|id| MessageId(id.0)).collect();
        mentioning.extend(rows::list_by_id(db, &ids).await?.into_iter().map(|row| (row.message_id, row)));
    }
    // A message that its reader has put away does not come back with a mention.
    let events = readings.iter().flat_map(|r| r.page.iter().filter_map(|missed| Some((r.reader, missed.event()?))));
    let mentions = events.map(|(reader, id)| (reader, MessageId(id.0)));
    let (readers, ids): (Vec<UserId>, Vec<MessageId>) = mentions.filter(|(_, id)| mentioning.contains_key(id)).unzip();
    let visible: HashSet<(UserId, MessageId)> = match ids.is_empty() {
        true => HashSet::new(),
        false => replay::list_visible(db, &readers, &ids).await?.into_iter().collect(),
    };
    let own_row = |reader: UserId, missed: &Missed| match missed {
        Missed::Message(id) => replies.get(id),
        Missed::Event(_) => mentioning.get(&missed.about()).filter(|_| visible.contains(&(reader, missed.about()))),
    };
    let whose: Vec<UserId> = readings.iter().map(|reading| reading.reader).collect();
    let mut pages = Vec::with_capacity(readings.len());
    for reading in readings {
        let own: HashMap<MessageId, MessageRow> = reading
            .page
            .iter()
            .filter_map(|missed| Some((missed.about(), own_row(reading.reader, missed)?.clone())))
            .collect();
        let own: Vec<MessageRow> = own.into_values().collect();
        let mut own = own_contents(app, db, reading.reader, &own, &contents).await?;
        let content = |missed: &Missed| own.remove(missed).or_else(|| contents.get(missed).cloned());
        pages.push(reading.end(content));
    }
    deliveries::hide(db, &whose, &mut pages).await?;
    let replayed: usize = pages.iter().map(|page: &ReplayPage| page.events.len()).sum();
    app.metrics.replayed.increment(replayed as u64);
    Ok(pages)
}

/// Opens these events. One that cannot be read is left out.
async fn read_events(app: &App, db: &mut PgSession, ids: &[EventId]) -> Result<Vec<(Missed, ReplayedEvent)>, Failure> {
    let mut bodies = replay::list_event_bodies(db, ids).await?;
    bodies.extend(shared_events::list_bodies(db, ids).await?);
    let mut events = Vec::with_capacity(bodies.len());
    for row in bodies {
        match app.keyring.open_blob(row.event_id.0, &row.body) {
            Ok(json) => {
                let receipt = Receipt::Durable { event: row.event_id.0 };
                events.push((Missed::Event(row.event_id), ReplayedEvent { receipt, json }));
            }
            Err(error) => {
                app.metrics.unreadable_rows.increment(1);
                tracing::error!(event_id = %row.event_id.0, %error, "a stored event cannot be read");
            }
        }
    }
    Ok(events)
}

/// What depends on the reader: messages with a quotation, and mentions with their messages.
async fn own_contents(
    app: &App,
    db: &mut PgSession,
    reader: UserId,
    rows: &[MessageRow],
    contents: &HashMap<Missed, ReplayedEvent>,
) -> Result<HashMap<Missed, ReplayedEvent>, Failure> {
    let mut own = HashMap::new();
    if rows.is_empty() {
        return Ok(own);
    }
    for message in &history::show_as_new(app, db, reader, rows).await? {
        let id = message.message_id;
        own.insert(Missed::Message(id), replayed_message(message));
        if let Some(mention) = contents.get(&Missed::mention(id)) {
            own.insert(Missed::mention(id), with_message(mention, message));
        }
    }
    Ok(own)
}

pub fn replayed_message(message: &Message) -> ReplayedEvent {
    let json = match (message.group_id, message.kind) {
        (None, _) => events::broadcast(&NewMessage(message)),
        (Some(_), MessageKind::Text | MessageKind::System) => events::broadcast(&NewGroupMessage(message)),
        (Some(_), MessageKind::Announcement) => events::broadcast(&GroupAnnouncement(message)),
    };
    let receipt = Receipt::Message {
        conversation: message.conversation_id,
        seq: message.seq,
        sender: message.sender_id,
        message: message.message_id,
    };
    ReplayedEvent { receipt, json }
}

/// Adds the message to a mention's event, which is stored without it because the message has no number yet then.
fn with_message(mention: &ReplayedEvent, message: &Message) -> ReplayedEvent {
    let mut json = mention.json.clone();
    // Our own structs always serialise.
    if let (Some(b'}'), Ok(message)) = (json.pop(), serde_json::to_vec(message)) {
        json.extend_from_slice(b",\"message\":");
        json.extend_from_slice(&message);
        json.push(b'}');
    }
    ReplayedEvent { receipt: mention.receipt, json }
}

impl Missed {
    /// The event that tells a user about a mention in a message.
    fn mention(message: MessageId) -> Self {
        Missed::Event(EventId(message.0))
    }

    /// The message, or the message of the mention.
    fn about(self) -> MessageId {
        match self {
            Missed::Message(id) => id,
            Missed::Event(id) => MessageId(id.0),
        }
    }

    fn message(self) -> Option<MessageId> {
        match self {
            Missed::Message(id) => Some(id),
            Missed::Event(_) => None,
        }
    }

    fn event(self) -> Option<EventId> {
        match self {
            Missed::Event(id) => Some(id),
            Missed::Message(_) => None,
        }
    }
}

impl MissedEvents {
    fn to_cursor(&self) -> ReplayCursor {
        // Serialising plain ids into memory cannot fail.
        ReplayCursor(postcard::to_stdvec(self).unwrap_or_default())
    }

    fn from_cursor(cursor: &ReplayCursor) -> Option<Self> {
        postcard::from_bytes(&cursor.0).ok()
    }
}

/// Answers requests for further pages.
pub async fn replay(app: &App, db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let rest = |request: &Request| match &request.internal {
        // Made by a worker of another version: end here; what was not received is replayed the next time.
        Internal::Replay { cursor } => MissedEvents::from_cursor(cursor).unwrap_or_default(),
        _ => MissedEvents::default(),
    };
    let missed_events = requests.iter().map(|request| (request.envelope.user, rest(request))).collect();
    let pages = pages(app, db, missed_events, ChosenAt::Earlier).await?;
    let replied =
        |(request, page): (&Request, ReplayPage)| Outcome::reply(&request.envelope, &InternalReply::Replayed(page));
    Ok(requests.iter().zip(pages).map(replied).collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::golden;

    /// A client may take pages of one replay from workers of two versions.
    #[test]
    fn cursors_keep_their_golden_bytes() {
        let id = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
        let of = |missed: &[Missed]| MissedEvents { missed: missed.iter().copied().collect(), truncated: false };
        let values = [
            ("message", of(&[Missed::Message(MessageId(id))])),
            ("event", of(&[Missed::Event(EventId(id))])),
            ("both", of(&[Missed::Event(EventId(id)), Missed::Message(MessageId(id))])),
        ];
        for (name, value) in &values {
            // Fails to compile if something is missing above.
            let first = value.missed.front().map(|missed| match missed {
                Missed::Message(_) => "message",
                Missed::Event(_) => "event",
            });
            assert!(first == Some(*name) || *name == "both", "{name}");
        }
        let decode = |bytes: &[u8]| MissedEvents::from_cursor(&ReplayCursor(bytes.to_vec()));
        golden::pin("replay_cursor.txt", &values, |value| value.to_cursor().0, decode);
    }
}
