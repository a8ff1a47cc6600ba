//! Sending: the three commands that store a message, stored together in batches.
//!
//! command → [`Send`] → (rows) → `store::sends` → verdict → [`crate::outcome::Outcome`]

pub mod facts;
pub mod outcome;
pub mod strangers;

use std::collections::HashMap;
use std::time::Duration;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events::message::MessageKind;
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::metadata::{Metadata, MetadataField};
use shared::protocol::Rejection;
use shared::stream::Envelope;

use crate::app::App;
use crate::commands::Batched;
use crate::error::Failure;
use crate::history::open_message;
use crate::outcome::Outcome;
use crate::store::history;
use crate::store::leases::Lease;
use crate::store::sends::{self, NewMessage, Patience, SendRows};
use crate::webhooks::record;
use facts::{Facts, MentionEvent};

/// The limit for the storing statement if no message in it has an earlier deadline.
const MAX_STATEMENT_TIME: Duration = Duration::from_secs(60);

/// One message to store, whichever command brought it.
#[derive(Clone)]
pub struct Send {
    pub envelope: Envelope,
    pub conversation: ConversationId,
    pub kind: MessageKind,
    pub content: String,
    pub reply_to: Option<MessageId>,
    pub client_message_id: Option<String>,
    pub metadata: Option<Metadata>,
    /// Why the product's backend does not let it through, or the user has reached too many members lately.
    pub refusal: Option<Box<Rejection>>,
}

impl Send {
    pub fn new(envelope: Envelope, command: Batched) -> Self {
        let to_group = |group: GroupId| ConversationId::Group(group);
        let (conversation, kind, content, reply_to, client_message_id, metadata) = match command {
            Batched::SendPrivateMessage(send) => (
                ConversationId::direct(envelope.user, send.recipient),
                MessageKind::Text,
                send.content,
                send.reply_to,
                send.client_message_id,
                send.metadata,
            ),
            Batched::SendGroupMessage(send) => (
                to_group(send.group),
                MessageKind::Text,
                send.content,
                send.reply_to,
                send.client_message_id,
                send.metadata,
            ),
            Batched::SendAnnouncement(send) => {
                (to_group(send.group), MessageKind::Announcement, send.content, None, None, send.metadata)
            }
        };
        let metadata = metadata.into_given();
        Send { envelope, conversation, kind, content, reply_to, client_message_id, metadata, refusal: None }
    }

    pub fn message_id(&self) -> MessageId {
        MessageId(self.envelope.id)
    }

    pub fn recipient(&self) -> Option<UserId> {
        self.conversation.other(self.envelope.user)
    }

    /// Makes it another message, as the product's backend wants it: what is absent stays as it was.
    pub fn change(&mut self, content: Option<String>, metadata: MetadataField) {
        if let Some(content) = content {
            self.content = content;
        }
        if !metadata.is_absent() {
            self.metadata = metadata.into_given();
        }
    }

    /// What no two messages of one batch may share.
    pub fn repetition_key(&self) -> Option<(UserId, &str)> {
        self.client_message_id.as_deref().map(|id| (self.envelope.user, id))
    }
}

/// Checks and stores a batch of messages of the leased partitions, none after its deadline. Returns an outcome per
/// message, in their order.
pub async fn apply(
    app: &App,
    db: &mut PgSession,
    leases: &[Lease],
    batch: &[&Send],
    lock_patience: Duration,
) -> Result<Vec<Result<Outcome, Failure>>, Failure> {
    let facts = Facts::load(app, db, batch).await?;
    let mut refusals = refusals(app, db, &facts, batch).await?;
    let now = Timestamp::now();
    let mut patience = Patience { lock: lock_patience, whole: MAX_STATEMENT_TIME };
    let mut rows = SendRows::default();
    for (send, refusal) in batch.iter().zip(&refusals) {
        let is_expired = now > send.envelope.deadline;
        if !is_expired {
            patience.whole = patience.whole.min(send.envelope.deadline.since(now));
        }
        push_row(app, &mut rows, send, &facts, is_expired || refusal.is_some());
    }
    patience.lock = patience.lock.min(patience.whole);
    let mentions = facts.mention_events(batch, &refusals);
    let verdicts = store(app, db, leases, batch, &rows, patience, &mentions).await?;
    count_begun(app, batch, &verdicts).await;
    let stored = as_stored(app, db, batch, &verdicts).await?;
    let outcome = |(place, verdict): (usize, sends::Verdict)| {
        let refusal = refusals.get_mut(place).and_then(Option::take);
        outcome::of(app, stored.get(&place).unwrap_or(batch[place]), verdict, refusal, &facts, &mentions)
    };
    let outcomes: Vec<Result<Outcome, Failure>> = verdicts.into_iter().enumerate().map(outcome).collect();
    for (send, outcome) in batch.iter().zip(&outcomes) {
        if let (Some(_), Ok(outcome)) = (send.conversation.group(), outcome) {
            // They are stored; a failure to count is ignored.
            let reach = app.audiences.reach(db, outcome).await.unwrap_or(0);
            app.audiences.charge(send.envelope.user, reach);
        }
    }
    Ok(outcomes)
}

