//! The messages of a round: those of as many of its conversations as fit, by bytes.

use std::collections::{HashMap, HashSet};

use crate::store::session::PgSession;
use shared::events::message::Message;
use shared::ids::{ConversationId, MessageId, UserId};

use super::ROUND_BYTES;
use super::plan::Plan;
use crate::app::App;
use crate::error::Failure;
use crate::history;
use crate::store::history::{self as rows, MessageRow};

/// Roughly what a message takes in addition to its content.
const MESSAGE_OVERHEAD_BYTES: usize = 400;
/// No more messages fit into a round, even without contents.
const MAX_MESSAGES: usize = ROUND_BYTES / MESSAGE_OVERHEAD_BYTES;
/// Larger contents are read only once it is known that they fit. Most are smaller, and those need a single look-up.
const SMALL_BYTES: i32 = 1024;

/// The messages of a round, by id.
#[derive(Default)]
pub struct Messages {
    pub shown: HashMap<MessageId, Message>,
    pub hidden: HashSet<MessageId>,
    /// Stored, but unreadable: neither changed nor deleted.
    pub unreadable: HashSet<MessageId>,
}

impl Messages {
    /// Reads the messages of the first conversations of the plan, and removes from it those that do not fit.
    pub async fn read(app: &App, db: &mut PgSession, reader: UserId, plan: &mut Plan) -> Result<Self, Failure> {
        let mut messages = Messages::default();
        let found = read_fitting(db, plan).await?;
        if found.is_empty() {
            return Ok(messages);
        }
        let (conversations, seqs): (Vec<ConversationId>, Vec<i64>) =
            found.iter().map(|row| (row.conversation_id, row.seq)).unzip();
        let hidden: HashSet<(ConversationId, i64)> =
            rows::list_hidden(db, reader, &conversations, &seqs).await?.into_iter().collect();
        for message in history::show(app, db, reader, &found).await? {
            messages.shown.insert(message.message_id, message);
        }
        for row in found {
            if !messages.shown.contains_key(&row.message_id) {
                messages.unreadable.insert(row.message_id);
            }
            if hidden.contains(&(row.conversation_id, row.seq)) {
                messages.hidden.insert(row.message_id);
            }
        }
        Ok(messages)
    }
}

async fn read_fitting(db: &mut PgSession, plan: &mut Plan) -> Result<Vec<MessageRow>, Failure> {
    plan.keep_fitting(MAX_MESSAGES, |_| 1);
    let ids: Vec<MessageId> = plan.messages().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = rows::list_small(db, &ids, SMALL_BYTES).await?;
    let mut sizes: HashMap<MessageId, usize> = found.iter().map(|row| (row.message_id, row.content.len())).collect();
    // The rest is large, or deleted.
    let missing: Vec<MessageId> = ids.into_iter().filter(|id| !sizes.contains_key(id)).collect();
    if !missing.is_empty() {
        sizes.extend(rows::list_sizes(db, &missing).await?);
    }
    plan.keep_fitting(ROUND_BYTES, |id| sizes.get(&id).copied().unwrap_or(0) + MESSAGE_OVERHEAD_BYTES);
    let fitting: HashSet<MessageId> = plan.messages().collect();
    found.retain(|row| fitting.contains(&row.message_id));
    let large: Vec<MessageId> =
        missing.into_iter().filter(|id| fitting.contains(id) && sizes.contains_key(id)).collect();
    if !large.is_empty() {
        found.extend(rows::list_by_id(db, &large).await?);
    }
    Ok(found)
}
