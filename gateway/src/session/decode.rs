//! From a text message to a request: something that the gateway answers itself, or a command for a worker.

use shared::commands::prelude::positions;
use shared::commands::{Command, DecodeContext, NAMES, session};
use shared::dialects::{self, Dialect};
use shared::ids::{ConversationId, UserId};
use shared::limits::{Limits, MAX_SYNC_ENTRIES};
use shared::protocol::frame::Malformed;
use shared::protocol::{ErrorCode, Fields, Frame, Invalid, Rejection, RequestId, Spec};
use uuid::Uuid;

use crate::connection::Wants;
use crate::lanes::held_ids::{HeldIds, KnownIds};

/// A made-up type is echoed as far as this.
const MAX_TYPE_CHARACTERS: usize = 64;

/// What a client asks for.
pub enum Request {
    Authenticate { token: Token, wants: Wants },
    Ping,
    Test,
    Ack { conversations: Vec<(ConversationId, i64)>, events: Vec<Uuid> },
    Command(Command),
}

/// The token field: only a string can be a token.
pub enum Token {
    Given(String),
    Missing,
    NoString,
}

pub struct Decoded {
    pub request: Request,
    /// The finished immediate confirmation for the sender, which only some dialects have.
    pub confirmation: Option<Vec<u8>>,
    pub request_id: Option<RequestId>,
}

/// The answer to a message that is not a command, or not one that is allowed now.
pub struct Rejected {
    pub rejection: Rejection,
    pub request_id: Option<RequestId>,
    pub request_type: Option<String>,
    /// Ids that may be the original's: with ours in their place the message may be a command.
    pub held: Option<HeldIds>,
}

/// Reads one message of a dialect. `caller` is the authenticated user, if there is one.
pub fn decode(text: &str, dialect: Dialect, caller: Option<UserId>, limits: &Limits) -> Result<Decoded, Box<Rejected>> {
    decode_known(text, &[], dialect, caller, limits)
}

/// As [`decode`], with ids that were looked up.
pub fn decode_known(
    text: &str,
    known: &[KnownIds],
    dialect: Dialect,
    caller: Option<UserId>,
    limits: &Limits,
) -> Result<Decoded, Box<Rejected>> {
    let mut frame = Frame::parse(text).map_err(|malformed| {
        let Malformed { rejection, request_id, request_type } = *malformed;
        let request_type = request_type.map(|name| name.chars().take(MAX_TYPE_CHARACTERS).collect());
        Box::new(Rejected { rejection, request_id, request_type, held: None })
    })?;
    known.iter().for_each(|known| known.put(frame.fields_mut()));
    let request = match dialect.translator() {
        None => read(&frame, caller, limits),
        Some(translator) => {
            let limits = translator.limits(*limits);
            let translated = translator.command(frame.fields_mut(), &limits);
            translated.map_err(Rejection::from).and_then(|()| read(&frame, caller, &limits))
        }
    };
    match request {
        Ok(request) => {
            let confirmation = dialect.translator().and_then(|translator| translator.confirmation(frame.fields().0));
            let confirmation = confirmation.as_ref().map(dialects::written);
            Ok(Decoded { request, confirmation, request_id: frame.request_id })
        }
        Err(rejection) => {
            let request_type = Some(frame.kind().chars().take(MAX_TYPE_CHARACTERS).collect());
            let held = rejection.field.and_then(|field| HeldIds::find(frame.fields(), field));
            let held = held.filter(|held| known.iter().all(|known| known.field != held.field));
            Err(Box::new(Rejected { rejection, request_id: frame.request_id, request_type, held }))
        }
    }
}

fn read(frame: &Frame, caller: Option<UserId>, limits: &Limits) -> Result<Request, Rejection> {
    let fields = frame.fields();
    if let Some(caller) = caller
        && let Some(command) = Command::decode(frame.kind(), fields, &DecodeContext { caller, limits })
    {
        return Ok(Request::Command(command?));
    }
    let is = |spec: &Spec| spec.name == frame.kind() || spec.aliases.contains(&frame.kind());
    if is(&session::AUTHENTICATE) {
        return Ok(decode_authenticate(fields)?);
    } else if is(&session::PING) {
        return Ok(Request::Ping);
    } else if is(&session::TEST) {
        return Ok(Request::Test);
    }
    let is_ack = is(&session::ACK);
    if caller.is_none() && (is_ack || Command::exists(frame.kind())) {
        return Err(Rejection::new(ErrorCode::AuthRequired, "Send `authenticate` with a token first"));
    } else if is_ack {
        return Ok(ack(fields)?);
    }
    let details = format!("Supported types: {}", NAMES.join(", "));
    Err(Rejection::new(ErrorCode::UnknownType, details))
}

fn decode_authenticate(fields: Fields<'_>) -> Result<Request, Invalid> {
    let token = match fields.get("token") {
        None => Token::Missing,
        Some(serde_json::Value::String(token)) => Token::Given(token.clone()),
        Some(_) => Token::NoString,
    };
    let flag = |name| Ok::<_, Invalid>(fields.boolean(name)?.unwrap_or(false));
    let wants = Wants { acks: flag("acks")?, presence_batches: flag("presenceBatches")? };
    Ok(Request::Authenticate { token, wants })
}

