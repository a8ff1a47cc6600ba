//! What a user missed, in the order to be shown: chosen when the session opens, read page by page as the client takes it.
//! The choice travels with the request, so that any worker can go on and none keeps state.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::store::session::PgSession;
use serde::{Deserialize, Serialize};
use shared::events;
use shared::events::message::{GroupAnnouncement, Message, MessageKind, NewGroupMessage, NewMessage};
use shared::ids::UserId;
use shared::publication::Receipt;
use shared::stream::{Internal, InternalReply, ReplayCursor, ReplayPage, ReplayedEvent};
use uuid::Uuid;

use super::Request;
use crate::app::App;
use crate::error::Failure;
use crate::history;
use crate::outcome::Outcome;
use crate::store::history::MessageRow;
use crate::store::{history as rows, replay};

/// Events in a page, so that a page fits into one publication whatever the messages' length.
const PAGE_EVENTS: usize = 100;
/// Events of several users read by the same queries.
const EVENTS_TOGETHER: usize = 2_000;
/// Users whose choice is made by the same queries: each may bring several times the limit into memory.
const USERS_TOGETHER: usize = 32;
/// Nobody has this id, and so nothing is hidden from its owner.
pub const NOBODY: UserId = UserId(0);

/// One thing that was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Missed {
    Message(Uuid),
    Event(Uuid),
}

/// What is still to be replayed to one user, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Backlog {
    missed: VecDeque<Missed>,
    /// More was missed than is replayed.
    #[serde(skip)]
    pub truncated: bool,
}

impl Backlog {
    pub fn len(&self) -> usize {
        self.missed.len()
    }
}

/// What each of these users missed; the newest `limit` of it.
pub async fn choose(db: &mut PgSession, users: &[i64], limit: usize) -> Result<HashMap<i64, Backlog>, Failure> {
    let mut chosen = HashMap::with_capacity(users.len());
    for users in users.chunks(USERS_TOGETHER) {
        chosen.extend(choose_together(db, users, limit).await?);
    }
    Ok(chosen)
}

async fn choose_together(db: &mut PgSession, users: &[i64], limit: usize) -> Result<HashMap<i64, Backlog>, Failure> {
    // One more than can be shown tells whether something is left out.
    let most = limit as i64 + 1;
    let mut timed: HashMap<i64, Vec<(Place, Missed)>> = HashMap::new();
    let events = replay::list_missed_events(db, users, most).await?;
    // A group's messages come after what makes their reader a member.
    let joined =
        events.iter().filter_map(|row| Some(((row.user_id, row.joined.as_deref()?), uuid_time_ms(row.event_id))));
    let joined: HashMap<(i64, &str), i64> = joined.collect();
    // A message's place in time is never before that of its predecessors, whatever the gateways' clocks said: the order
    // within a conversation is that of the numbers.
    let mut times: HashMap<Uuid, i64> = HashMap::new();
    let mut previous: Option<(i64, String, i64)> = None;
    for row in replay::list_missed_messages(db, users, most).await? {
        let mut at_ms = (row.created_at.unix_timestamp_nanos() / 1_000_000) as i64;
        match &previous {
            Some((user, conversation, before_ms)) if *user == row.user_id && *conversation == row.conversation_id => {
                at_ms = at_ms.max(*before_ms);
            }
            _ => at_ms = at_ms.max(joined.get(&(row.user_id, &row.conversation_id)).copied().unwrap_or(0)),
        }
        previous = Some((row.user_id, row.conversation_id, at_ms));
        times.insert(row.message_id, at_ms);
        let place = Place { at_ms, rank: Rank::Message };
        timed.entry(row.user_id).or_default().push((place, Missed::Message(row.message_id)));
    }
    for row in &events {
        // What is about a message comes after it.
        let message_ms = row.message_id.and_then(|message| times.get(&message).copied());
        let at_ms = uuid_time_ms(row.event_id).max(message_ms.unwrap_or(0));
        let rank = if row.joined.is_some() { Rank::Joined } else { Rank::Other };
        timed.entry(row.user_id).or_default().push((Place { at_ms, rank }, Missed::Event(row.event_id)));
    }
    let backlog = |(user, mut missed): (i64, Vec<(Place, Missed)>)| {
        // Stable: what has the same place keeps its order.
        missed.sort_by_key(|(place, _)| *place);
        let surplus = missed.len().saturating_sub(limit);
        let kept = missed.split_off(surplus).into_iter().map(|(_, missed)| missed).collect();
        (user, Backlog { missed: kept, truncated: surplus > 0 })
    };
    Ok(timed.into_iter().map(backlog).collect())
}

