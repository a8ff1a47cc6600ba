//! Answers and events of communities.

use schemars::JsonSchema;
use serde::Serialize;

use super::Event;
use crate::clock::Timestamp;
use crate::ids::{GroupId, UserId};
use crate::role::Role;

/// A community as one of its members sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Community {
    pub community_id: String,
    pub name: String,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    /// The group with all its members.
    pub default_group_id: Option<GroupId>,
    /// The caller's role.
    #[schemars(with = "String")]
    pub role: Role,
    pub joined_at: Timestamp,
    pub is_muted: bool,
}

/// The caller's communities.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CommunityList {
    pub communities: Vec<Community>,
}

impl Event for CommunityList {
    const TYPE: &'static str = "community_list";
}

/// A member of a community.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunityMember {
    pub user_id: UserId,
    pub username: String,
    #[schemars(with = "String")]
    pub role: Role,
    pub joined_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    pub is_muted: bool,
}

/// A community's members.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunityMembers<'a> {
    pub community_id: &'a str,
    pub members: Vec<CommunityMember>,
}

impl Event for CommunityMembers<'_> {
    const TYPE: &'static str = "community_members";
}

/// What a user has achieved in a community.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    pub community_id: String,
    pub user_id: UserId,
    pub total_xp: i64,
    pub daily_streak: i32,
    pub weekly_streak: i32,
    pub last_challenge_id: Option<String>,
    pub last_challenge_type: Option<String>,
    pub last_completed_at: Option<Timestamp>,
}

/// The caller's progress in a community.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunityProgress<'a> {
    pub community_id: &'a str,
    pub progress: Progress,
}

impl Event for CommunityProgress<'_> {
    const TYPE: &'static str = "community_progress";
}

/// A challenge that a member completed.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChallengeEvent {
    pub event_id: String,
    pub user_id: UserId,
    pub challenge_id: Option<String>,
    pub challenge_type: Option<String>,
    pub xp_awarded: i64,
    pub occurred_at: Option<Timestamp>,
    /// As the main backend sent it.
    pub payload: Option<serde_json::Value>,
}

/// A member's progress, for members who are online; not durable.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommunityProgressUpdate<'a> {
    pub community_id: &'a str,
    pub user_id: UserId,
    /// Absent if only the progress was set.
    pub event: Option<&'a ChallengeEvent>,
    pub progress: Option<&'a Progress>,
}

impl Event for CommunityProgressUpdate<'_> {
    const TYPE: &'static str = "community_progress_update";
}
