//! `sync`, from a gateway of the previous version, which takes the whole answer at once. See [`crate::sync`].

use shared::commands::Sync;

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::sync;

impl Handle for Sync {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        sync::answer_whole(context.app, context.db, context.envelope, self.into_round()).await
    }
}
