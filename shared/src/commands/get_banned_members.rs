//! `get_banned_members`: lists the users who are banned from a group.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBannedMembers {
    pub group: GroupId,
    pub limit: u32,
    pub after: Option<BannedPosition>,
}

/// The last user of the previous part. Clients carry it between versions, so its fields must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedPosition {
    pub user: UserId,
}

impl Cursor for BannedPosition {
    const LIST: &'static str = "banned members";
}

impl Contract for GetBannedMembers {
    const NAME: &'static str = "get_banned_members";
    const SUMMARY: &'static str =
        "Returns the users who are banned from a group, in parts, by their ids. Allowed for the owner and admins.";
    const FIELDS: &'static [Field] = &[GROUP, LIMIT, CURSOR];
    const REPLIES: &'static [&'static str] = &["banned_members"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let (limit, after) = (fields.limit()?, fields.cursor()?);
        Ok(GetBannedMembers { group: fields.required_group_id("groupId")?, limit, after })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
