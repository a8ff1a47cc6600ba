//! Decides what an API key may be used for, and which command the request becomes. From then on it is handled like any
//! other command or request; here it is authorised, recorded in the audit log, and recognised if it is a repetition.

use shared::protocol::{ErrorCode, Rejection};
use shared::stream::{Envelope, InternalReply, ServerCall};

use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::{api_keys, audit};

/// For a key that was used for another request: the gateway answers 409.
const REUSED: &str = "This `Idempotency-Key` was used for another request";

pub async fn authorise(app: &App, envelope: &Envelope, call: &ServerCall) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    let key = api_keys::find(&mut db, &call.key_id).await?;
    let Some(key) = key.filter(|key| call.key_hash.matches(&key.key_hash)) else {
        let rejection = Rejection::new(ErrorCode::AuthFailed, "The API key does not exist or was revoked");
        return Ok(super::rejected_with(envelope, 401, &rejection));
    };
    if !key.scopes.contains(&call.scope) {
        let details = format!("The API key lacks the scope `{}`; it has {}", call.scope, key.scopes.join(", "));
        return Err(Rejection::new(ErrorCode::PermissionDenied, details).into());
    }
    if key.was_unused {
        api_keys::update_used(&mut db, &call.key_id).await?;
    }
    let mut command = None;
    if let Some(repetition) = &call.repetition {
        let first = api_keys::insert_request(&mut db, &call.key_id, repetition).await?;
        if first.fingerprint != repetition.fingerprint {
            return Ok(super::rejected_with(envelope, 409, &Rejection::new(ErrorCode::ValidationError, REUSED)));
        }
        command = Some(first.command_id.0);
    }
    if let Some(action) = &call.action {
        let entry = audit::AuditEntry {
            actor: audit::Actor::ApiKey(&call.key_id),
            action,
            target_user: call.user,
            conversation: None,
            message: None,
        };
        audit::insert_entry(&mut db, &entry).await?;
    }
    Ok(Outcome::reply(envelope, &InternalReply::Allowed { command }))
}
