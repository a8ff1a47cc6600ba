//! `sync`: for each conversation, the messages after a number that the client knows.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub conversations: Vec<(ConversationId, i64)>,
}

impl Contract for Sync {
    const NAME: &'static str = "sync";

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(Sync {
            conversations: positions(fields, "conversations")?.ok_or_else(|| Invalid::required("conversations"))?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
