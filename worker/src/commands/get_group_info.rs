//! `get_group_info`: returns a group's information.

use shared::commands::GetGroupInfo;
use shared::events::membership::GroupInfo;
use shared::protocol::Rejection;

use super::{Context, Handle, group_rules};
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::sanctions::shown_sanction;
use crate::store::groups;
use crate::store::sanctions::{self, SanctionKind};

impl Handle for GetGroupInfo {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.membership(self.group).await?;
        let row = groups::find_group(context.db, self.group).await?;
        let row = row.ok_or_else(|| Rejection::not_found("groupId", "There is no such group"))?;
        let mute = sanctions::find_sanction(context.db, self.group, context.caller(), SanctionKind::Mute).await?;
        let mute = mute.map(|mute| shown_sanction(context.app, mute.sanction_id, mute.ends_at, mute.reason.as_deref()));
        let info = GroupInfo {
            group_id: self.group,
            group_name: row.name,
            group_description: row.description,
            created_by: row.created_by,
            max_members: row.max_members,
            member_count: row.member_count,
            created_at: row.created_at.into(),
            slow_mode_seconds: row.slow_mode_seconds,
            mute,
            metadata: metadata::of_group(context.app, self.group, row.metadata.as_deref()),
            members: group_rules::members(context.db, self.group, group_rules::SHOWN_MEMBERS).await?,
        };
        Ok(Outcome::answered(context.envelope, &info))
    }
}
