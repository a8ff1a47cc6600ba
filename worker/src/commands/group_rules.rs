//! What the handlers of membership commands share: who may change whose role in a group, and what a new member is shown
//! of it. Each command's own rules are in its file.

use crate::store::session::PgSession;
use shared::events::membership::{GroupDetails, GroupMember};
use shared::ids::{GroupId, UserId};
use shared::protocol::{ErrorCode, Rejection};

use super::Context;
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::store::groups::{self, Membership};
use crate::store::{conversations, group_members, users};

pub fn denied(details: &str) -> Failure {
    Rejection::new(ErrorCode::PermissionDenied, details).into()
}

fn no_such_group() -> Failure {
    Rejection::not_found("groupId", "There is no such group").into()
}

impl Context<'_> {
    /// The caller's membership in a group that manages its own members. Fails for outsiders like
    /// [`Context::membership`], and for everyone in a community's group.
    pub async fn managed_membership(&mut self, group: GroupId) -> Result<Membership, Failure> {
        let membership = self.membership(group).await?;
        if membership.community_id.is_some() {
            return Err(denied("The members and roles of this group come from its community"));
        }
        Ok(membership)
    }

    /// Like [`Self::managed_membership`], but only for the owner.
    pub async fn owned_group(&mut self, group: GroupId) -> Result<Membership, Failure> {
        let membership = self.managed_membership(group).await?;
        if membership.is_owner() { Ok(membership) } else { Err(denied("Only the group's owner may do this")) }
    }

    /// The membership of another user; rejects the caller's own.
    pub async fn other_member(&mut self, group: GroupId, user: UserId) -> Result<Membership, Failure> {
        if user == self.caller() {
            return Err(Rejection::invalid("userId", "`userId` must not be yourself").into());
        }
        let found = groups::find_membership(self.db, group, user).await?;
        found.ok_or_else(|| Rejection::not_found("userId", "There is no such member in this group").into())
    }

    /// Raises and returns the version of a group whose information, members or roles this command changed. The event of
    /// the change carries it.
    pub async fn raise_version(&mut self, group: GroupId) -> Result<i64, Failure> {
        Ok(conversations::raise_for_info(self.db, group).await?)
    }

    /// A user's name; empty for a deleted user.
    pub async fn username(&mut self, user: UserId) -> Result<String, Failure> {
        let name = users::list_names(self.db, &[user]).await?.pop();
        Ok(name.map(|name| name.username).unwrap_or_default())
    }

    /// The group with its first `most_members` members.
    pub async fn group_details(&mut self, group: GroupId, most_members: i64) -> Result<GroupDetails, Failure> {
        details(self.app, self.db, group, most_members).await
    }
}

/// The group with its first `most_members` members.
pub async fn details(
    app: &App,
    db: &mut PgSession,
    group: GroupId,
    most_members: i64,
) -> Result<GroupDetails, Failure> {
    let row = groups::find_group(db, group).await?.ok_or_else(no_such_group)?;
    Ok(GroupDetails {
        group_id: group,
        group_name: row.name,
        group_description: row.description,
        created_by: row.created_by,
        max_members: row.max_members,
        member_count: row.member_count,
        metadata: metadata::of_group(app, group, row.metadata.as_deref()),
        members: members(db, group, most_members).await?,
    })
}

/// The first `most` members of a group.
pub async fn members(db: &mut PgSession, group: GroupId, most: i64) -> Result<Vec<GroupMember>, Failure> {
    let member = |row: group_members::MemberRow| GroupMember {
        user_id: row.user_id,
        username: row.username,
        role: row.role,
        can_add_members: row.can_add_members,
        joined_at: row.joined_at.into(),
    };
    Ok(group_members::list_members(db, group, None, most).await?.into_iter().map(member).collect())
}
