//! `get_sign_ins`: where one is signed in.

use shared::commands::GetSignIns;
use shared::events::users::{SignIn, SignIns};
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::sign_ins::{self, SignInRow};

const MAX_SIGN_INS: i64 = 100;

impl Handle for GetSignIns {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        reject_foreign_logins(context)?;
        let rows = sign_ins::list(context.db, context.caller(), MAX_SIGN_INS).await?;
        let sign_in = |row: SignInRow| SignIn {
            sign_in_id: row.token_id,
            signed_in_at: row.signed_in_at.into(),
            last_seen_at: row.last_seen_at.into(),
            expires_at: row.expires_at.into(),
            user_agent: row.user_agent,
            address: row.address,
        };
        let sign_ins = rows.into_iter().map(sign_in).collect();
        Ok(Outcome::answered(context.envelope, &SignIns { sign_ins }))
    }
}

/// Where the main backend keeps the accounts, it knows the logins, and only it revokes tokens.
pub fn reject_foreign_logins(context: &Context<'_>) -> Result<(), Failure> {
    if context.app.settings.common.builtin_auth {
        return Ok(());
    }
    Err(Rejection::new(ErrorCode::PermissionDenied, "Logins are managed by the main backend, not by this server")
        .into())
}
