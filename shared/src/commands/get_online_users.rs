//! `get_online_users`: lists everyone who is online anywhere in the fleet, or a part of them.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use super::tail;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOnlineUsers {
    /// `None` for as many users as `ONLINE_USERS_LIMIT` allows, contacts first.
    #[serde(with = "tail")]
    pub page: Option<OnlinePage>,
}

/// A part of the online users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlinePage {
    pub limit: u32,
    pub after: Option<OnlinePosition>,
}

/// The last user of the previous part. Clients carry it between versions, so its fields must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlinePosition {
    pub user: UserId,
}

impl Cursor for OnlinePosition {
    const LIST: &'static str = "online users";
}

impl Contract for GetOnlineUsers {
    const NAME: &'static str = "get_online_users";
    const SUMMARY: &'static str = "Returns who is online, except the caller and users blocked in either direction: with `limit` or \
        `cursor` a part of them, in no order that means anything; everybody who stays online meanwhile is in exactly one part. Without, \
        at most `ONLINE_USERS_LIMIT` users (1,000 by default), first those whom the caller follows or shares a conversation with. \
        `hasMore` says whether more are online.";
    const FIELDS: &'static [Field] = &[
        Field::optional(
            "limit",
            Kind::LIMIT,
            "The size of the part; 50 with only a `cursor`. More than 200 becomes 200. A part has fewer users where some are hidden.",
        ),
        CURSOR,
    ];
    const REPLIES: &'static [&'static str] = &["online_users"];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let after = fields.cursor()?;
        let limit = fields.limit()?;
        let is_paged = after.is_some() || fields.get("limit").is_some();
        Ok(GetOnlineUsers { page: is_paged.then_some(OnlinePage { limit, after }) })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::Query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_page_there_are_no_bytes() {
        let all = GetOnlineUsers { page: None };
        let after = Some(OnlinePosition { user: UserId(9) });
        let parts = [None, after].map(|after| GetOnlineUsers { page: Some(OnlinePage { limit: 2, after }) });
        assert_eq!(postcard::to_stdvec(&all).unwrap(), [0_u8; 0]);
        for command in [all].into_iter().chain(parts) {
            let bytes = postcard::to_stdvec(&command).unwrap();
            assert_eq!(postcard::from_bytes::<GetOnlineUsers>(&bytes).unwrap(), command);
        }
    }
}
