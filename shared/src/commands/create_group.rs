//! `create_group`: a new group, owned by its creator.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::limits::DEFAULT_GROUP_MEMBERS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGroup {
    pub name: String,
    pub description: String,
    pub members: Vec<UserId>,
    pub max_members: u32,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for CreateGroup {
    const NAME: &'static str = "create_group";
    const SUMMARY: &'static str = "Creates a group with the caller as its owner. Initial members who are unknown or \
        blocked are skipped and listed in `skippedMembers`.";
    const FIELDS: &'static [Field] = &[
        Field::required("groupName", GROUP_NAME, "The group's name."),
        Field::default("groupDescription", GROUP_DESCRIPTION, "\"\"", "What the group is about."),
        Field::optional(
            "initialMembers",
            Kind::UserIds { most: MAX_SYNC_ENTRIES },
            "The other members; with the creator, up to `maxMembers`.",
        ),
        Field::instead_of(
            "initialMembers",
            "memberUserIds",
            Kind::UserIds { most: MAX_SYNC_ENTRIES },
            "Another name for it.",
        ),
        Field::default("maxMembers", Kind::MemberCount, "50", "How many members the group may have."),
        METADATA,
    ];
    const REPLIES: &'static [&'static str] = &["group_created"];
    const EVENTS: &'static [&'static str] = &["group_created"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::TooManyMembers, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let default = DEFAULT_GROUP_MEMBERS.min(context.limits.group_members);
        Ok(CreateGroup {
            name: group_name(fields, context)?.ok_or_else(|| Invalid::required("groupName"))?,
            description: group_description(fields)?.unwrap_or_default(),
            // The worker would reject more than any group can hold anyway; this bounds the list itself.
            members: fields.user_ids(&["initialMembers", "memberUserIds"], MAX_SYNC_ENTRIES)?,
            max_members: max_members(fields, context)?.unwrap_or(default),
            metadata: first_metadata(fields)?,
        })
    }

    fn route(&self, caller: UserId) -> Route {
        Route::Ordered(Subject::User(caller))
    }

    fn metadata(&mut self) -> Option<&mut MetadataField> {
        Some(&mut self.metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::limits::Limits;

    #[test]
    fn a_group_has_50_places_unless_the_server_allows_fewer() {
        for (allowed, expected) in [(200, 50), (50, 50), (20, 20)] {
            let limits = Limits { group_members: allowed, ..Limits::default() };
            let context = DecodeContext { caller: UserId(1), limits: &limits };
            let fields = json!({"groupName": "g"});
            let command = CreateGroup::decode(Fields(fields.as_object().unwrap()), &context).unwrap();
            assert_eq!(command.max_members, expected);
        }
    }
}
