//! `unblock_user`: removes the caller's block of a user.

use shared::commands::UnblockUser;
use shared::events::users::UserUnblocked;

use super::block_user::reject_foreign_blocks;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::user_search;

impl Handle for UnblockUser {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        reject_foreign_blocks(context)?;
        user_search::delete_block(context.db, context.caller(), self.user).await?;
        let event = UserUnblocked { user_id: self.user };
        let mut outcome = Outcome::answered(context.envelope, &event);
        context.tell_own_connections(&mut outcome, &event);
        Ok(outcome)
    }
}
