//! `get_online_users`: lists everyone who is online anywhere in the fleet.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOnlineUsers;

impl Contract for GetOnlineUsers {
    const NAME: &'static str = "get_online_users";
    const SUMMARY: &'static str = "Returns who is online, except the caller and users blocked in either direction: \
        at most `ONLINE_USERS_LIMIT` users (1,000 by default), first those whom the caller follows or shares a conversation \
        with. `hasMore` says whether more are online.";
    const REPLIES: &'static [&'static str] = &["online_users"];

    fn decode(_fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        Ok(GetOnlineUsers)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}
