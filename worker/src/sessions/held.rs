//! Looks up the conversations and messages of ids that only the original and its clients used, for many gateways'
//! requests by one query each.

use std::collections::HashMap;

use shared::ids::{ConversationId, MessageId};
use shared::stream::{Internal, InternalReply};

use super::Request;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::held_ids;
use crate::store::session::PgSession;

/// An outcome per request, in their order.
pub async fn look_up(db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let (mut of_conversations, mut of_messages) = (Vec::new(), Vec::new());
    for request in requests {
        match &request.internal {
            Internal::HeldConversation { held } => of_conversations.push(held.clone()),
            Internal::HeldConversations { held } => of_conversations.extend_from_slice(held),
            Internal::HeldMessage { held } => of_messages.push(held.clone()),
            _ => {}
        }
    }
    let (mut conversations, mut messages) = (HashMap::new(), HashMap::new());
    if !of_conversations.is_empty() {
        conversations.extend(held_ids::list_conversations(&mut *db, &of_conversations).await?);
    }
    if !of_messages.is_empty() {
        messages.extend(held_ids::list_messages(&mut *db, &of_messages).await?);
    }
    let outcome = |request: &Request| Outcome::reply(&request.envelope, &reply(request, &conversations, &messages));
    Ok(requests.iter().map(outcome).collect())
}

fn reply(
    request: &Request,
    conversations: &HashMap<String, ConversationId>,
    messages: &HashMap<String, MessageId>,
) -> InternalReply {
    match &request.internal {
        Internal::HeldMessage { held } => InternalReply::HeldMessage(messages.get(held).copied()),
        Internal::HeldConversation { held } => InternalReply::HeldConversation(conversations.get(held).copied()),
        Internal::HeldConversations { held } => {
            InternalReply::HeldConversations(held.iter().map(|held| conversations.get(held).copied()).collect())
        }
        _ => InternalReply::HeldConversation(None),
    }
}
