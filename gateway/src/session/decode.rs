//! From a text message to a request: something that the gateway answers itself, or a command for a worker.

use shared::commands::prelude::positions;
use shared::commands::{Command, DecodeContext, NAMES, session};
use shared::dialects::{self, Dialect};
use shared::held_ids;
use shared::ids::{ConversationId, MessageId, UserId};
use shared::limits::{Limits, MAX_SYNC_ENTRIES};
use shared::protocol::frame::Malformed;
use shared::protocol::{ErrorCode, Fields, Frame, Invalid, Rejection, RequestId, Spec};
use uuid::Uuid;

/// A made-up type is echoed as far as this.
const MAX_TYPE_CHARACTERS: usize = 64;

/// What a client asks for.
pub enum Request {
    Authenticate { token: Token, wants_acks: bool },
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
    /// The conversation id that is not one of ours: it may be one that a client made up, or a group's id from the
    /// original.
    pub held: Option<HeldId>,
}

/// A conversation id that has to be looked up.
pub struct HeldId {
    pub field: &'static str,
    pub id: String,
    pub kind: HeldKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// Direct or a group's.
    Conversation,
    Message,
}

/// What fields were found to stand for: their names, and ids of ours.
pub type Known = Vec<(&'static str, String)>;

/// Reads one message of a dialect. `caller` is the authenticated user, if there is one.
pub fn decode(text: &str, dialect: Dialect, caller: Option<UserId>, limits: &Limits) -> Result<Decoded, Box<Rejected>> {
    decode_known(text, &Known::new(), dialect, caller, limits)
}

/// As [`decode`], with ids that were looked up.
pub fn decode_known(
    text: &str,
    known: &Known,
    dialect: Dialect,
    caller: Option<UserId>,
    limits: &Limits,
) -> Result<Decoded, Box<Rejected>> {
    let mut frame = Frame::parse(text).map_err(|malformed| {
        let Malformed { rejection, request_id, request_type } = *malformed;
        let request_type = request_type.map(|name| name.chars().take(MAX_TYPE_CHARACTERS).collect());
        Box::new(Rejected { rejection, request_id, request_type, held: None })
    })?;
    for (field, id) in known {
        frame.set(field, id.clone());
    }
    let request = match dialect.translator() {
        None => read(&frame, caller, limits),
        Some(translator) => {
            let limits = translator.limits(*limits);
            let translated = frame.rewrite(|command| translator.command(command, &limits));
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
            let held = rejection.field.and_then(|field| held_id(frame.fields(), field));
            let held = held.filter(|held| known.iter().all(|(field, _)| *field != held.field));
            Err(Box::new(Rejected { rejection, request_id: frame.request_id, request_type, held }))
        }
    }
}

/// The id in a field that was rejected, if it can be one of the original's.
fn held_id(fields: Fields<'_>, rejected: &'static str) -> Option<HeldId> {
    let (field, kind) = match rejected {
        "conversationId" | "groupId" => (rejected, HeldKind::Conversation),
        "messageId" | "aroundMessageId" => (rejected, HeldKind::Message),
        // Both names serve.
        "replyToMessageId" if fields.get(rejected).is_none() => ("replyTo", HeldKind::Message),
        "replyToMessageId" => (rejected, HeldKind::Message),
        _ => return None,
    };
    let id = fields.get(field)?.as_str()?;
    let is_ours = match kind {
        HeldKind::Conversation => id.parse::<ConversationId>().is_ok(),
        HeldKind::Message => id.parse::<MessageId>().is_ok(),
    };
    (!is_ours && held_ids::can_be_held(id)).then(|| HeldId { field, id: id.to_owned(), kind })
}

fn read(frame: &Frame, caller: Option<UserId>, limits: &Limits) -> Result<Request, Rejection> {
    let fields = frame.fields();
    let is = |spec: &Spec| spec.name == frame.kind() || spec.aliases.contains(&frame.kind());
    if is(&session::AUTHENTICATE) {
        return Ok(decode_authenticate(fields)?);
    } else if is(&session::PING) {
        return Ok(Request::Ping);
    } else if is(&session::TEST) {
        return Ok(Request::Test);
    }
    let is_ack = is(&session::ACK);
    if !is_ack && !Command::exists(frame.kind()) {
        let details = format!("Supported types: {}", NAMES.join(", "));
        return Err(Rejection::new(ErrorCode::UnknownType, details));
    }
    let Some(caller) = caller else {
        return Err(Rejection::new(ErrorCode::AuthRequired, "Send `authenticate` with a token first"));
    };
    if is_ack {
        return Ok(ack(fields)?);
    }
    match Command::decode(frame.kind(), fields, &DecodeContext { caller, limits }) {
        Some(command) => Ok(Request::Command(command?)),
        None => Err(Rejection::new(ErrorCode::UnknownType, "")),
    }
}

fn decode_authenticate(fields: Fields<'_>) -> Result<Request, Invalid> {
    let token = match fields.get("token") {
        None => Token::Missing,
        Some(serde_json::Value::String(token)) => Token::Given(token.clone()),
        Some(_) => Token::NoString,
    };
    Ok(Request::Authenticate { token, wants_acks: fields.boolean("acks")?.unwrap_or(false) })
}

fn ack(fields: Fields<'_>) -> Result<Request, Invalid> {
    let conversations = positions(fields, "conversations")?.unwrap_or_default();
    let events = fields.event_ids("eventIds", MAX_SYNC_ENTRIES)?;
    Ok(Request::Ack { conversations, events })
}

#[cfg(test)]
mod tests {
    use super::*;

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
