//! `create_group`: a new group, owned by its creator.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGroup {
    pub name: String,
    pub description: String,
    pub members: Vec<UserId>,
    pub max_members: u32,
}

impl Contract for CreateGroup {
    const NAME: &'static str = "create_group";

    fn decode(fields: Fields<'_>, context: &Context<'_>) -> Result<Self, Invalid> {
        let group_members = context.limits.group_members;
        Ok(CreateGroup {
            name: group_name(fields)?.ok_or_else(|| Invalid::required("groupName"))?,
            description: group_description(fields)?.unwrap_or_default(),
            // More than any group can hold would be refused by the worker anyway; this bounds the list itself.
            members: fields.user_ids(&["initialMembers", "memberUserIds"], MAX_SYNC_ENTRIES)?,
            max_members: max_members(fields, context)?.unwrap_or(group_members),
        })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::Ordered(Subject::User(caller))
    }
}
