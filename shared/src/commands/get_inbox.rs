//! `get_inbox`: lists all of the caller's conversations (direct, groups and communities) in one order.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInbox {
    pub limit: u32,
    pub after: Option<InboxPosition>,
}

/// The last entry of the previous part. Clients carry it between versions, so its fields must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxPosition {
    /// Microseconds since the epoch.
    pub active_at_us: i64,
    pub conversation: ConversationId,
}

impl Cursor for InboxPosition {
    const LIST: &'static str = "inbox";
}

impl Contract for GetInbox {
    const NAME: &'static str = "get_inbox";
    const SUMMARY: &'static str = "Returns the caller's conversations, direct ones, groups and communities in one order, the most \
        recently active first, each with its newest message, its read marks and the caller's settings. A direct \
        conversation in which the caller can see no message is left out.";
    const FIELDS: &'static [Field] = &[LIMIT, CURSOR];
    const REPLIES: &'static [&'static str] = &["inbox"];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetInbox { limit: fields.limit()?, after: fields.cursor()? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
