//! `get_community_members`: lists a community's members.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCommunityMembers {
    pub community: CommunityId,
}

impl Contract for GetCommunityMembers {
    const NAME: &'static str = "get_community_members";
    const SUMMARY: &'static str = "Returns the members of a community. Allowed for its members.";
    const FIELDS: &'static [Field] = &[COMMUNITY];
    const REPLIES: &'static [&'static str] = &["community_members"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetCommunityMembers { community: community_id(fields)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
