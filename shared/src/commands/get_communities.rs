//! `get_communities`: lists the caller's communities.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCommunities;

impl Contract for GetCommunities {
    const NAME: &'static str = "get_communities";
    const SUMMARY: &'static str = "Returns the communities that the caller belongs to.";
    const REPLIES: &'static [&'static str] = &["community_list"];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetCommunities)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
