//! What the handlers of membership commands share: who may change whose role in a group, and what a new member is shown
//! of it. Each command's own rules are in its file.

use crate::store::session::PgSession;
use shared::commands;
use shared::events::Event;
use shared::events::membership::{GroupDetails, GroupMember};
use shared::events::message::MessageKind;
use shared::events::moderation::Sanction;
use shared::ids::{ConversationId, GroupId, SanctionId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use uuid::Uuid;

use super::{Context, FoundMessage};
use crate::app::App;
use crate::error::Failure;
use crate::metadata;
use crate::outcome::{Audience, Outcome};
use crate::store::groups::{self, Membership};
use crate::store::sanctions::{self, NewSanction, SanctionKind};
use crate::store::{conversations, group_members, users};

pub fn denied(details: &str) -> Failure {
    Rejection::new(ErrorCode::PermissionDenied, details).into()
}

fn no_such_group() -> Failure {
    Rejection::not_found("groupId", "There is no such group").into()
}

/// How many members are shown with a group, so that what one member is told does not grow with the group;
/// `get_group_members` lists all.
pub const SHOWN_MEMBERS: i64 = 200;

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

    /// The group with its first [`SHOWN_MEMBERS`] members.
    pub async fn group_details(&mut self, group: GroupId) -> Result<GroupDetails, Failure> {
        details(self.app, self.db, group, SHOWN_MEMBERS).await
    }
}

/// The rejection of what a muted member may not do, for so many seconds.
pub fn muted(wait_seconds: Option<u32>) -> Rejection {
    let rejection = Rejection::new(ErrorCode::MemberMuted, "You are muted in this group");
    Rejection { field: Some("groupId"), retry_after: wait_seconds, ..rejection }
}

/// Moderation by owners and admins. It is allowed in the groups of communities, too.
impl Context<'_> {
    /// The membership of a user, if there is one, whom the caller may mute, ban, and free from both.
    pub async fn moderated(&mut self, group: GroupId, user: UserId) -> Result<Option<Membership>, Failure> {
        let membership = self.membership(group).await?;
        if !membership.is_owner_or_admin() {
            return Err(denied("Only the owner and admins may mute and ban"));
        }
        if user == self.caller() {
            return Err(Rejection::invalid("userId", "`userId` must not be yourself").into());
        }
        let target = groups::find_membership(self.db, group, user).await?;
        if target.as_ref().is_some_and(Membership::is_owner_or_admin) && !membership.is_owner() {
            return Err(denied("Only the owner may mute and ban admins"));
        }
        Ok(target)
    }

    /// Imposes a sanction, and records it in the audit log.
    pub async fn impose(&mut self, kind: SanctionKind, new: commands::NewSanction) -> Result<Sanction, Failure> {
        let sanction_id = SanctionId(self.envelope.id);
        let reason = new.reason.as_ref().map(|reason| self.app.keyring.seal_blob(sanction_id.0, reason.as_bytes()));
        let stored = NewSanction {
            sanction_id,
            group: new.group,
            user: new.user,
            kind,
            seconds: new.seconds,
            reason: reason.as_deref(),
            imposed_by: self.caller(),
        };
        let ends_at = sanctions::upsert_sanction(self.db, &stored).await?;
        self.audit(ConversationId::Group(new.group), Some(new.user), None).await?;
        Ok(Sanction { until: ends_at.map(Into::into), reason: new.reason })
    }

    /// Lifts a sanction, and records that in the audit log. Returns false if there was none in effect.
    pub async fn lift(&mut self, kind: SanctionKind, group: GroupId, user: UserId) -> Result<bool, Failure> {
        let lifted = sanctions::delete_sanction(self.db, group, user, kind).await?;
        if lifted {
            self.audit(ConversationId::Group(group), Some(user), None).await?;
        }
        Ok(lifted)
    }

    /// Rejects what a muted member may not do with a message. The product's own messages are not the member's, and nobody
    /// could end an owner's mute.
    pub async fn reject_muted(&mut self, group: GroupId, found: &FoundMessage) -> Result<(), Failure> {
        let is_systems = found.row.kind == MessageKind::System && self.envelope.reply_to.is_gateway();
        if is_systems || found.membership.as_ref().is_some_and(Membership::is_owner) {
            return Ok(());
        }
        match sanctions::find_sanction(self.db, group, self.caller(), SanctionKind::Mute).await? {
            Some(mute) => Err(muted(mute.wait()).into()),
            None => Ok(()),
        }
    }

    /// Sends a durable event to the members of a group and to one who no longer is a member, and stores it for both.
    pub async fn notify_with_former<E: Event>(
        &mut self,
        outcome: &mut Outcome,
        (group, former): (GroupId, UserId),
        event_id: Uuid,
        version: i64,
        event: &E,
    ) -> Result<(), Failure> {
        let conversation = ConversationId::Group(group);
        self.store_shared_event(event_id, conversation, version, event).await?;
        // Shared events are for members.
        self.store_event(event_id, Some(conversation), event, &[former]).await?;
        let own = Some(self.envelope.reply_to);
        outcome.durable_except(Audience::Group(group), event_id, event, own, vec![former]);
        outcome.durable(Audience::User(former), event_id, event, None);
        Ok(())
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
