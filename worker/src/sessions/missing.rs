//! The messages of a conversation that a gateway found missing, for all of its members there at once. This is rare, so
//! each request has its own queries.

use crate::store::session::PgSession;
use shared::ids::MessageId;
use shared::stream::{Internal, InternalReply, MissingMessages};

use super::Request;
use super::replay::replayed_message;
use crate::app::App;
use crate::error::Failure;
use crate::history;
use crate::outcome::Outcome;
use crate::store::users::NOBODY;
use crate::store::{history as rows, replay};

/// More is not sent in one publication.
const MAX_MESSAGES: i64 = 100;

/// Returns an outcome per request, in their order.
pub async fn missing(app: &App, db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        let Internal::Missing { conversation, from } = request.internal else { continue };
        let mut found = rows::list_after(db, NOBODY, &[conversation], &[from - 1], MAX_MESSAGES + 1).await?;
        let has_more = found.len() as i64 > MAX_MESSAGES;
        found.truncate(MAX_MESSAGES as usize);
        let ids: Vec<MessageId> = found.iter().map(|present| present.message_id).collect();
        let mut found = rows::list_by_id(db, &ids).await?;
        found.sort_by_key(|row| row.seq);
        // A hidden message, and a reply to it, look different to different users: then all ask for what they missed,
        // one by one.
        let shown: Vec<MessageId> =
            found.iter().flat_map(|row| [Some(row.message_id), row.reply_to_message_id]).flatten().collect();
        let differs = !shown.is_empty() && !rows::list_hidden_from(db, &shown).await?.is_empty();
        if differs {
            found.clear();
        }
        let messages = history::show_as_new(app, db, NOBODY, &found).await?;
        let only_after = replay::list_only_after(db, conversation, from).await?;
        let missing = MissingMessages {
            events: messages.iter().map(replayed_message).collect(),
            has_more: has_more || differs,
            only_after,
        };
        outcomes.push(Outcome::reply(&request.envelope, &InternalReply::Missing(missing)));
    }
    Ok(outcomes)
}
