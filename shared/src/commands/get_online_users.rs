//! `get_online_users`: everybody who is online anywhere in the fleet.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOnlineUsers;

impl Contract for GetOnlineUsers {
    const NAME: &'static str = "get_online_users";
    const SUMMARY: &'static str = "Returns everyone who is online, except the caller and users blocked in either \
        direction. Of more than `ONLINE_USERS_LIMIT` users (1,000 by default) it lists so many, those whom the caller follows \
        or shares a conversation with first, and says so with `hasMore`.";
    const REPLIES: &'static [&'static str] = &["online_users"];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetOnlineUsers)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
