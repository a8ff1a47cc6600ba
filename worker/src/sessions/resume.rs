//! Opening a session for a user whose gateway is subscribed to everything: the greeting, and what was missed.

use shared::clock::Timestamp;
use shared::events;
use shared::events::session::{AuthSuccess, Profile};
use shared::ids::UserId;
use shared::stream::{Internal, InternalReply, ReplayPage};
use sqlx::PgConnection;

use super::{Request, authenticate};
use crate::error::Failure;
use crate::publish::Outcome;
use crate::store::users::Candidate;

/// An outcome per request, in their order.
pub async fn resume(db: &mut PgConnection, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let candidates = authenticate::load(db, requests).await?;
    let reply = |(place, request): (usize, &Request)| {
        let reply = match authenticate::check(candidates.get(&place)) {
            Ok(candidate) => resumed(candidate, &request.internal),
            Err(refused) => refused,
        };
        Outcome::reply(&request.envelope, &reply)
    };
    Ok(requests.iter().enumerate().map(reply).collect())
}

fn resumed(candidate: &Candidate, request: &Internal) -> InternalReply {
    let (session, renewal) = match request {
        Internal::Resume { session, renewal, .. } => (session.to_string(), *renewal),
        _ => Default::default(),
    };
    let profile = profile(candidate);
    let now = Timestamp::now();
    let success = AuthSuccess {
        user: &profile,
        user_id: profile.user_id,
        username: &profile.username,
        display_name: &profile.display_name,
        session_id: &session,
        queued_events: 0,
        replay_truncated: None,
        renewed: renewal.then_some(true),
        server_time: now,
        timestamp: now,
    };
    InternalReply::Resumed { auth_success: events::answer(&success, None), replay: ReplayPage::default() }
}

fn profile(candidate: &Candidate) -> Profile {
    let id = UserId(candidate.user_id);
    Profile {
        id,
        user_id: id,
        username: candidate.username.clone(),
        email: candidate.email.clone(),
        display_name: candidate.display_name.clone().unwrap_or_else(|| candidate.username.clone()),
        profile_image: candidate.profile_picture.clone(),
        bio: candidate.bio.clone(),
    }
}
