//! `ban_member`: keeps a user out of a group, for a time or until it is ended.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanMember(pub NewSanction);

impl Contract for BanMember {
    const NAME: &'static str = "ban_member";
    const SUMMARY: &'static str = "Removes a user from a group, and keeps the user out of it: nobody can add the user until the ban ends. The owner can ban \
        anyone, admins all but admins; the user need not be a member. In the group of a community, the user stays a member of the community, and \
        comes back with its next update after the ban.";
    const FIELDS: &'static [Field] = NewSanction::FIELDS;
    const REPLIES: &'static [&'static str] = &["member_banned"];
    const EVENTS: &'static [&'static str] = &["member_banned", "member_removed"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        NewSanction::decode(fields).map(BanMember)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.0.group))
    }
}
