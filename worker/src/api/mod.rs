//! HTTP requests that need the database. The gateway passes them on; here they are read, handled and answered. One file
//! per endpoint.

mod auth;
mod community_body;
pub mod community_group;
mod community_sync;
mod conversations;
mod export;
pub mod password_work;
pub mod picture_cache;
mod presences;
mod profile_pictures;
mod reports;
mod server_call;
mod update_user;

use crate::store::session::PgSession;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::clock::Timestamp;
use shared::http::{self, ErrorBody};
use shared::ids::{TokenId, UserId};
use shared::protocol::{ErrorCode, Rejection};
use shared::stream::{Envelope, HttpRequest, InternalReply};

use crate::api::password_work::Caller;
use crate::app::App;
use crate::commands;
use crate::error::{Failure, unpanicked, with_retries};
use crate::outcome::Outcome;
use crate::store::users;

/// Handles a request; every failure becomes an answer.
pub async fn answer(app: &App, envelope: &Envelope, request: HttpRequest) -> Outcome {
    let result = if Timestamp::now() > envelope.deadline {
        Err(commands::expired().into())
    } else {
        with_retries(envelope.deadline, || unpanicked(carry_out(app, envelope, request.clone()))).await
    };
    let rejection = match result {
        Ok(outcome) => {
            app.metrics.commands.with(&envelope.name).with("applied").increment(1);
            return outcome;
        }
        Err(Failure::Reject(rejection)) => rejection,
        Err(Failure::Retry(error)) => {
            tracing::warn!(%error, command = envelope.name, "an HTTP request failed and may be tried again");
            Rejection::unavailable("The database is temporarily unavailable", 2)
        }
        Err(error) => {
            let error_id = shared::telemetry::error_id();
            tracing::error!(error_id, command_id = %envelope.id, %error, "an HTTP request failed");
            Rejection::internal(error_id)
        }
    };
    app.metrics.commands.with(&envelope.name).with("rejected").increment(1);
    rejected(envelope, &rejection)
}

async fn carry_out(app: &App, envelope: &Envelope, request: HttpRequest) -> Result<Outcome, Failure> {
    match request {
        HttpRequest::CommunitySync { body } => community_sync::sync(app, envelope, &body).await,
        HttpRequest::Conversations { token_id, query } => conversations::list(app, envelope, &token_id, &query).await,
        HttpRequest::ProfilePictures { token_id, body } => {
            profile_pictures::list(app, envelope, &token_id, &body).await
        }
        HttpRequest::Register { body } => auth::register(app, envelope, &body).await,
        HttpRequest::Login { body } => auth::login(app, envelope, &body, Caller::Stranger).await,
        HttpRequest::KnownLogin { body } => auth::login(app, envelope, &body, Caller::Known).await,
        HttpRequest::Logout { token_id, expires_at } => auth::logout(app, envelope, &token_id, expires_at).await,
        HttpRequest::ServerCall(call) => server_call::authorise(app, envelope, &call).await,
        HttpRequest::Presences { body } => presences::list(app, envelope, &body).await,
        HttpRequest::CreateUser { body } => auth::create(app, envelope, &body).await,
        HttpRequest::UpdateUser { user, body } => update_user::update(app, envelope, user, &body).await,
        HttpRequest::Export { user, after } => export::list(app, envelope, user, after).await,
        HttpRequest::Reports { limit, after } => reports::list(app, envelope, limit, after).await,
        HttpRequest::CloseReport { report, state, key_id } => {
            reports::close(app, envelope, report, state, &key_id).await
        }
    }
}

/// A successful answer.
fn ok<T: Serialize>(envelope: &Envelope, answer: &T) -> Result<Outcome, Failure> {
    let json = serde_json::to_vec(answer).map_err(anyhow::Error::from)?;
    Ok(Outcome::reply(envelope, &InternalReply::Http { status: 200, json }))
}

/// The answer to a rejected request.
pub fn rejected(envelope: &Envelope, rejection: &Rejection) -> Outcome {
    rejected_with(envelope, rejection.code.http_status(), rejection)
}

fn rejected_with(envelope: &Envelope, status: u16, rejection: &Rejection) -> Outcome {
    let body = ErrorBody {
        status: http::Failure::Error,
        code: rejection.code.as_str(),
        message: &rejection.details,
        field: rejection.field,
        retry_after: rejection.retry_after,
        error_id: rejection.error_id.as_deref(),
    };
    // Our own structs always serialise.
    let json = serde_json::to_vec(&body).unwrap_or_default();
    Outcome::reply(envelope, &InternalReply::Http { status, json })
}

/// The body as a JSON object.
fn object(body: &[u8]) -> Result<Map<String, Value>, Rejection> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Rejection::new(ErrorCode::ValidationError, "The body must be a JSON object")),
        Err(error) => Err(Rejection::new(ErrorCode::InvalidJson, format!("The body is not valid JSON: {error}"))),
    }
}

/// Checks that the envelope's user exists and that the token was not revoked.
async fn check_token(db: &mut PgSession, user: UserId, token_id: &TokenId) -> Result<(), Failure> {
    let found = users::list_candidates(db, &[user], std::slice::from_ref(token_id)).await?;
    match found.first() {
        Some((_, candidate)) if candidate.deactivated => {
            Err(Rejection::new(ErrorCode::AuthFailed, "The token's user was deactivated").into())
        }
        Some((_, candidate)) if !candidate.revoked => Ok(()),
        Some(_) => Err(Rejection::new(ErrorCode::AuthFailed, "The token was revoked; log in again").into()),
        None => Err(Rejection::new(ErrorCode::AuthFailed, "The token's user does not exist").into()),
    }
}
