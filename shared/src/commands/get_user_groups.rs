//! `get_user_groups`: lists the caller's groups.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::prelude::*;
use crate::cursor::Cursor;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetUserGroups {
    /// `None` for as many groups as an answer holds.
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

// A command is the last thing in its envelope, so that a page can follow where there is one: without, there are no bytes, as before
// there were pages.
impl Serialize for GetUserGroups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_tuple(usize::from(self.page.is_some()))?;
        if let Some(page) = &self.page {
            fields.serialize_element(page)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for GetUserGroups {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Page;

        impl<'de> Visitor<'de> for Page {
            type Value = GetUserGroups;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("perhaps a page")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<GetUserGroups, A::Error> {
                // The end of the bytes is an error like any other to postcard.
                Ok(GetUserGroups { page: fields.next_element().unwrap_or(None) })
            }
        }

        deserializer.deserialize_tuple(1, Page)
    }
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
