//! `update_group_info`: changes a group's name, description or size; absent fields stay as they are.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateGroupInfo {
    pub group: GroupId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub max_members: Option<u32>,
    #[serde(skip)]
    pub metadata: MetadataField,
}

impl Contract for UpdateGroupInfo {
    const NAME: &'static str = "update_group_info";
    const ALIASES: &'static [&'static str] = &["update_group"];
    const SUMMARY: &'static str = "Changes the name, description, size or metadata of a group. Allowed for the owner and admins. \
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
        Field { requirement: Requirement::AtLeastOne, ..NEW_METADATA },
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
            metadata: fields.metadata()?,
        };
        let has_texts = update.name.is_some() || update.description.is_some();
        if !has_texts && update.max_members.is_none() && update.metadata.is_absent() {
            let details = "one of `groupName`, `groupDescription`, `maxMembers` and `metadata` is required";
            return Err(Invalid::new("groupName", details));
        }
        Ok(update)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }

    fn metadata(&mut self) -> Option<&mut MetadataField> {
        Some(&mut self.metadata)
    }
}
