//! How columns store the ids, roles and kinds of `shared`, which knows no database. The store's signatures and rows use
//! the types. Statements get the result of [`raw`]; columns that need more than a conversion are read as [`Typed`], or
//! with [`readable`] if this server may not have written the row.

use std::fmt::{self, Debug};

use shared::events::message::MessageKind;
use shared::ids::{CommunityId, ConversationId, EventId, GroupId, MessageId, TokenId, UserId};
use shared::role::Role;
use sqlx::error::BoxDynError;
use sqlx::{Decode, Postgres};
use uuid::Uuid;

use super::session::PgSession;

/// A type that a column holds in another form.
pub trait Column: Sized {
    type Stored;

    fn to_stored(&self) -> Self::Stored;

    /// # Errors
    /// When it is not a value that this server stores.
    fn from_stored(stored: Self::Stored) -> Result<Self, BoxDynError>;
}

/// Many values, as a parameter of a statement.
pub fn raw<T: Column>(values: &[T]) -> Vec<T::Stored> {
    values.iter().map(T::to_stored).collect()
}

/// The values of a column.
pub fn typed<T: Column>(column: Vec<T::Stored>) -> sqlx::Result<Vec<T>> {
    column.into_iter().map(|stored| T::from_stored(stored).map_err(sqlx::Error::Decode)).collect()
}

/// Converts rows with `read`. Unreadable rows are left out, so that one that this server did not write does not break
/// the others: they are counted, and logged with the result of `id`.
pub fn readable<R, T, I: Debug>(
    db: &PgSession,
    rows: Vec<R>,
    id: impl Fn(&R) -> I,
    read: impl Fn(R) -> Result<T, BoxDynError>,
) -> Vec<T> {
    let read = |row: R| {
        let id = id(&row);
        let unreadable = |error: &BoxDynError| {
            db.count_unreadable();
            tracing::error!(row = ?id, %error, "a stored row cannot be read");
        };
        read(row).inspect_err(unreadable).ok()
    };
    rows.into_iter().filter_map(read).collect()
}

/// A conversation or group as its columns store it. Rows to be cleaned up need not have one of our ids, and no walk may
/// stop at one that does not.
#[derive(Clone, Debug, Default)]
pub struct Spelled(pub(super) String);

impl From<String> for Spelled {
    fn from(stored: String) -> Self {
        Spelled(stored)
    }
}

impl From<ConversationId> for Spelled {
    fn from(conversation: ConversationId) -> Self {
        Spelled(conversation.to_stored())
    }
}

impl From<GroupId> for Spelled {
    fn from(group: GroupId) -> Self {
        Spelled(group.to_stored())
    }
}

impl fmt::Display for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A column that is read as `T`: `SELECT group_id AS "group_id: Typed<GroupId>"`.
#[derive(Debug)]
pub struct Typed<T>(T);

impl<'r, T: Column> Decode<'r, Postgres> for Typed<T>
where
    T::Stored: Decode<'r, Postgres>,
{
    fn decode(value: sqlx::postgres::PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Typed(T::from_stored(T::Stored::decode(value)?)?))
    }
}

impl<T> From<Typed<Option<T>>> for Option<T> {
    fn from(column: Typed<Option<T>>) -> Self {
        column.0
    }
}

/// Nullable columns.
impl<T: Column> Column for Option<T> {
    type Stored = Option<T::Stored>;

    fn to_stored(&self) -> Self::Stored {
        self.as_ref().map(T::to_stored)
    }

    fn from_stored(stored: Self::Stored) -> Result<Self, BoxDynError> {
        stored.map(T::from_stored).transpose()
    }
}

macro_rules! columns {
    ($($type:ident: $stored:ty, |$value:ident| $to:expr, |$column:ident| $from:expr;)*) => {$(
        impl Column for $type {
            type Stored = $stored;

            fn to_stored(&self) -> $stored {
                let $value = self;
                $to
            }

            fn from_stored($column: $stored) -> Result<Self, BoxDynError> {
                $from
            }
        }

        impl From<Typed<$type>> for $type {
            fn from(column: Typed<$type>) -> Self {
                column.0
            }
        }
    )*};
}

columns! {
    UserId: i64, |user| user.0, |stored| Ok(UserId(stored));
    MessageId: Uuid, |message| message.0, |stored| Ok(MessageId(stored));
    EventId: Uuid, |event| event.0, |stored| Ok(EventId(stored));
    GroupId: String, |group| group.to_string(), |stored| parse(&stored);
    ConversationId: String, |conversation| conversation.to_string(), |stored| parse(&stored);
    CommunityId: String, |community| community.0.clone(), |stored| Ok(CommunityId(stored));
    TokenId: String, |token| token.0.clone(), |stored| Ok(TokenId(stored));
    Role: String, |role| role.as_str().to_owned(), |stored| parse(&stored);
    MessageKind: i16, |kind| match kind {
        MessageKind::Text => 1,
        MessageKind::Announcement => 2,
        MessageKind::System => 3,
    }, |stored| Ok(match stored {
        2 => MessageKind::Announcement,
        3 => MessageKind::System,
        // A kind from a later version has a text, too.
        _ => MessageKind::Text,
    });
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(stored: &str) -> Result<T, BoxDynError> {
    stored.parse().map_err(|error| format!("the database has `{stored}`, which {error}").into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_stored_as_they_are_read() {
        let group = GroupId(Uuid::from_u128(7));
        let ids = [ConversationId::Group(group), ConversationId::direct(UserId(9), UserId(2))];
        assert_eq!(typed::<ConversationId>(raw(&ids)).unwrap(), ids);
        assert_eq!(typed::<Role>(raw(&Role::ALL)).unwrap(), Role::ALL);
        let kinds = [MessageKind::Text, MessageKind::Announcement, MessageKind::System];
        assert_eq!(typed::<MessageKind>(raw(&kinds)).unwrap(), kinds);
        let users = [Some(UserId(3)), None];
        assert_eq!(typed::<Option<UserId>>(raw(&users)).unwrap(), users);
    }

    #[test]
    fn what_we_never_store_is_an_error() {
        let text = || vec!["group_of_seven".to_owned()];
        assert!(matches!(typed::<GroupId>(text()), Err(sqlx::Error::Decode(_))));
        assert!(matches!(typed::<Role>(text()), Err(sqlx::Error::Decode(_))));
    }
}