/// Where something belongs in a replay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at_ms: i64,
    rank: Rank,
}

/// The order within a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Joined,
    Message,
    Other,
}

/// A UUIDv7's first 48 bits.
fn uuid_time_ms(id: Uuid) -> i64 {
    (id.as_u128() >> 80) as i64
}

/// When it was chosen what is replayed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Now,
    /// When the session opened: since then its user may have been removed from a group.
    Earlier,
}

/// Reads the first page of each backlog, in their order.
pub async fn first_pages(
    app: &App,
    db: &mut PgSession,
    backlogs: Vec<(UserId, Backlog)>,
) -> Result<Vec<ReplayPage>, Failure> {
    pages(app, db, backlogs, Choice::Now).await
}

/// Reads the next page of each backlog, in their order, as many together as are bounded to fit. What was deleted meanwhile or
/// cannot be read is left out.
async fn pages(
    app: &App,
    db: &mut PgSession,
    backlogs: Vec<(UserId, Backlog)>,
    choice: Choice,
) -> Result<Vec<ReplayPage>, Failure> {
    let mut pages = Vec::with_capacity(backlogs.len());
    let mut together: Vec<Reading> = Vec::new();
    let mut events = 0;
    for (reader, backlog) in backlogs {
        let reading = Reading::begin(reader, backlog);
        if events + reading.page.len() > EVENTS_TOGETHER {
            pages.extend(read_together(app, db, std::mem::take(&mut together), choice).await?);
            events = 0;
        }
        events += reading.page.len();
        together.push(reading);
    }
    pages.extend(read_together(app, db, together, choice).await?);
    Ok(pages)
}

/// One user's page, while it is read.
struct Reading {
    reader: UserId,
    page: VecDeque<Missed>,
    next: Option<ReplayCursor>,
}

impl Reading {
    fn begin(reader: UserId, mut backlog: Backlog) -> Self {
        let rest = backlog.missed.split_off(backlog.missed.len().min(PAGE_EVENTS));
        let next = (!rest.is_empty()).then(|| Backlog { missed: rest, truncated: false }.to_cursor());
        Reading { reader, page: backlog.missed, next }
    }
}

/// Takes out of the pages what their readers may not see any more.
async fn drop_forbidden(db: &mut PgSession, readings: &mut [Reading]) -> Result<(), Failure> {
    let mut messages: (Vec<i64>, Vec<Uuid>) = Default::default();
    let mut events: (Vec<i64>, Vec<Uuid>) = Default::default();
    for reading in readings.iter() {
        for missed in &reading.page {
            let (readers, ids) = if missed.message().is_some() { &mut messages } else { &mut events };
            readers.push(reading.reader.0);
            ids.push(missed.id());
        }
    }
    let mut allowed: HashSet<(i64, Missed)> = HashSet::new();
    if !messages.0.is_empty() {
        let visible = replay::list_visible(db, &messages.0, &messages.1).await?;
        allowed.extend(visible.into_iter().map(|(reader, id)| (reader, Missed::Message(id))));
    }
    if !events.0.is_empty() {
        let queued = replay::list_queued(db, &events.0, &events.1).await?;
        allowed.extend(queued.into_iter().map(|(reader, id)| (reader, Missed::Event(id))));
    }
    for reading in readings {
        let reader = reading.reader.0;
        reading.page.retain(|missed| allowed.contains(&(reader, *missed)));
    }
    Ok(())
}

