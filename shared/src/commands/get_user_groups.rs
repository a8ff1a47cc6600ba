//! `get_user_groups`: lists the caller's groups.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use super::tail;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetUserGroups {
    /// `None` for as many groups as an answer holds.
    #[serde(with = "tail")]
    pub page: Option<GroupsPage>,
}

/// A part of the groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsPage {
    pub limit: u32,
    pub after: Option<GroupPosition>,
}

/// The last group of the part before. Clients carry it between versions: its fields stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPosition {
    /// Microseconds since the epoch.
    pub active_at_us: i64,
    pub group: GroupId,
}

impl Cursor for GroupPosition {
    const LIST: &'static str = "user groups";
}

impl Contract for GetUserGroups {
    const NAME: &'static str = "get_user_groups";
    const SUMMARY: &'static str = "Returns the groups that the caller belongs to, the most recently active first: with `limit` or \
        `cursor` a part of them, else as many as an answer holds, at most 2,000.";
    const FIELDS: &'static [Field] = &[
        Field::optional(
            "limit",
            Kind::LIMIT,
            "The size of the part; 50 with only a `cursor`. More than 200 becomes 200.",
        ),
        CURSOR,
    ];
    const REPLIES: &'static [&'static str] = &["user_groups"];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let after = fields.cursor()?;
        let limit = fields.limit()?;
        let is_paged = after.is_some() || fields.get("limit").is_some();
        Ok(GetUserGroups { page: is_paged.then_some(GroupsPage { limit, after }) })
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
    fn without_a_page_there_are_no_bytes() {
        let after = Some(GroupPosition { active_at_us: 5, group: GroupId(Uuid::from_u128(7)) });
        let all = GetUserGroups { page: None };
        let parts = [None, after].map(|after| GetUserGroups { page: Some(GroupsPage { limit: 2, after }) });
        assert_eq!(postcard::to_stdvec(&all).unwrap(), [0_u8; 0]);
        for command in [all].into_iter().chain(parts) {
            let bytes = postcard::to_stdvec(&command).unwrap();
            assert_eq!(postcard::from_bytes::<GetUserGroups>(&bytes).unwrap(), command);
        }
    }
}
