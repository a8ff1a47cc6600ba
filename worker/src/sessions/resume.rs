//! Opens sessions for users whose gateway is subscribed to everything that concerns them: sends the greeting and the
//! first page of what they missed, and tells others that they are online.

use std::collections::HashMap;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::events;
use shared::events::session::{AuthSuccess, Profile};
use shared::ids::{Epoch, GatewayId, UserId};
use shared::redis::presence::UserSession;
use shared::stream::{Internal, InternalReply, ReplayPage};

use super::replay::{self, MissedEvents};
use super::{Request, authenticate};
use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::presence::{self, Transition};
use crate::store::users::Candidate;

/// Returns an outcome per request, in their order. Announces the users who came online.
pub async fn resume(app: &App, db: &mut PgSession, requests: &[Request]) -> Result<Vec<Outcome>, Failure> {
    let candidates = authenticate::load(db, requests).await?;
    let opened = open_sessions(app, requests, &candidates).await;
    let users: Vec<UserId> = requests
        .iter()
        .filter(|request| matches!(request.internal, Internal::Resume { renewal: false, .. }))
        .map(|request| request.envelope.user)
        .collect();
    let limit = app.settings.replay_limit as usize;
    let missed_events = if users.is_empty() { HashMap::new() } else { replay::choose(db, &users, limit).await? };
    let missed = |request: &Request| match request.internal {
        Internal::Resume { renewal: false, .. } => {
            missed_events.get(&request.envelope.user).cloned().unwrap_or_default()
        }
        _ => MissedEvents::default(),
    };
    let chosen = requests.iter().map(|request| (request.envelope.user, missed(request))).collect();
    let pages = replay::first_pages(app, db, chosen).await?;
    let epoch = app.epoch.current();
    let mut outcomes = Vec::with_capacity(requests.len());
    for ((place, request), page) in requests.iter().enumerate().zip(pages) {
        let reply = match authenticate::check(candidates.get(&place), &request.envelope) {
            Ok(candidate) => resumed(candidate, request, epoch, missed_events.get(&candidate.user_id), page),
            Err(refused) => refused,
        };
        outcomes.push(Outcome::reply(&request.envelope, &reply));
    }
    presence::announce(app, db, &opened, Transition::CameOnline).await.map_err(Failure::Retry)?;
    Ok(outcomes)
}

/// Registers the sessions; returns the users of the registered ones. The others continue anyway: sending messages does
/// not depend on being seen online.
async fn open_sessions(app: &App, requests: &[Request], candidates: &HashMap<usize, Candidate>) -> Vec<UserId> {
    let mut by_gateway: HashMap<GatewayId, Vec<UserSession>> = HashMap::new();
    for (place, request) in requests.iter().enumerate() {
        let Internal::Resume { connection, .. } = request.internal else { continue };
        if authenticate::check(candidates.get(&place), &request.envelope).is_ok() {
            let session = UserSession { user: request.envelope.user, connection };
            by_gateway.entry(request.envelope.reply_to.gateway).or_default().push(session);
        }
    }
    let mut users = Vec::new();
    for (gateway, sessions) in by_gateway {
        if let Err(error) = app.presence.register(&app.redis, gateway, &sessions).await {
            tracing::warn!(%error, sessions = sessions.len(), "sessions open that could not be registered yet");
            app.late_sessions.push(gateway, &sessions);
            continue;
        }
        users.extend(sessions.iter().map(|session| session.user));
    }
    users
}

fn resumed(
    candidate: &Candidate,
    request: &Request,
    epoch: Epoch,
    missed: Option<&MissedEvents>,
    replay: ReplayPage,
) -> InternalReply {
    let (session, renewal) = match &request.internal {
        Internal::Resume { session, renewal, .. } => (session.to_string(), *renewal),
        _ => Default::default(),
    };
    let missed = missed.filter(|_| !renewal);
    let profile = profile(candidate);
    let now = Timestamp::now();
    let success = AuthSuccess {
        user: &profile,
        user_id: profile.user_id,
        username: &profile.username,
        display_name: &profile.display_name,
        session_id: &session,
        epoch: (!epoch.0.is_nil()).then_some(epoch),
        queued_events: missed.map_or(0, MissedEvents::len) as u32,
        replay_truncated: missed.is_some_and(|missed| missed.truncated).then_some(true),
        renewed: renewal.then_some(true),
        server_time: now,
        timestamp: now,
    };
    InternalReply::Resumed { auth_success: events::answer(&success, request.envelope.request_id.as_ref()), replay }
}

pub fn profile(candidate: &Candidate) -> Profile {
    let id = candidate.user_id;
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
