//! `get_conversations`: lists the caller's direct conversations, most recently active first.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetConversations {
    pub limit: u32,
    pub offset: u32,
}

impl Contract for GetConversations {
    const NAME: &'static str = "get_conversations";
    const SUMMARY: &'static str = "Returns the caller's direct conversations, the most recently active first.";
    const FIELDS: &'static [Field] = &[LIMIT, OFFSET];
    const REPLIES: &'static [&'static str] = &["conversations"];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetConversations { limit: fields.limit()?, offset: fields.offset(context.limits.offset)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
