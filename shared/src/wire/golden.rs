//! Bytes of every variant, as recorded in `golden/*.txt`: one line each, with `name`, for commands the fields as a
//! client sends them, and the bytes. A line is never changed or moved. `GOLDEN=append cargo xtask test unit golden`
//! adds lines for new variants.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::auth::TokenHash;
use crate::commands::{
    BannedPosition, Command, DecodeContext, GroupPosition, InboxPosition, MemberPosition, OnlinePosition, Position,
};
use crate::cursor::Cursor;
use crate::dialects::Dialect;
use crate::http::ReportState;
use crate::ids::{ApiKeyId, ConnectionId, ConversationId, Epoch, GatewayId, GroupId, MessageId, ReportId, TokenId};
use crate::limits::Limits;
use crate::metadata::{Metadata, MetadataField};
use crate::protocol::{Fields, Frame};
use crate::publication::{EventHeader, Receipt, Report, ReportedMessages};
use crate::server_api::key::KeyHash;
use crate::stream::{
    CommandWithMetadata, ExportPosition, HttpRequest, Internal, InternalReply, MissingMessages, Receipts, Repetition,
    ReplayCursor, ReplayPage, ReplayedEvent, ReportPosition, ServerCall, SignIn, SyncPosition, SyncRound,
};
use crate::telemetry::traces::TraceContext;

const USER: UserId = UserId(17);
const ID: Uuid = Uuid::from_u128(0x0190_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
const GROUP: GroupId = GroupId(ID);
const CONVERSATION: ConversationId = ConversationId::Direct(UserId(17), UserId(42));
const AT: Timestamp = Timestamp(1_750_000_000_000);

/// The names of an enum's variants, in order. A missing variant does not compile.
macro_rules! variants {
    ($name:ident, $enum:ident: $($variant:ident),* $(,)?) => {
        fn $name(value: &$enum) -> &'static str {
            match value {
                $($enum::$variant { .. } => stringify!($variant),)*
            }
        }

        impl Listed for $enum {
            const VARIANTS: &'static [&'static str] = &[$(stringify!($variant)),*];

            fn variant(&self) -> &'static str {
                $name(self)
            }
        }
    };
}

trait Listed {
    const VARIANTS: &'static [&'static str];

    fn variant(&self) -> &'static str;
}

