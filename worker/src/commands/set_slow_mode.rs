//! `set_slow_mode`: limits how often the ordinary members of a group may write. `store::sends` keeps to it.

use shared::commands::SetSlowMode;
use shared::ids::ConversationId;

use super::group_rules::denied;
use super::update_group_info::update;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::groups::NewInfo;

impl Handle for SetSlowMode {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        if !context.membership(self.group).await?.is_owner_or_admin() {
            return Err(denied("Only the owner and admins may change the group"));
        }
        context.audit(ConversationId::Group(self.group), None, None).await?;
        let new = NewInfo { slow_mode_seconds: Some(self.seconds as i32), ..NewInfo::default() };
        update(context, self.group, &new).await
    }
}
