//! `get_online_users`: everybody online anywhere in the fleet, as far as the caller may know: with
//! `PRESENCE_SCOPE=contacts` only contacts.

use shared::commands::GetOnlineUsers;
use shared::config::PresenceScope;
use shared::events::presence::{OnlineUser, OnlineUsers};
use shared::ids::UserId;

use super::{Context, Handle};
use crate::error::Failure;
use crate::publish::Outcome;
use crate::store::presence as presence_store;

/// More would not fit into a message; who needs a larger fleet's list needs another list.
const MOST_USERS: usize = 5_000;

impl Handle for GetOnlineUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (presence, redis) = (&context.app.presence, &context.app.redis);
        let ids: Vec<i64> = match context.app.settings.common.presence_scope {
            PresenceScope::All => presence.online(redis, MOST_USERS).await?.0.iter().map(|user| user.0).collect(),
            PresenceScope::Contacts => {
                let pairs = presence_store::list_contacts(context.db, &[context.caller().0]).await?;
                let contacts: Vec<UserId> = pairs.into_iter().map(|pair| UserId(pair.other_id)).collect();
                let mut online = Vec::new();
                for contacts in contacts.chunks(MOST_USERS) {
                    online.extend(presence.online_among(redis, contacts).await?.into_iter().map(|user| user.0));
                }
                online.truncate(MOST_USERS);
                online
            }
        };
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
