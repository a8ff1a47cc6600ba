//! `get_group_members`: lists a group's members, all at once or in parts.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use super::tail;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetGroupMembers {
    pub group: GroupId,
    /// `None` for all members at once.
    #[serde(with = "tail")]
    pub page: Option<MembersPage>,
}

/// A part of the members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersPage {
    pub limit: u32,
    pub after: Option<MemberPosition>,
}

/// The last member of the previous part. Clients carry it between versions, so its fields must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberPosition {
    /// The rank of the role: owner, admin, member.
    pub rank: u8,
    /// Microseconds since the epoch.
    pub joined_at_us: i64,
    pub user: UserId,
}

impl Cursor for MemberPosition {
    const LIST: &'static str = "group members";
}

impl Contract for GetGroupMembers {
    const NAME: &'static str = "get_group_members";
    const SUMMARY: &'static str = "Returns the members of a group, the owner first, then admins, then members, as they joined: with `limit` \
        or `cursor` a part of them, else all, at most 5,000. Allowed for its members.";
    const FIELDS: &'static [Field] = &[
        GROUP,
        Field::optional(
            "limit",
            Kind::LIMIT,
            "The size of the part; 50 with only a `cursor`. More than 200 becomes 200.",
        ),
        CURSOR,
    ];
    const REPLIES: &'static [&'static str] = &["group_members"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let after = fields.cursor()?;
        let limit = fields.limit()?;
        let is_paged = after.is_some() || fields.get("limit").is_some();
        let page = is_paged.then_some(MembersPage { limit, after });
        Ok(GetGroupMembers { group: fields.required_group_id("groupId")?, page })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn without_a_page_the_bytes_are_unchanged() {
        let group = GroupId(Uuid::from_u128(7));
        let after = Some(MemberPosition { rank: 2, joined_at_us: 5, user: UserId(9) });
        let all = GetGroupMembers { group, page: None };
        let part = GetGroupMembers { group, page: Some(MembersPage { limit: 2, after }) };
        assert_eq!(postcard::to_stdvec(&all).unwrap(), postcard::to_stdvec(&group).unwrap());
        for command in [all, part] {
            let bytes = postcard::to_stdvec(&command).unwrap();
            assert_eq!(postcard::from_bytes::<GetGroupMembers>(&bytes).unwrap(), command);
        }
    }
}
