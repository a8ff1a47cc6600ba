//! `get_online_users`: lists who is online anywhere in the fleet, except users blocked in either direction: a part of
//! them, or as many as `ONLINE_USERS_LIMIT` allows, of whom the caller's contacts come first. `PRESENCE_SCOPE` affects
//! only the events.

use std::collections::BTreeSet;

use shared::commands::{GetOnlineUsers, OnlinePage, OnlinePosition};
use shared::cursor::Cursor;
use shared::events::presence::{OnlineUser, OnlineUsers};
use shared::ids::UserId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::presence as presence_store;

impl Handle for GetOnlineUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (ids, has_more) = match &self.page {
            Some(page) => part(context, page).await?,
            None => choose(context).await?,
        };
        let last = ids.last().filter(|_| self.page.is_some() && has_more);
        let next_cursor = last.map(|user| OnlinePosition { user: *user }.to_text());
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
        Ok(Outcome::answered(context.envelope, &OnlineUsers { count: users.len(), users, has_more, next_cursor }))
    }
}

/// A part, in the registry's order, and whether more are online.
async fn part(context: &Context<'_>, page: &OnlinePage) -> Result<(Vec<UserId>, bool), Failure> {
    let (app, limit) = (context.app, page.limit as usize);
    let after = page.after.map(|position| position.user);
    // One more than asked for tells whether there are more.
    let mut ids = app.presence.online_after(&app.redis, after, limit + 1).await?;
    let has_more = ids.len() > limit;
    ids.truncate(limit);
    Ok((ids, has_more))
}

/// Chooses who is listed to a caller who asks for no part, and finds out if more are online.
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
