//! `start_conversation`: opens the direct conversation with a user; stores nothing.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartConversation {
    pub recipient: UserId,
}

impl Contract for StartConversation {
    const NAME: &'static str = "start_conversation";

    fn decode(fields: Fields<'_>, context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(StartConversation { recipient: context.other_user(fields, "recipientId")? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
