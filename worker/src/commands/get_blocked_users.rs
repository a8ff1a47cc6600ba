//! `get_blocked_users`: lists the users whom the caller blocks.

use shared::commands::GetBlockedUsers;
use shared::events::users::BlockedUsers;

use super::block_user::reject_foreign_blocks;
use super::find_users::known_users;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::user_search;

/// More would not fit into a message.
const MAX_BLOCKED: i64 = 1_000;

impl Handle for GetBlockedUsers {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        reject_foreign_blocks(context)?;
        let blocked = user_search::list_blocked(context.db, context.caller(), MAX_BLOCKED).await?;
        let users = known_users(context.db, &blocked).await?;
        Ok(Outcome::answered(context.envelope, &BlockedUsers { users }))
    }
}
