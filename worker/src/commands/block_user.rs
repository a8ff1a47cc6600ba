//! `block_user`: blocks a user, if this server keeps the accounts. What either may do from then on is read from the
//! same table that the main backend writes in other deployments.

use shared::commands::BlockUser;
use shared::events::users::UserBlocked;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::{user_search, users};

/// Whom a user blocks is read whenever that user signs in or looks at a list.
const MAX_BLOCKS: i64 = 10_000;

impl Handle for BlockUser {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        reject_foreign_blocks(context)?;
        if !users::exists(context.db, self.user).await? {
            return Err(Rejection::not_found("userId", "There is no such user").into());
        }
        if !user_search::insert_block(context.db, context.caller(), self.user, MAX_BLOCKS).await? {
            let details = format!("You block {MAX_BLOCKS} users, which is as many as you may block");
            return Err(
                Rejection { field: Some("userId"), ..Rejection::new(ErrorCode::PermissionDenied, details) }.into()
            );
        }
        let event = UserBlocked { user_id: self.user };
        let mut outcome = Outcome::answered(context.envelope, &event);
        context.tell_own_connections(&mut outcome, &event);
        Ok(outcome)
    }
}

/// Rejects blocking if the main backend keeps the accounts, since it then also manages the blocks.
pub fn reject_foreign_blocks(context: &Context<'_>) -> Result<(), Failure> {
    if context.app.settings.common.builtin_auth {
        return Ok(());
    }
    Err(Rejection::new(ErrorCode::PermissionDenied, "Blocks are managed by the main backend, not by this server")
        .into())
}
