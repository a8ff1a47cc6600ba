//! `end_sign_in`: revokes the token of one of one's sign-ins, or those of all others. The gateways hear of it as of any revocation.

use shared::commands::EndSignIn;
use shared::events::users::SignInEnded;
use shared::protocol::Rejection;

use super::get_sign_ins::reject_foreign_logins;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sign_ins;

impl Handle for EndSignIn {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        reject_foreign_logins(context)?;
        let EndSignIn { token_id, others } = self;
        // The others of one that is not there would be all.
        if !sign_ins::exists(context.db, context.caller(), &token_id).await? {
            return Err(Rejection::not_found("signInId", "There is no such sign-in").into());
        }
        sign_ins::revoke(context.db, context.caller(), &token_id, others).await?;
        Ok(Outcome::answered(context.envelope, &SignInEnded { sign_in_id: token_id.0, others }))
    }
}
