//! `delete_group`: deletes a group, at once or after a time.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroup {
    pub group: GroupId,
    pub permanent: bool,
}

impl Contract for DeleteGroup {
    const NAME: &'static str = "delete_group";

    fn decode(fields: Fields<'_>, _context: &Context<'_>) -> Result<Self, Invalid> {
        Ok(DeleteGroup {
            group: fields.required_group_id("groupId")?,
            permanent: fields.boolean("permanent")?.unwrap_or(false),
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
