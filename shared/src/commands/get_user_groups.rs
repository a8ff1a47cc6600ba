//! `get_user_groups`: lists the caller's groups.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetUserGroups;

impl Contract for GetUserGroups {
    const NAME: &'static str = "get_user_groups";
    const SUMMARY: &'static str = "Returns the groups that the caller belongs to.";
    const REPLIES: &'static [&'static str] = &["user_groups"];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetUserGroups)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
