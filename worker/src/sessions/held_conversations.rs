//! Which conversations the ids stand for that clients of the original made up; one query answers the requests of many
//! gateways.

use std::collections::HashMap;

use shared::ids::ConversationId;
use shared::stream::{Internal, InternalReply};

use super::Request;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::held_ids;
use crate::store::session::PgSession;

/// Returns an outcome per request, in their order.
pub async fn look_up(db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let held: Vec<String> = requests.iter().filter_map(|request| held_id(request).cloned()).collect();
    let known: HashMap<String, ConversationId> = held_ids::list_conversations(db, &held).await?.into_iter().collect();
    let outcome = |request: &Request| {
        let found = held_id(request).and_then(|held| known.get(held)).copied();
        Outcome::reply(&request.envelope, &InternalReply::HeldConversation(found))
    };
    Ok(requests.iter().map(outcome).collect())
}

fn held_id(request: &Request) -> Option<&String> {
    match &request.internal {
        Internal::HeldConversation { held } => Some(held),
        _ => None,
    }
}
