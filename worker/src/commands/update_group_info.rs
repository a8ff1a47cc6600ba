//! `update_group_info`: changes a group's name, description, size or metadata.

use shared::commands::UpdateGroupInfo;
use shared::events::membership::GroupInfoUpdated;
use shared::ids::{ConversationId, GroupId};
use shared::protocol::Rejection;

use super::group_rules::denied;
use super::{Context, Handle};
use crate::error::Failure;
use crate::metadata;
use crate::outcome::Outcome;
use crate::store::groups::{self, NewInfo};

impl Handle for UpdateGroupInfo {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let group = self.group;
        let membership = context.membership(group).await?;
        if !membership.is_owner_or_admin() {
            return Err(denied("Only the owner and admins may change the group"));
        }
        if let Some(max_members) = self.max_members {
            if membership.community_id.is_some() {
                return Err(denied("The size of this group comes from its community"));
            }
            let bound = context.app.settings.common.group_max_members;
            let count = groups::find_group(context.db, group).await?.ok_or_else(no_such)?.member_count;
            if i64::from(max_members) < count || max_members > bound {
                let details = format!("`maxMembers` must be from {count}, the members that the group has, to {bound}");
                return Err(Rejection::invalid("maxMembers", details).into());
            }
        }
        let replaced = !self.metadata.is_absent();
        let metadata = self.metadata.into_given().map(|metadata| metadata.seal(&context.app.keyring, group.0));
        let new = NewInfo {
            name: self.name.as_deref(),
            description: self.description.as_deref(),
            max_members: self.max_members.map(|number| number as i32),
            metadata: replaced.then_some(metadata),
            slow_mode_seconds: None,
        };
        update(context, group, &new).await
    }
}

fn no_such() -> Rejection {
    Rejection::not_found("groupId", "There is no such group")
}

/// Changes a group's information, and tells its members.
pub async fn update(context: &mut Context<'_>, group: GroupId, new: &NewInfo<'_>) -> Result<Outcome, Failure> {
    let info = groups::update_info(context.db, group, new).await?.ok_or_else(no_such)?;
    let updated = GroupInfoUpdated {
        group_id: group,
        group_name: info.name,
        group_description: info.description,
        max_members: info.max_members,
        created_by: info.created_by,
        created_at: info.created_at.into(),
        updated_by: context.caller(),
        updated_by_username: context.caller_name().await?,
        slow_mode_seconds: info.slow_mode_seconds,
        member_count: None,
        metadata: metadata::of_group(context.app, group, info.metadata.as_deref()),
        version: context.raise_version(group).await?,
    };
    let mut outcome = Outcome::answered(context.envelope, &updated);
    context.notify_participants(&mut outcome, ConversationId::Group(group), updated.version, &updated).await?;
    Ok(outcome)
}