fn ack(fields: Fields<'_>) -> Result<Request, Invalid> {
    let conversations = positions(fields, "conversations")?.unwrap_or_default();
    let events = fields.event_ids("eventIds", MAX_SYNC_ENTRIES)?;
    Ok(Request::Ack { conversations, events })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use shared::commands::SPECS;
    use shared::protocol::Kind;
    use shared::protocol::spec::Requirement;

    fn rejected(text: &str, caller: Option<UserId>) -> Rejection {
        match decode(text, Dialect::ChatV1, caller, &Limits::default()) {
            Err(refused) => refused.rejection,
            Ok(_) => panic!("accepted: {text}"),
        }
    }

    #[test]
    fn before_authentication_known_and_unknown_types_are_told_apart() {
        assert_eq!(rejected(r#"{"type":"send_message"}"#, None).code, ErrorCode::AuthRequired);
        assert_eq!(rejected(r#"{"type":"ack"}"#, None).code, ErrorCode::AuthRequired);
        let unknown = rejected(r#"{"type":"nonsense"}"#, None);
        assert_eq!(unknown.code, ErrorCode::UnknownType);
        assert!(NAMES.iter().all(|name| unknown.details.contains(name)));
    }

    #[test]
    fn aliases_of_authenticate() {
        for name in ["authenticate", "auth", "connect"] {
            let text = format!(r#"{{"type":"{name}","token":"t","requestId":1}}"#);
            let decoded = decode(&text, Dialect::ChatV1, None, &Limits::default()).ok().unwrap();
            assert!(
                matches!(decoded.request, Request::Authenticate { token: Token::Given(token), .. } if token == "t")
            );
            assert_eq!(decoded.request_id.unwrap().as_json(), "1");
        }
    }

    /// Commands take ids of conversations and messages in no other field.
    #[test]
    fn every_field_with_an_id_takes_those_of_the_original() {
        let examples: Value = serde_json::from_str(include_str!("../../../contract/src/examples.json")).unwrap();
        let (message, group) =
            ("msg_0195a4c3-0001-7a10-8c22-5b7d9e0f1a2b", "group_0195a4c2-7f6e-7c31-9d5b-3f2a8e61c0b4");
        let ours = |kind| match kind {
            Kind::MessageId => Some(message),
            Kind::GroupId => Some(group),
            Kind::ConversationId | Kind::DirectConversationId | Kind::Positions { .. } => Some("conv_17_42"),
            _ => None,
        };
        let is_id = |kind| ours(kind).is_some() || kind == Kind::UserId;
        let mut seen = 0;
        for spec in SPECS {
            for (field, ours) in spec.fields.iter().filter_map(|field| Some((field, ours(field.kind)?))) {
                let mut request = examples["requests"][spec.name].clone();
                let object = request.as_object_mut().unwrap();
                // Of several fields that may name the same only one is used.
                let others = spec.fields.iter().filter(|other| other.requirement != Requirement::Required);
                let others = others.filter(|other| is_id(other.kind));
                others.for_each(|other| drop(object.remove(other.name)));
                let is_list = matches!(field.kind, Kind::Positions { .. });
                let held = if is_list { json!({"draft 17": 1}) } else { json!("draft 17") };
                object.insert(field.name.to_owned(), held);
                let (text, limits) = (request.to_string(), Limits::default());
                let rejected = decode(&text, Dialect::ChatV1, Some(UserId(17)), &limits).err();
                let held = rejected.and_then(|rejected| rejected.held);
                let held = held.unwrap_or_else(|| panic!("{}: `{}` is not looked up", spec.name, field.name));
                assert_eq!((held.field, held.ids), (field.name, vec!["draft 17".to_owned()]), "{}", spec.name);
                let known = KnownIds { field: field.name, ids: vec![("draft 17".to_owned(), ours.to_owned())] };
                let decoded = decode_known(&text, &[known], Dialect::ChatV1, Some(UserId(17)), &limits);
                assert!(decoded.is_ok(), "{}: `{}` with {ours}", spec.name, field.name);
                seen += 1;
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn acks_are_read_and_bounded() {
        let caller = Some(UserId(1));
        let text =
            r#"{"type":"ack","conversations":{"conv_1_2":7},"eventIds":["00000000-0000-0000-0000-000000000001"]}"#;
        let decoded = decode(text, Dialect::ChatV1, caller, &Limits::default()).ok().unwrap();
        assert!(matches!(decoded.request, Request::Ack { conversations, events }
            if conversations == [(ConversationId::direct(UserId(1), UserId(2)), 7)] && events.len() == 1));
        assert_eq!(rejected(r#"{"type":"ack","eventIds":[1]}"#, caller).field, Some("eventIds"));
        // Also under ids that the original server assigned.
        let uuid = "1f799220-3207-47e8-b532-bce31d62573e";
        for kind in ["ack", "sync"] {
            let held = format!(r#"{{"type":"{kind}","conversations":{{"conv_10_9":1,"{uuid}":2}}}}"#);
            assert!(decode(&held, Dialect::ChatV1, caller, &Limits::default()).is_ok(), "{kind}");
        }
        assert_eq!(rejected(r#"{"type":"ack","conversations":[]}"#, caller).field, Some("conversations"));
    }
}
