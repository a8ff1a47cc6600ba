//! `sync`: for each conversation, the messages after a number that the client knows.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub conversations: Vec<(ConversationId, i64)>,
}

impl Contract for Sync {
    const NAME: &'static str = "sync";
    const SUMMARY: &'static str = "For each conversation, the messages after the number that the client knows: a \
        series of `sync_messages`, ended by `sync_complete`. A conversation that is not \
        one's own refuses the whole command.";
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
