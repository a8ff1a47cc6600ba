//! `set_slow_mode`: limits how often the members of a group may write. It is not a field of `update_group_info`, whose
//! encoding between our processes cannot grow.

use serde::{Deserialize, Serialize};

use super::prelude::*;
use crate::limits::MAX_SLOW_MODE_SECONDS;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSlowMode {
    pub group: GroupId,
    pub seconds: u32,
}

impl Contract for SetSlowMode {
    const NAME: &'static str = "set_slow_mode";
    const SUMMARY: &'static str = "Lets ordinary members of a group send one message per so many seconds; more get `SLOW_MODE`. Allowed for \
        the owner and admins, to whom it does not apply.";
    const FIELDS: &'static [Field] = &[
        GROUP,
        Field::required(
            "seconds",
            Kind::Integer { min: 0, max: MAX_SLOW_MODE_SECONDS },
            "The time between two messages of a member; 0 turns slow mode off.",
        ),
    ];
    const REPLIES: &'static [&'static str] = &["group_info_updated"];
    const EVENTS: &'static [&'static str] = &["group_info_updated"];
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::ResourceNotFound, ErrorCode::PermissionDenied];

    fn decode(fields: Fields<'_>, _context: &DecodeContext<'_>) -> Result<Self, Invalid> {
        let seconds = fields.integer("seconds", 0, MAX_SLOW_MODE_SECONDS)?;
        Ok(SetSlowMode {
            group: fields.required_group_id("groupId")?,
            seconds: seconds.ok_or_else(|| Invalid::required("seconds"))? as u32,
        })
    }

    fn route(&self, _caller: UserId) -> Route {
        Route::conversation(ConversationId::Group(self.group))
    }
}
