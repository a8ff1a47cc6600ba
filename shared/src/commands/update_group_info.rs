//! `update_group_info`: changes a group's name, description or size; absent fields stay as they are.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateGroupInfo {
    pub group: GroupId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub max_members: Option<u32>,
}

impl Contract for UpdateGroupInfo {
    const NAME: &'static str = "update_group_info";
    const ALIASES: &'static [&'static str] = &["update_group"];
    const SUMMARY: &'static str = "Changes the name, description or size of a group. Allowed for the owner and admins. \
        Absent fields stay unchanged.";
    const FIELDS: &'static [Field] = &[
        GROUP,
        Field { name: "groupName", kind: GROUP_NAME, requirement: Requirement::AtLeastOne, about: "The new name." },
        Field {
            name: "groupDescription",
            kind: GROUP_DESCRIPTION,
            requirement: Requirement::AtLeastOne,
            about: "The new description.",
        },
        Field {
            name: "maxMembers",
            kind: Kind::MemberCount,
            requirement: Requirement::AtLeastOne,
            about: "At least the current number of members.",
        },
    ];
    const REPLIES: &'static [&'static str] = &["group_info_updated"];
    const EVENTS: &'static [&'static str] = &["group_info_updated"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let update = UpdateGroupInfo {
            group: fields.required_group_id("groupId")?,
            name: group_name(fields, context)?,
            description: group_description(fields)?,
            max_members: max_members(fields, context)?,
        };
        if update.name.is_none() && update.description.is_none() && update.max_members.is_none() {
            return Err(Invalid::new(
                "groupName",
                "one of `groupName`, `groupDescription` and `maxMembers` is required",
            ));
        }
        Ok(update)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
