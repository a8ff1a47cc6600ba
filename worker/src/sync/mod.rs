//! `sync`, in rounds: each answers as much as a client takes at once. The rest is handed back to its gateway, which
//! sends it again once the client has taken the answers, so that neither side keeps more than one round, however much
//! the client requests.
//!
//! positions → extents and `participation` → `plan` (what of which conversation, by rows) → `messages` (as many as fit, by
//! bytes) → `parts` (answers, by bytes)
//!
//! Answers show the present: a version is read before the content, so that content is never older than the version that
//! is sent with it. A change in between is sent again by the next `sync`, which does no harm.

mod messages;
mod participation;
mod parts;
mod plan;

use std::collections::HashMap;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events;
use shared::events::sync::{SyncComplete, SyncGone, SyncMessages};
use shared::ids::{ConversationId, UserId};
use shared::stream::{Envelope, SyncPosition, SyncRound};

use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::changes::{self, Extent};
use crate::store::conversations::FIRST_VERSION;
use participation::Participation;
use parts::Answers;
use plan::Plan;

/// How many conversations are read together at first; those that do not fit are read again.
const FIRST_BATCH: usize = 32;
/// As long as all of them fit, the number doubles, up to this, unless so many more are not expected to fit.
const MAX_BATCH: usize = 256;
/// A round ends after this many bytes of answers.
const ROUND_BYTES: usize = 256 * 1024;
/// The size of all rounds together, for a gateway of the previous version, which takes the whole answer at once.
const WHOLE_BYTES: usize = 1024 * 1024;

/// Answers one round; the outcome ends with the rest, or with `sync_complete`.
pub async fn answer(app: &App, db: &mut PgSession, envelope: &Envelope, round: SyncRound) -> Result<Outcome, Failure> {
    let mut answers = Answers::default();
    // If there is nothing to say about many conversations, one round handles several batches of them.
    let left = advance(app, db, envelope.user, round, ROUND_BYTES, &mut answers).await?;
    let mut outcome = answers.into_outcome(envelope);
    if left.positions.is_empty() {
        complete(envelope, &mut outcome);
    } else {
        outcome.answer_continues(envelope, &left);
    }
    Ok(outcome)
}

/// Answers everything at once, for a gateway that does not send a round again: what does not fit is only marked with
/// `hasMore`.
pub async fn answer_whole(
    app: &App,
    db: &mut PgSession,
    envelope: &Envelope,
    round: SyncRound,
) -> Result<Outcome, Failure> {
    let mut answers = Answers::default();
    let left = advance(app, db, envelope.user, round, WHOLE_BYTES, &mut answers).await?;
    for position in left.positions {
        let version = position.version.unwrap_or(FIRST_VERSION);
        let conversation_id = position.conversation;
        answers.push(&SyncMessages { conversation_id, messages: Vec::new(), has_more: true, version });
    }
    let mut outcome = answers.into_outcome(envelope);
    complete(envelope, &mut outcome);
    Ok(outcome)
}

fn complete(envelope: &Envelope, outcome: &mut Outcome) {
    let complete = SyncComplete { timestamp: Timestamp::now() };
    outcome.answer(envelope, events::answer(&complete, envelope.request_id.as_ref()));
}

/// Answers one batch of conversations after the other, up to this many bytes; returns the rest.
async fn advance(
    app: &App,
    db: &mut PgSession,
    reader: UserId,
    round: SyncRound,
    most_bytes: usize,
    answers: &mut Answers,
) -> Result<SyncRound, Failure> {
    let (mut left, mut batch) = (round, FIRST_BATCH);
    // Reading a few more conversations for the last bytes of a round costs more than another round does.
    while !left.positions.is_empty() && answers.bytes() < most_bytes - most_bytes / 16 {
        let before = (left.positions.len(), answers.bytes());
        left = answer_batch(app, db, reader, left, batch, answers).await?;
        if before.0 - left.positions.len() == batch {
            let bytes = answers.bytes() - before.1;
            let expected = most_bytes.saturating_sub(answers.bytes()) * batch / bytes.max(1);
            batch = expected.clamp(1, MAX_BATCH.min(2 * batch));
        }
    }
    Ok(left)
}

/// Answers what fits of the first conversations; returns the rest.
async fn answer_batch(
    app: &App,
    db: &mut PgSession,
    reader: UserId,
    round: SyncRound,
    batch: usize,
    answers: &mut Answers,
) -> Result<SyncRound, Failure> {
    let mut positions = round.positions;
    // Checked for the whole request before anything is answered: a plain number of a conversation that is not the
    // caller's rejects everything.
    if round.is_first {
        participation::reject_foreign(db, reader, &positions).await?;
    }
    let later = positions.split_off(positions.len().min(batch));
    let ids: Vec<ConversationId> = positions.iter().map(|position| position.conversation).collect();
    let mut extents: HashMap<ConversationId, Extent> = changes::list_extents(db, reader, &ids)
        .await?
        .into_iter()
        .map(|extent| (extent.conversation_id, extent))
        .collect();
    let participation = Participation::load(db, reader, &positions).await?;
    let mut present = Vec::with_capacity(positions.len());
    for (position, id) in positions.into_iter().zip(ids) {
        let extent = extents.remove(&id).unwrap_or_else(|| nothing_said(id));
        if participation.is_part(reader, position.conversation, &extent) {
            present.push((position, extent));
        } else {
            answers.push(&SyncGone { conversation_id: position.conversation });
        }
    }
    let plan = Plan::read(db, reader, &present).await?;
    let mut left = parts::answer(app, db, reader, present, plan, answers).await?;
    left.extend(later);
    Ok(SyncRound { positions: left, is_first: false })
}

/// The extent of a conversation in which nothing has happened yet.
fn nothing_said(conversation_id: ConversationId) -> Extent {
    Extent {
        conversation_id,
        last_seq: 0,
        version: FIRST_VERSION,
        changes_lost: 0,
        expired_seq: 0,
        expired_recently: false,
        cleared_seq: 0,
        cleared_version: 0,
        muted_until: None,
        pinned: false,
        marked_unread: false,
        settings_version: 0,
    }
}

/// A conversation of a round, with what is stored about it.
type RoundItem = (SyncPosition, Extent);

/// True if the changes since the client's version are unknown: they are no longer stored, or the version belongs to
/// another history.
fn is_stale(position: &SyncPosition, extent: &Extent) -> bool {
    position.version.is_some_and(|version| {
        version > extent.version || position.seq > extent.last_seq || version < extent.changes_lost
    })
}
