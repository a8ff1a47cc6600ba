//! A backend's command on behalf of a user: admitted, appended and answered as if the user's own connection had sent
//! it.

use serde_json::{Map, Value};
use shared::clock::Timestamp;
use shared::commands::{Command, DecodeContext, Route};
use shared::ids::new_command_id;
use shared::protocol::{Fields, Invalid};
use shared::server_api::{SYSTEM, ServerOperation, TEXT};
use shared::stream::{InternalReply, Repetition};
use uuid::Uuid;

use super::request::Parsed;
use crate::api::answer::{json_response, unexpected};
use crate::api::error::ApiError;
use crate::gateway::Gateway;
use crate::http::reply::Response;
use crate::lanes::admit::{Admitted, Ordered};
use crate::lanes::held_ids::HeldIds;

/// What identifies a repetition of the request.
pub fn repetition(gateway: &Gateway, request: &Parsed) -> Result<Option<Repetition>, ApiError> {
    let Some(key) = request.idempotency_key.clone().filter(|_| !request.endpoint.is_read()) else { return Ok(None) };
    let hint = match request.endpoint.operation {
        ServerOperation::Command(name) => {
            let command = decode(gateway, name, request)?;
            match command.route(request.acting()?) {
                Route::Ordered(subject) => subject.route_hint(),
                Route::Query => return Ok(None),
            }
        }
        ServerOperation::CreateUser => 0,
        ServerOperation::Sessions
        | ServerOperation::Kick
        | ServerOperation::Presence
        | ServerOperation::UpdateUser
        | ServerOperation::Export
        | ServerOperation::Reports
        | ServerOperation::CloseReport => return Ok(None),
    };
    let proposed = new_command_id(Timestamp::now(), hint);
    Ok(Some(Repetition { key, fingerprint: request.fingerprint, command: proposed }))
}

/// Returns ids that may be the original's and for which the command is rejected, with the rejection.
pub fn held_ids(gateway: &Gateway, request: &Parsed) -> Option<(HeldIds, Invalid)> {
    let ServerOperation::Command(name) = request.endpoint.operation else { return None };
    let invalid = read(gateway, name, request).ok()?.err()?;
    Some((HeldIds::find(Fields(&request.fields), invalid.field)?, invalid))
}

fn decode(gateway: &Gateway, name: &str, request: &Parsed) -> Result<Command, ApiError> {
    read(gateway, name, request)?.map_err(|invalid| ApiError::invalid(&invalid))
}

fn read(gateway: &Gateway, name: &str, request: &Parsed) -> Result<Result<Command, Invalid>, ApiError> {
    let caller = request.acting()?;
    let context = DecodeContext { caller, limits: &gateway.limits };
    let mut fields = request.fields.clone();
    if let Some(key) = &request.idempotency_key {
        // The server recognises a message by it for longer than it recognises the request. Other commands ignore it,
        // like any unknown field.
        fields.entry("clientMessageId").or_insert_with(|| Value::from(key.as_str()));
    }
    Command::decode(name, Fields(&fields), &context).ok_or_else(ApiError::nothing)
}

/// True if the message is a system message.
fn is_systems(request: &Parsed) -> Result<bool, ApiError> {
    if !request.endpoint.takes_kind() {
        return Ok(false);
    }
    match request.fields.get("kind") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::String(kind)) if kind == TEXT => Ok(false),
        Some(Value::String(kind)) if kind == SYSTEM => Ok(true),
        Some(_) => Err(ApiError::invalid(&Invalid::new("kind", format!("`kind` must be `{TEXT}` or `{SYSTEM}`")))),
    }
}

/// Runs the command under this id, or a new one, and waits for its answer.
pub async fn run(gateway: &Gateway, name: &str, request: Parsed, id: Option<Uuid>) -> Result<Response, ApiError> {
    let ordered = Ordered {
        user: request.acting()?,
        command: decode(gateway, name, &request)?,
        is_systems: is_systems(&request)?,
        id,
        trace: request.trace,
    };
    let admitted = Admitted::server(gateway, &gateway.lanes, ordered).map_err(ApiError::of_rejection)?;
    let waiting = gateway.lanes.enter(admitted.partition());
    match gateway.requests.wait_for(admitted, gateway.settings.common.command_timeout).await {
        InternalReply::Http { json, .. } => {
            waiting.answered();
            response(&json)
        }
        reply => Err(unexpected(&reply)),
    }
}

/// Formats an answer for HTTP: its event with `status` instead of `type`.
fn response(json: &[u8]) -> Result<Response, ApiError> {
    let unreadable = || ApiError::internal("the answer to a command cannot be read");
    let mut event: Map<String, Value> = serde_json::from_slice(json).map_err(|_| unreadable())?;
    if event.get("type").is_some_and(|kind| kind == "error") {
        return Err(ApiError::of_worker(None, json));
    }
    event.remove("type");
    event.insert("status".to_owned(), Value::from("ok"));
    Ok(json_response(200, serde_json::to_vec(&event).map_err(|_| unreadable())?))
}
