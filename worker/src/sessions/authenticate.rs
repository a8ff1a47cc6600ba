//! Decides if a token opens a session. The gateway has checked its signature; here the user must exist and the token
//! must not be revoked. Fails closed.

use std::collections::HashMap;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events;
use shared::events::session::{AuthError, AuthErrorCode};
use shared::ids::{TokenId, UserId};
use shared::stream::{Envelope, Internal, InternalReply};

use super::Request;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::users::{self, Candidate};

/// Returns an outcome per request, in their order.
pub async fn authenticate(db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let candidates = load(db, requests).await?;
    let reply = |(place, request): (usize, &Request)| {
        let reply = match check(candidates.get(&place), &request.envelope) {
            Ok(candidate) => InternalReply::Authenticated { groups: candidate.groups.clone() },
            Err(refused) => refused,
        };
        Outcome::reply(&request.envelope, &reply)
    };
    Ok(requests.iter().enumerate().map(reply).collect())
}

/// Loads what is known about the requests' users, by the request's position.
pub async fn load(db: &mut PgSession, requests: &[Request]) -> Result<HashMap<usize, Candidate>, Failure> {
    let users: Vec<UserId> = requests.iter().map(|request| request.envelope.user).collect();
    let token_id = |request: &Request| match &request.internal {
        Internal::Authenticate { token_id } | Internal::Resume { token_id, .. } => token_id.clone(),
        _ => TokenId(String::new()),
    };
    let token_ids: Vec<TokenId> = requests.iter().map(token_id).collect();
    let rows = users::list_candidates(db, &users, &token_ids).await?;
    Ok(rows.into_iter().map(|(ord, candidate)| (ord as usize, candidate)).collect())
}

/// The candidate if it may have a session, or the refusal.
pub fn check<'a>(candidate: Option<&'a Candidate>, envelope: &Envelope) -> Result<&'a Candidate, InternalReply> {
    let refused = |code, message, details| {
        let error = AuthError { message, details, code, retry_after: None, timestamp: Timestamp::now() };
        Err(InternalReply::Refused { auth_error: events::answer(&error, envelope.request_id.as_ref()) })
    };
    match candidate {
        None => refused(AuthErrorCode::UserNotFound, "User not found", "The token's user does not exist"),
        Some(candidate) if candidate.deactivated => {
            refused(AuthErrorCode::UserNotFound, "User not found", "The token's user was deactivated")
        }
        Some(candidate) if candidate.revoked => {
            refused(AuthErrorCode::TokenRevoked, "Token revoked", "The token was revoked; log in again")
        }
        Some(candidate) => Ok(candidate),
    }
}