/// Everybody's page by the same few queries, but for those who are shown what a message replies to: that may be hidden from one
/// and not from another.
async fn read_together(
    app: &App,
    db: &mut PgSession,
    mut readings: Vec<Reading>,
    choice: Choice,
) -> Result<Vec<ReplayPage>, Failure> {
    if choice == Choice::Earlier {
        drop_forbidden(db, &mut readings).await?;
    }
    let missed = || readings.iter().flat_map(|reading| &reading.page);
    let messages: HashSet<Uuid> = missed().filter_map(|missed| missed.message()).collect();
    let events: HashSet<Uuid> = missed().filter_map(|missed| missed.event()).collect();
    // By kind and id: the event of a mention has its message's id.
    let mut contents: HashMap<Missed, ReplayedEvent> = HashMap::new();
    let mut replies: HashMap<Uuid, MessageRow> = HashMap::new();
    if !messages.is_empty() {
        let rows = rows::list_by_id(db, &messages.into_iter().collect::<Vec<_>>()).await?;
        let (quoting, plain): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.reply_to_message_id.is_some());
        replies.extend(quoting.into_iter().map(|row| (row.message_id, row)));
        // Without a quotation nothing depends on the reader.
        for message in history::show_as_new(app, db, NOBODY, &plain).await? {
            contents.insert(Missed::Message(message.message_id.0), replayed_message(&message));
        }
    }
    if !events.is_empty() {
        for row in replay::list_event_bodies(db, &events.into_iter().collect::<Vec<_>>()).await? {
            match app.keyring.open_blob(row.event_id, &row.body) {
                Ok(json) => {
                    let receipt = Receipt::Durable { event: row.event_id };
                    contents.insert(Missed::Event(row.event_id), ReplayedEvent { receipt, json });
                }
                Err(error) => {
                    app.metrics.unreadable_rows.increment(1);
                    tracing::error!(event_id = %row.event_id, %error, "a stored event cannot be read");
                }
            }
        }
    }
    let mut pages = Vec::with_capacity(readings.len());
    for reading in readings {
        let own: Vec<MessageRow> =
            reading.page.iter().filter_map(|missed| replies.get(&missed.message()?).cloned()).collect();
        let own = if own.is_empty() { Vec::new() } else { history::show_as_new(app, db, reading.reader, &own).await? };
        let mut own: HashMap<Missed, ReplayedEvent> =
            own.iter().map(|message| (Missed::Message(message.message_id.0), replayed_message(message))).collect();
        let content = |missed: &Missed| own.remove(missed).or_else(|| contents.get(missed).cloned());
        pages.push(ReplayPage { events: reading.page.iter().filter_map(content).collect(), next: reading.next });
    }
    let replayed: usize = pages.iter().map(|page: &ReplayPage| page.events.len()).sum();
    app.metrics.replayed.increment(replayed as u64);
    Ok(pages)
}

pub fn replayed_message(message: &Message) -> ReplayedEvent {
    let json = match (message.group_id, message.kind) {
        (None, _) => events::broadcast(&NewMessage(message)),
        (Some(_), MessageKind::Text) => events::broadcast(&NewGroupMessage(message)),
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

impl Missed {
    fn id(self) -> Uuid {
        match self {
            Missed::Message(id) | Missed::Event(id) => id,
        }
    }

    fn message(self) -> Option<Uuid> {
        matches!(self, Missed::Message(_)).then(|| self.id())
    }

    fn event(self) -> Option<Uuid> {
        matches!(self, Missed::Event(_)).then(|| self.id())
    }
}

impl Backlog {
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
    let backlog = |request: &Request| match &request.internal {
        // Made by a worker of another version: end here; what was not received is replayed the next time.
        Internal::Replay { cursor } => Backlog::from_cursor(cursor).unwrap_or_default(),
        _ => Backlog::default(),
    };
    let backlogs = requests.iter().map(|request| (request.envelope.user, backlog(request))).collect();
    let pages = pages(app, db, backlogs, Choice::Earlier).await?;
    let replied =
        |(request, page): (&Request, ReplayPage)| Outcome::reply(&request.envelope, &InternalReply::Replayed(page));
    Ok(requests.iter().zip(pages).map(replied).collect())
}
