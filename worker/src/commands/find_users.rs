//! `find_users`: finds users by the beginning of their name, among all users or among the caller's contacts.

use std::collections::HashMap;

use shared::commands::FindUsers;
use shared::config::UserSearch;
use shared::events::users::{KnownUser, UsersFound};
use shared::ids::UserId;
use shared::protocol::{ErrorCode, Rejection};
use unicode_normalization::UnicodeNormalization as _;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::presence;
use crate::store::session::PgSession;
use crate::store::user_search::{self, UserRow};

impl Handle for FindUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let (caller, limit) = (context.caller(), i64::from(self.limit));
        // Names are almost always stored in this form.
        let query: String = self.query.nfc().collect();
        let found = match context.app.settings.user_search() {
            UserSearch::All => user_search::list_by_prefix(context.db, caller, &query, limit).await?,
            UserSearch::Contacts => user_search::list_contacts_by_prefix(context.db, caller, &query, limit).await?,
            UserSearch::Off => {
                return Err(
                    Rejection::new(ErrorCode::PermissionDenied, "Users cannot be searched on this server").into()
                );
            }
        };
        let mut users = known_users(context.db, &found).await?;
        // Nobody is found who is blocked in either direction.
        let online = presence::online_among(context.app, &found).await;
        for user in &mut users {
            user.online = Some(online.contains(&user.user_id));
        }
        Ok(Outcome::answered(context.envelope, &UsersFound { users }))
    }
}

/// These users as others see them, in this order; deleted ones are left out.
pub async fn known_users(db: &mut PgSession, users: &[UserId]) -> Result<Vec<KnownUser>, Failure> {
    let rows = user_search::list_profiles(db, users).await?;
    let mut rows: HashMap<UserId, UserRow> = rows.into_iter().map(|row| (row.user_id, row)).collect();
    let known = |row: UserRow| KnownUser {
        user_id: row.user_id,
        display_name: row.display_name.unwrap_or_else(|| row.username.clone()),
        username: row.username,
        profile_image: row.profile_picture,
        online: None,
    };
    Ok(users.iter().filter_map(|user| rows.remove(user)).map(known).collect())
}
