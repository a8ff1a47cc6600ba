//! `get_community_progress`: returns the caller's progress in a community.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCommunityProgress {
    pub community: CommunityId,
}

impl Contract for GetCommunityProgress {
    const NAME: &'static str = "get_community_progress";
    const SUMMARY: &'static str = "Returns the caller's progress in a community.";
    const FIELDS: &'static [Field] = &[COMMUNITY];
    const REPLIES: &'static [&'static str] = &["community_progress"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetCommunityProgress { community: community_id(fields)? })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
