//! `sync`: for each conversation, the messages after a number that the client knows.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub conversations: Vec<(ConversationId, i64)>,
}

impl Contract for Sync {
    const NAME: &'static str = "sync";
    const SUMMARY: &'static str = "Returns, for each conversation, the messages after the `seq` that the client knows, as \
        a series of `sync_messages` that ends with `sync_complete`. If the caller does not \
        belong to one of the conversations, the whole command is rejected.";
    const FIELDS: &'static [Field] =
        &[Field::required("conversations", Kind::POSITIONS, "The last known `seq` of each conversation.")];
    const REPLIES: &'static [&'static str] = &["sync_complete", "sync_messages"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(Sync {
            conversations: positions(fields, "conversations")?.ok_or_else(|| Invalid::required("conversations"))?,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
