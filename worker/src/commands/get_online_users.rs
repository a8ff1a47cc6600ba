//! `get_online_users`: everybody online anywhere in the fleet, but for those who are blocked in either direction.
//! `PRESENCE_SCOPE` is about the events only.

use shared::commands::GetOnlineUsers;
use shared::events::presence::{OnlineUser, OnlineUsers};
use shared::ids::UserId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::presence as presence_store;

/// More would not fit into a message; who needs a larger fleet's list needs another list.
const MOST_USERS: usize = 5_000;

impl Handle for GetOnlineUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (online, _) = context.app.presence.online(&context.app.redis, MOST_USERS).await?;
        let ids: Vec<i64> = online.iter().map(|user| user.0).collect();
        let rows = presence_store::list_online_users(context.db, context.caller().0, &ids).await?;
        let user = |row: presence_store::OnlineUser| OnlineUser {
            user_id: UserId(row.user_id),
            id: UserId(row.user_id),
            display_name: row.display_name.unwrap_or_else(|| row.username.clone()),
            username: row.username,
            profile_image: row.profile_picture,
            last_seen: row.last_seen_at.map(Into::into),
        };
        let users: Vec<OnlineUser> = rows.into_iter().map(user).collect();
        Ok(Outcome::answered(context.envelope, &OnlineUsers { count: users.len(), users }))
    }
}
