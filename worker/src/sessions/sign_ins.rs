//! Noting where users are signed in (`get_sign_ins` shows it), many at once. Losing one only makes an entry older than it is.

use std::collections::BTreeMap;

use shared::ids::UserId;
use shared::stream::{Internal, SignIn};

use super::Request;
use crate::error::Failure;
use crate::store::session::PgSession;
use crate::store::sign_ins;

pub async fn record(db: &mut PgSession, requests: &[Request]) -> Result<(), Failure> {
    // Of a token that came twice the last one counts.
    let mut latest: BTreeMap<&str, (UserId, &SignIn)> = BTreeMap::new();
    for request in requests {
        if let Internal::RecordSignIn(sign_in) = &request.internal {
            latest.insert(&sign_in.token_id.0, (request.envelope.user, sign_in));
        }
    }
    let (users, latest): (Vec<UserId>, Vec<&SignIn>) = latest.into_values().unzip();
    if !users.is_empty() {
        sign_ins::upsert(db, &users, &latest).await?;
    }
    Ok(())
}