/// Stores the rows, and in the same transaction what mentions and webhooks need.
async fn store(
    app: &App,
    db: &mut PgSession,
    leases: &[Lease],
    batch: &[&Send],
    rows: &SendRows,
    patience: Patience,
    mentions: &[MentionEvent],
) -> Result<Vec<sends::Verdict>, Failure> {
    let enforce = app.settings.follow_policy == shared::config::FollowPolicy::Enforce;
    let hooks_want = record::wants_messages(app);
    if mentions.is_empty() && !hooks_want {
        return Ok(sends::insert_messages(db, app.worker_id, leases, enforce, rows, patience).await?);
    }
    let mut transaction = db.begin().await?;
    let verdicts = sends::insert_messages(&mut transaction, app.worker_id, leases, enforce, rows, patience).await?;
    for mention in mentions {
        let verdict = &verdicts[mention.place];
        if verdict.kind == sends::VerdictKind::Stored {
            mention.insert(app, &mut transaction, verdict).await?;
        }
    }
    if hooks_want {
        let is_stored = |verdict: &sends::Verdict| verdict.kind == sends::VerdictKind::Stored;
        let stored = verdicts.iter().zip(batch).filter(|(verdict, _)| is_stored(verdict));
        record::messages(app, &mut transaction, stored.map(|(_, send)| (send.message_id(), send.conversation))).await?;
    }
    transaction.commit().await?;
    app.webhooks.announce();
    Ok(verdicts)
}

/// Counts the conversations that users have begun with strangers.
async fn count_begun(app: &App, batch: &[&Send], verdicts: &[sends::Verdict]) {
    let mut begun: HashMap<UserId, i64> = HashMap::new();
    for (verdict, send) in verdicts.iter().zip(batch) {
        if verdict.begins_with_stranger() && send.recipient().is_some() && !send.envelope.reply_to.is_gateway() {
            *begun.entry(send.envelope.user).or_default() += 1;
        }
    }
    strangers::count(app, begun).await;
}

/// Why messages are not stored, if they are not. A reply to what cannot be replied to is not, but a redelivered one still
/// has to be recognised.
async fn refusals(
    app: &App,
    db: &mut PgSession,
    facts: &Facts,
    batch: &[&Send],
) -> Result<Vec<Option<Rejection>>, Failure> {
    let mut strangers = strangers::rejections(app, db, batch).await?;
    let mut reached: HashMap<UserId, u64> = HashMap::new();
    let mut refusals = Vec::with_capacity(batch.len());
    for send in batch {
        let user = send.envelope.user;
        let refusal = send.refusal.as_deref().cloned();
        let refusal = refusal.or_else(|| facts.rejection(send));
        let mut refusal = refusal.or_else(|| strangers.remove(&(user, send.conversation)));
        if let (None, Some(group)) = (&refusal, send.conversation.group()) {
            let reached = reached.entry(user).or_default();
            refusal = app.audiences.rejection(user, *reached);
            if refusal.is_none() {
                let mentioned = facts.mentions(send).map_or(0, |mentions| mentions.users.len());
                *reached += app.audiences.reach_of_message(db, group, mentioned).await?;
            }
        }
        refusals.push(refusal);
    }
    Ok(refusals)
}

/// The messages that were stored before, by their places, with the content that they have: their hook may answer otherwise this time.
async fn as_stored(
    app: &App,
    db: &mut PgSession,
    batch: &[&Send],
    verdicts: &[sends::Verdict],
) -> Result<HashMap<usize, Send>, Failure> {
    let applied = verdicts.iter().zip(batch).enumerate();
    let applied = applied.filter(|(_, (verdict, _))| verdict.kind == sends::VerdictKind::Applied);
    let places: HashMap<MessageId, usize> = applied.map(|(place, (_, send))| (send.message_id(), place)).collect();
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = history::list_by_id(db, &places.keys().copied().collect::<Vec<_>>()).await?;
    let messages = rows.iter().filter_map(|row| open_message(app, row));
    let stored = messages.filter_map(|message| {
        let place = *places.get(&message.message_id)?;
        Some((place, Send { content: message.content, metadata: message.metadata, ..batch[place].clone() }))
    });
    Ok(stored.collect())
}

fn push_row(app: &App, rows: &mut SendRows, send: &Send, facts: &Facts, is_expired: bool) {
    let sealed = app.keyring.seal(send.envelope.id, send.content.as_bytes());
    let partitions = u32::from(app.settings.common.partitions);
    rows.push(NewMessage {
        message: send.message_id(),
        conversation: send.conversation,
        partition: (u32::from(send.conversation.route_hint()) % partitions) as i32,
        sender: send.envelope.user,
        recipient: send.recipient(),
        kind: send.kind,
        content: sealed.ciphertext,
        iv: sealed.iv.to_vec(),
        mac: sealed.mac.to_vec(),
        key_id: sealed.key_id,
        reply_to: send.reply_to,
        mentions: facts.mentions(send).map(|mentions| mentions.array_literal()),
        client_message_id: send.client_message_id.clone(),
        created_at: send.envelope.ingested_at.to_datetime(),
        is_expired,
        metadata: send.metadata.as_ref().map(|metadata| metadata.seal(&app.keyring, send.envelope.id)),
    });
}