variants!(body, Body: Client, Internal, Sync, System, WithMetadata);
variants!(internal, Internal: Authenticate, Resume, Replay, RecordReceipts, Http, Missing, ResumeAfter, RecordReceiptsIn, HeldConversation, RecordSignIn, HeldMessage, HeldConversations);
variants!(http, HttpRequest: CommunitySync, Conversations, ProfilePictures, Register, Login, Logout, ServerCall, Presences, CreateUser, UpdateUser, Export, KnownLogin, Reports, CloseReport);
variants!(reply, InternalReply: Authenticated, Refused, Resumed, Replayed, Unavailable, Http, SignedIn, Missing, Allowed, HeldConversation, HeldMessage, HeldConversations);
variants!(
    header, Header: Answer, Internal, Event, Joined, Left, AnswerPart, Replaced, Revoked, Report, Probe, Kicked, Drain,
    AnswerAndEvent, ReplacedIn, Departed, AnswerContinues, ReceiptsWanted, ReceiptsGiven, ReducedFor, Traced, Gone,
);
variants!(receipt, Receipt: Message, Durable, None);
variants!(export_position, ExportPosition: Rows, Messages, Events);
variants!(position, Position: Offset, Seq, Around, AroundMessage);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn golden(file: &str) -> (PathBuf, Vec<Vec<String>>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/wire/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    (path, text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn append(path: &PathBuf, line: &str) {
    assert!(std::env::var("GOLDEN").is_ok_and(|value| value == "append"), "no golden bytes: {line}");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{text}{line}\n")).unwrap();
}

/// Asserts that each recorded line is unchanged.
fn pinned_lines(file: &str, lines: &[(&str, String)]) {
    let (path, kept) = golden(file);
    for (at, (name, value)) in lines.iter().enumerate() {
        let line = format!("{name}\t{value}");
        match kept.get(at) {
            Some(golden) => assert_eq!(golden.join("\t"), line, "{file}: append only"),
            None => append(&path, &line),
        }
    }
    assert!(kept.len() <= lines.len(), "{file}: a value was removed");
}

/// Asserts that every variant has a value, in the order of the enum, and that each value has its bytes.
fn pinned<T>(file: &str, values: &[T])
where
    T: Listed + Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut named: Vec<&str> = values.iter().map(Listed::variant).collect();
    named.dedup();
    assert_eq!(named, T::VARIANTS, "a value for each variant, in their order");
    let (path, lines) = golden(file);
    for (at, value) in values.iter().enumerate() {
        let bytes = postcard::to_stdvec(value).unwrap();
        let line = format!("{}\t{}", value.variant(), hex(&bytes));
        let Some(golden) = lines.get(at) else {
            append(&path, &line);
            continue;
        };
        assert_eq!(postcard::from_bytes::<T>(&unhex(&golden[1])).as_ref(), Ok(value), "{file}: {}", golden[0]);
        assert_eq!(golden.join("\t"), line, "{file}: append only");
        let place = T::VARIANTS.iter().position(|name| *name == value.variant()).unwrap();
        assert_eq!(usize::from(bytes[0]), place, "{file}: {} has another number", value.variant());
    }
    assert!(lines.len() <= values.len(), "{file}: a value was removed");
}

#[test]
fn commands_keep_their_place_and_their_bytes() {
    let examples: Value = serde_json::from_str(include_str!("../../../contract/src/examples.json")).unwrap();
    let limits = Limits::default();
    let context = DecodeContext { caller: USER, limits: &limits };
    let decode = |name: &str, fields: &Value| {
        let Value::Object(fields) = fields else { panic!("{name}: no example") };
        Command::decode(name, Fields(fields), &context)
            .expect("a command")
            .unwrap_or_else(|error| panic!("{name}: {error:?}"))
    };
    let session = ["authenticate", "ping", "test", "ack"];
    let names = crate::commands::NAMES.iter().filter(|name| !session.contains(name));
    let (path, lines) = golden("commands.txt");
    for (at, name) in names.enumerate() {
        let Some(line) = lines.get(at) else {
            let fields = &examples["requests"][name];
            let command = decode(name, fields);
            append(&path, &format!("{name}\t{fields}\t{}", hex(&postcard::to_stdvec(&command).unwrap())));
            continue;
        };
        assert_eq!(line[0], *name, "commands are appended at the end of the list");
        let command = decode(name, &serde_json::from_str(&line[1]).unwrap());
        assert_eq!(postcard::from_bytes::<Command>(&unhex(&line[2])).as_ref(), Ok(&command), "{name}");
        assert_eq!(hex(&postcard::to_stdvec(&command).unwrap()), line[2], "{name}");
        assert_eq!(usize::from(unhex(&line[2])[0]), at, "{name} has another number");
    }
    assert!(lines.len() < crate::commands::NAMES.len() - session.len() + 1, "a command was removed");
}

fn receipts() -> Vec<Receipt> {
    let message = |conversation| Receipt::Message { conversation, seq: 300, sender: USER, message: MessageId(ID) };
    let of_group = message(ConversationId::Group(GROUP));
    vec![message(CONVERSATION), of_group, Receipt::Durable { event: ID }, Receipt::None]
}

fn page() -> ReplayPage {
    let events = vec![ReplayedEvent { receipt: Receipt::Durable { event: ID }, json: b"{}".to_vec() }];
    ReplayPage { events, next: Some(ReplayCursor(vec![1, 2])) }
}

#[test]
fn requests_of_gateways_keep_their_bytes() {
    let token_id = TokenId("jti".to_owned());
    let https = [
        HttpRequest::CommunitySync { body: b"{}".to_vec() },
        HttpRequest::Conversations { token_id: token_id.clone(), query: "limit=1".to_owned() },
        HttpRequest::ProfilePictures { token_id: token_id.clone(), body: b"{}".to_vec() },
        HttpRequest::Register { body: b"{}".to_vec() },
        HttpRequest::Login { body: b"{}".to_vec() },
        HttpRequest::Logout { token_id: token_id.clone(), expires_at: AT },
        HttpRequest::ServerCall(ServerCall {
            key_id: ApiKeyId("0123456789abcdef".to_owned()),
            key_hash: KeyHash([7; 32]),
            scope: "groups".to_owned(),
            action: Some("create_group".to_owned()),
            user: Some(USER),
            repetition: Some(Repetition { key: "k".to_owned(), fingerprint: [9; 32], command: ID }),
        }),
        HttpRequest::Presences { body: b"{}".to_vec() },
        HttpRequest::CreateUser { body: b"{}".to_vec() },
        HttpRequest::UpdateUser { user: USER, body: b"{}".to_vec() },
        HttpRequest::Export { user: USER, after: Some(ExportPosition::Messages { after: ID }) },
        HttpRequest::KnownLogin { body: b"{}".to_vec() },
        HttpRequest::Reports { limit: 50, after: Some(ReportPosition { report: ReportId(ID) }) },
        HttpRequest::CloseReport {
            report: ReportId(ID),
            state: ReportState::Dismissed,
            key_id: ApiKeyId("key".to_owned()),
        },
    ];
    pinned("http_request.txt", &https);
    let receipts = Receipts { user: USER, conversations: vec![(CONVERSATION, 300)], events: vec![ID] };
    let resume = |renewal| Internal::Resume {
        token_id: token_id.clone(),
        session: ID,
        connection: ConnectionId(9),
        wants_acks: true,
        renewal,
    };
    let receipts_in = Internal::RecordReceiptsIn { epoch: Epoch(ID), receipts: vec![receipts.clone()] };
    let resume_after =
        Internal::ResumeAfter { resume: Box::new(resume(false)), receipts: Box::new(receipts_in.clone()) };
    let requests = [
        Internal::Authenticate { token_id: token_id.clone() },
        resume(false),
        resume(true),
        Internal::Replay { cursor: ReplayCursor(vec![1, 2]) },
        Internal::RecordReceipts { receipts: vec![receipts] },
        Internal::Http(HttpRequest::Login { body: b"{}".to_vec() }),
        Internal::Missing { conversation: CONVERSATION, from: 12 },
        resume_after,
        receipts_in,
        Internal::HeldConversation { held: "conv_user-1_user-2".to_owned() },
        Internal::RecordSignIn(SignIn {
            token_id: token_id.clone(),
            expires_at: AT,
            user_agent: Some("Mozilla/5.0".to_owned()),
            address: "203.0.113.7".to_owned(),
        }),
        Internal::HeldMessage { held: "temp-17".to_owned() },
        Internal::HeldConversations { held: vec!["conv_user-1_user-2".to_owned(), "general".to_owned()] },
    ];
    pinned("internal.txt", &requests);
    let position = |version| SyncPosition { conversation: CONVERSATION, seq: 300, version, hidden_after: 2 };
    let round = SyncRound { positions: vec![position(None), position(Some(400))], is_first: true };
    let no_fields = serde_json::Map::new();
    let context = DecodeContext { caller: USER, limits: &Limits::default() };
    let command = Command::decode("get_user_groups", Fields(&no_fields), &context).unwrap().unwrap();
    let system = Body::System(command.clone());
    let metadata = MetadataField::Given(Metadata::new(&serde_json::json!({"a": [1, "é"]})).unwrap());
    let send = serde_json::Map::from_iter([
        ("groupId".to_owned(), GROUP.to_string().into()),
        ("content".to_owned(), "hi".into()),
    ]);
    let send = Command::decode("send_group_message", Fields(&send), &context).unwrap().unwrap();
    let with_metadata = CommandWithMetadata { command: send, is_systems: true, metadata };
    let with_metadata = Body::WithMetadata(Box::new(with_metadata));
    let client = Body::Client(command);
    pinned("body.txt", &[client, Body::Internal(requests[0].clone()), Body::Sync(round), system, with_metadata]);
}

#[test]
fn replies_to_gateways_keep_their_bytes() {
    let event = ReplayedEvent { receipt: receipts()[0], json: b"{}".to_vec() };
    let missing = MissingMessages { events: vec![event], has_more: true, only_after: vec![(USER, 5)] };
    let replies = [
        InternalReply::Authenticated { groups: vec![GROUP] },
        InternalReply::Refused { auth_error: b"{}".to_vec() },
        InternalReply::Resumed { auth_success: b"{}".to_vec(), replay: page() },
        InternalReply::Replayed(ReplayPage::default()),
        InternalReply::Unavailable { retry_after: 2 },
        InternalReply::Http { status: 200, json: b"{}".to_vec() },
        InternalReply::SignedIn { user: USER, profile: b"{}".to_vec() },
        InternalReply::Missing(missing),
        InternalReply::Allowed { command: Some(ID) },
        InternalReply::HeldConversation(Some(CONVERSATION)),
        InternalReply::HeldMessage(Some(MessageId(ID))),
        InternalReply::HeldConversations(vec![Some(CONVERSATION), None]),
    ];
    pinned("internal_reply.txt", &replies);
}

#[test]
fn publications_keep_their_bytes() {
    pinned("receipt.txt", &receipts());
    let reference = ConnectionRef { gateway: GatewayId(ID), connection: ConnectionId(9) };
    let event = EventHeader { receipt: receipts()[0], exclude: Some(reference), exclude_users: vec![USER] };
    let trace = TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let headers = [
        Header::Answer { connection: ConnectionId(9), command: ID },
        Header::Internal { command: ID },
        Header::Event(event.clone()),
        Header::Joined { group: GROUP },
        Header::Left { group: GROUP },
        Header::AnswerPart { connection: ConnectionId(9), command: ID },
        Header::Replaced { by: reference, opened_at: AT },
        Header::Revoked { token: TokenHash::of(&TokenId("jti".to_owned())) },
        Header::Report,
        Header::Probe { sent_at: AT },
        Header::Kicked,
        Header::Drain,
        Header::AnswerAndEvent { to: reference, command: ID, bytes: 2, event: event.clone() },
        Header::ReplacedIn { by: reference, opened_at: AT, dialect: Dialect::ChatV1 },
        Header::Departed,
        Header::AnswerContinues { connection: ConnectionId(9), command: ID },
        Header::ReceiptsWanted { by: GatewayId(ID), request: ID },
        Header::ReceiptsGiven { request: ID },
        Header::ReducedFor { users: vec![USER], bytes: 2, event },
        Header::Traced { trace, header: Box::new(Header::Kicked) },
        Header::Gone { users: vec![USER] },
    ];
    pinned("header.txt", &headers);
    let messages = ReportedMessages { conversation: CONVERSATION, first: 1, last: 3, first_age_ms: 9, last_age_ms: 4 };
    let report = Report { messages: vec![messages], events: vec![(USER, ID)] };
    pinned_lines("report.txt", &[("Report", hex(&postcard::to_stdvec(&report).unwrap()))]);
}

#[test]
fn positions_in_lists_keep_their_bytes() {
    let positions = [
        ExportPosition::Rows { section: "devices".to_owned(), after: "0a".to_owned() },
        ExportPosition::Messages { after: ID },
        ExportPosition::Events { after: ID },
    ];
    pinned("export_position.txt", &positions);
    let pages = [
        Position::Offset(300),
        Position::Seq { before: Some(300), after: None },
        Position::Around(300),
        Position::AroundMessage(MessageId(ID)),
    ];
    pinned("position.txt", &pages);
}

#[test]
fn cursors_that_clients_carry_keep_their_text() {
    fn text<T: Cursor + PartialEq + std::fmt::Debug>(position: &T) -> String {
        let text = position.to_text();
        assert_eq!(T::parse(&text).as_ref(), Some(position));
        text
    }
    let inbox = |conversation| InboxPosition { active_at_us: 1_750_000_000_000_000, conversation };
    let cursors = [
        ("MemberPosition", text(&MemberPosition { rank: 2, joined_at_us: 1_750_000_000_000_000, user: USER })),
        ("InboxPosition", text(&inbox(CONVERSATION))),
        ("InboxPosition", text(&inbox(ConversationId::Group(GROUP)))),
        ("ExportPosition", text(&ExportPosition::Events { after: ID })),
        ("GroupPosition", text(&GroupPosition { active_at_us: 1_750_000_000_000_000, group: GROUP })),
        ("BannedPosition", text(&BannedPosition { user: USER })),
        ("ReportPosition", text(&ReportPosition { report: ReportId(ID) })),
        ("OnlinePosition", text(&OnlinePosition { user: USER })),
    ];
    pinned_lines("cursor.txt", &cursors);
}

#[test]
fn an_envelope_of_each_format_keeps_its_bytes() {
    let frame = Frame::parse(r#"{"type": "ping", "requestId": "r1"}"#).unwrap();
    let envelope = Envelope {
        id: ID,
        name: "authenticate".to_owned(),
        user: USER,
        reply_to: ConnectionRef { gateway: GatewayId(ID), connection: ConnectionId(9) },
        request_id: frame.request_id,
        ingested_at: AT,
        deadline: Timestamp(AT.0 + 10_000),
        hops: 1,
        trace: None,
    };
    let trace = TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let traced = Envelope { trace, ..envelope.clone() };
    assert!(traced.trace.is_some());
    let sealed = [1, 2, 3];
    let keyring = Keyring::derive(&crate::crypto::EncryptionSettings::single("golden", "golden")).unwrap();
    let wire = Wire::new(keyring, WireFormat::Two);
    let second = |envelope: &Envelope| {
        let entry = wire.entry_2("stream", envelope, b"");
        let body_bytes = 32;
        hex(&entry[PREAMBLE_BYTES..entry.len() - body_bytes])
    };
    let lines =
        [("1", hex(&entry_1(&envelope, &sealed))), ("2", second(&envelope)), ("2 with a trace", second(&traced))];
    pinned_lines("envelope.txt", &lines);
    assert_eq!(peek_envelope(&entry_1(&envelope, &sealed)), Ok(envelope.clone()));
}
