//! `get_online_users`: lists who is online anywhere in the fleet, except users blocked in either direction. If there
//! are more than `ONLINE_USERS_LIMIT`, the caller's contacts come first. `PRESENCE_SCOPE` affects only the events.

use std::collections::BTreeSet;

use shared::commands::GetOnlineUsers;
use shared::events::presence::{OnlineUser, OnlineUsers};
use shared::ids::UserId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::presence as presence_store;

impl Handle for GetOnlineUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (ids, has_more) = choose(context).await?;
        let rows = presence_store::list_online_users(context.db, context.caller(), &ids).await?;
        let user = |row: presence_store::OnlineUser| OnlineUser {
            user_id: row.user_id,
            id: row.user_id,
            display_name: row.display_name.unwrap_or_else(|| row.username.clone()),
            username: row.username,
            profile_image: row.profile_picture,
            last_seen: row.last_seen_at.map(Into::into),
        };
        let users: Vec<OnlineUser> = rows.into_iter().map(user).collect();
        Ok(Outcome::answered(context.envelope, &OnlineUsers { count: users.len(), users, has_more }))
    }
}

/// Chooses who is listed, and finds out if more are online.
async fn choose(context: &mut Context<'_>) -> Result<(Vec<UserId>, bool), Failure> {
    let (app, limit) = (context.app, context.app.settings.online_users_limit as usize);
    let (others, total) = app.presence.online(&app.redis, limit).await?;
    let has_more = total > others.len() as u64;
    let mut chosen: BTreeSet<UserId> = BTreeSet::new();
    if has_more {
        let contacts = presence_store::list_some_contacts(context.db, context.caller(), limit as i64).await?;
        let online = app.presence.online_among(&app.redis, &contacts).await?;
        chosen.extend(online.into_iter().take(limit));
    }
    for user in others {
        if chosen.len() >= limit {
            break;
        }
        chosen.insert(user);
    }
    Ok((chosen.into_iter().collect(), has_more))
}
