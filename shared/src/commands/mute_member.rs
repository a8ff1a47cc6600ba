//! `mute_member`: keeps a member of a group from writing, for a time or until it is ended.

use serde::{Deserialize, Serialize};

use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteMember(pub NewSanction);

impl Contract for MuteMember {
    const NAME: &'static str = "mute_member";
    const SUMMARY: &'static str = "Keeps a member of a group from sending and editing messages and from adding reactions; these get `MEMBER_MUTED`. The \
        owner can mute anyone, admins only ordinary members. It also holds when the member leaves and comes back, and replaces an earlier one.";
    const FIELDS: &'static [Field] = NewSanction::FIELDS;
    const REPLIES: &'static [&'static str] = &["member_muted"];
    const EVENTS: &'static [&'static str] = &["member_muted"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        NewSanction::decode(fields).map(MuteMember)
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.0.group))
    }
}
