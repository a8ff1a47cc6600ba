//! The other side of Redis: reads the streams, answers the gateway's own requests automatically, and leaves clients'
//! commands to the test.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use shared::clock::Timestamp;
use shared::commands::{Command, Sync};
use shared::crypto::{EncryptionSettings, Keyring};
use shared::ids::{ConnectionId, ConversationId, GroupId, MessageId, UserId};
use shared::lifecycle::Lifecycle;
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::client::RedisOptions;
use shared::redis::keys::Keys;
use shared::redis::publisher::{ChannelMessage, Publisher};
use shared::redis::topology::Topology;
use shared::stream::{
    Body, Envelope, FIELD, Internal, InternalReply, MissingMessages, Receipts, ReplayCursor, ReplayPage, ReplayedEvent,
};
use shared::wire::{Wire, WireFormat};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::harness::{ENCRYPTION_KEY, SOON};

pub struct FakeWorker {
    pub keys: Keys,
    pub redis: Client,
    pub wire: Wire,
    pub publisher: Arc<Publisher>,
    pub rote: Arc<Mutex<Rote>>,
    commands: mpsc::UnboundedReceiver<(Envelope, Command)>,
    internals: mpsc::UnboundedReceiver<(Envelope, Internal)>,
    reader: tokio::task::JoinHandle<()>,
}

/// The automatic answers.
#[derive(Default)]
pub struct Rote {
    pub groups: Vec<GroupId>,
    /// The next replays, page by page.
    pub replay: VecDeque<Vec<ReplayedEvent>>,
    /// Answers `authenticate` with this error.
    pub refuse: Option<&'static str>,
    /// Answers nothing.
    pub silent: bool,
    /// Answers everything except this request, which the test answers itself.
    pub leave: Option<&'static str>,
    /// Leaves entries in their streams, like a worker that is not done with them.
    pub keep: bool,
    /// Does not send heartbeats.
    pub dead: bool,
}

type Read = Vec<(String, Vec<(String, Vec<(String, Bytes)>)>)>;

impl FakeWorker {
    pub async fn start(redis_url: &str, prefix: &str) -> Self {
        let options = RedisOptions { url: redis_url.to_owned(), tls_ca: None, command_timeout: Duration::from_secs(5) };
        let lifecycle = Lifecycle::new(Duration::ZERO);
        let redis = options.client(&lifecycle).unwrap();
        let blocking = options.blocking_client(Duration::from_secs(1), &lifecycle).unwrap();
        let keys = Keys::new(prefix);
        let keyring = Keyring::derive(&EncryptionSettings::single(ENCRYPTION_KEY, "elitescore-chat")).unwrap();
        let wire = Wire::new(keyring, WireFormat::Two);
        let publisher = Arc::new(Publisher::new(keys.clone()));
        let rote = Arc::new(Mutex::new(Rote::default()));
        let (command_sender, commands) = mpsc::unbounded_channel();
        let (internal_sender, internals) = mpsc::unbounded_channel();
        let reading = Reading {
            keys: keys.clone(),
            redis: redis.clone(),
            wire: wire.clone(),
            publisher: publisher.clone(),
            rote: rote.clone(),
            commands: command_sender,
            internals: internal_sender,
        };
        let reader = tokio::spawn(reading.run(blocking));
        FakeWorker { keys, redis, wire, publisher, rote, commands, internals, reader }
    }

    /// The next command from a client.
    pub async fn command(&mut self) -> (Envelope, Command) {
        tokio::time::timeout(SOON, self.commands.recv()).await.expect("a command").unwrap()
    }

    /// The gateway's next own request with this name.
    pub async fn internal(&mut self, name: &str) -> (Envelope, Internal) {
        let next = async {
            loop {
                let (envelope, internal) = self.internals.recv().await.unwrap();
                if internal.name() == name {
                    return (envelope, internal);
                }
            }
        };
        tokio::time::timeout(SOON, next).await.unwrap_or_else(|_| panic!("a request {name}"))
    }

    /// Returns the next receipts.
    pub async fn receipts(&mut self) -> Vec<Receipts> {
        match self.internal("settle").await.1 {
            Internal::RecordReceipts { receipts } | Internal::RecordReceiptsIn { receipts, .. } => receipts,
            _ => unreachable!(),
        }
    }

    /// Answers a command.
    pub async fn answer(&self, envelope: &Envelope, mut answer: Json) {
        if let Some(request_id) = &envelope.request_id {
            answer["requestId"] = serde_json::from_str(request_id.as_json()).unwrap();
        }
        let header = Header::Answer { connection: envelope.reply_to.connection, command: envelope.id };
        self.publish_to(self.keys.gateway_channel(envelope.reply_to.gateway), &header, &answer).await;
    }

    pub async fn publish_to(&self, channel: String, header: &Header, payload: &Json) {
        let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
        self.publish_bytes(channel, header, &payload).await;
    }

    pub async fn publish_bytes(&self, channel: String, header: &Header, payload: &[u8]) {
        let publication = self.wire.publication(&channel, header, payload);
        self.publisher.tell(&self.redis, ChannelMessage::new(channel, publication)).await.unwrap();
    }

    pub async fn event(&self, user: i64, receipt: Receipt, payload: Json) {
        let header = Header::Event(EventHeader::new(receipt));
        self.publish_to(self.keys.user_channel(UserId(user)), &header, &payload).await;
    }

    pub async fn reply(&self, envelope: &Envelope, reply: &InternalReply) {
        reply_to(&self.redis, &self.publisher, &self.keys, &self.wire, envelope, reply).await;
    }

    pub async fn subscribers(&self, channel: &str) -> i64 {
        let counts: HashMap<String, i64> = self.redis.pubsub_numsub(channel).await.unwrap();
        counts.get(channel).copied().unwrap_or(0)
    }
}

impl Drop for FakeWorker {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Reading {
    keys: Keys,
    redis: Client,
    wire: Wire,
    publisher: Arc<Publisher>,
    rote: Arc<Mutex<Rote>>,
    commands: mpsc::UnboundedSender<(Envelope, Command)>,
    internals: mpsc::UnboundedSender<(Envelope, Internal)>,
}

impl Reading {
    async fn run(self, blocking: Client) {
        let streams: Vec<String> = (0..4).map(|p| self.keys.partition(p)).chain([self.keys.queries()]).collect();
        let mut last: Vec<String> = vec!["0-0".to_owned(); streams.len()];
        loop {
            if !self.rote.lock().dead {
                let beat = (Timestamp::now().0 as f64, "fake");
                let _: Result<(), _> =
                    self.redis.zadd(self.keys.heartbeats("worker"), None, None, false, false, beat).await;
            }
            // As of the one gateway.
            let _ = self.publisher.follow(&self.redis, 0.0).await;
            // Redis may be away for a while.
            let Ok(read) = read(&blocking, &streams, &last).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            for (stream, entries) in read {
                let at = streams.iter().position(|name| *name == stream).unwrap();
                for (id, fields) in entries {
                    if !self.rote.lock().keep {
                        let _: Result<i64, _> = self.redis.xdel(stream.as_str(), id.as_str()).await;
                    }
                    last[at] = id;
                    if let Some((_, entry)) = fields.iter().find(|(name, _)| name == FIELD) {
                        self.entry(&stream, entry).await;
                    }
                }
            }
        }
    }

    async fn entry(&self, stream: &str, entry: &[u8]) {
        let (envelope, body) = self.wire.open_entry(stream, entry).unwrap();
        match body {
            Body::Client(_) | Body::System(_) | Body::WithMetadata(_) => {
                let (command, _) = body.into_command().unwrap();
                drop(self.commands.send((envelope, command)));
            }
            Body::Sync(round) => {
                let sync = Sync {
                    conversations: round.positions.iter().map(|known| (known.conversation, known.seq)).collect(),
                    versions: round.positions.iter().filter_map(|k| Some((k.conversation, k.version?))).collect(),
                };
                drop(self.commands.send((envelope, Command::Sync(sync))));
            }
            Body::Internal(internal) => {
                if let Some(reply) = self.reply(&envelope, &internal) {
                    reply_to(&self.redis, &self.publisher, &self.keys, &self.wire, &envelope, &reply).await;
                }
                drop(self.internals.send((envelope, internal)));
            }
        }
    }

    fn reply(&self, envelope: &Envelope, internal: &Internal) -> Option<InternalReply> {
        let internal = if let Internal::ResumeAfter { resume, .. } = internal { &**resume } else { internal };
        let mut rote = self.rote.lock();
        if rote.silent || rote.leave == Some(internal.name()) {
            return None;
        }
        let request_id: Json =
            envelope.request_id.as_ref().map_or(Json::Null, |id| serde_json::from_str(id.as_json()).unwrap());
        match internal {
            Internal::Authenticate { .. } => Some(match rote.refuse {
                Some(code) => {
                    let (message, now) = ("refused by rote", Timestamp::now());
                    let mut auth_error = json!({"type": "auth_error", "code": code, "message": message, "details": "", "timestamp": now});
                    if !request_id.is_null() {
                        auth_error["requestId"] = request_id;
                    }
                    InternalReply::Refused { auth_error: auth_error.to_string().into() }
                }
                None => InternalReply::Authenticated { groups: rote.groups.clone() },
            }),
            Internal::Resume { renewal, session, .. } => {
                let replay = if *renewal { ReplayPage::default() } else { next_page(&mut rote.replay) };
                let auth_success = json!({
                    "type": "auth_success", "requestId": request_id, "userId": envelope.user.to_string(),
                    "sessionId": session, "renewed": renewal, "queuedEvents": 0,
                });
                Some(InternalReply::Resumed { auth_success: auth_success.to_string().into(), replay })
            }
            Internal::Missing { .. } => Some(InternalReply::Missing(MissingMessages::default())),
            Internal::Replay { .. } => Some(InternalReply::Replayed(next_page(&mut rote.replay))),
            _ => None,
        }
    }
}

/// Waits for entries; on a cluster, where one command cannot read all streams, it looks at each of them.
async fn read(client: &Client, streams: &[String], last: &[String]) -> Result<Read, Error> {
    if Topology::of(client) == Topology::Single {
        let read: Option<Read> = client.xread(Some(100), Some(200), streams.to_vec(), last.to_vec()).await?;
        return Ok(read.unwrap_or_default());
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut all = Vec::new();
    for (stream, last) in streams.iter().zip(last) {
        let read: Option<Read> = client.xread(Some(100), None, stream.as_str(), last.as_str()).await?;
        all.extend(read.unwrap_or_default());
    }
    Ok(all)
}

fn next_page(pages: &mut VecDeque<Vec<ReplayedEvent>>) -> ReplayPage {
    let events = pages.pop_front().unwrap_or_default();
    ReplayPage { events, next: (!pages.is_empty()).then(|| ReplayCursor(vec![1])) }
}

async fn reply_to(
    redis: &Client,
    publisher: &Publisher,
    keys: &Keys,
    wire: &Wire,
    envelope: &Envelope,
    reply: &InternalReply,
) {
    assert_eq!(envelope.reply_to.connection, ConnectionId(0));
    let header = Header::Internal { command: envelope.id };
    let channel = keys.gateway_channel(envelope.reply_to.gateway);
    let publication = wire.publication(&channel, &header, &postcard::to_stdvec(reply).unwrap());
    publisher.tell(redis, ChannelMessage::new(channel, publication)).await.unwrap();
}

/// The receipt of a message from one user to another.
pub fn message(from: i64, to: i64, seq: i64) -> Receipt {
    Receipt::Message {
        conversation: ConversationId::direct(UserId(from), UserId(to)),
        seq,
        sender: UserId(from),
        message: MessageId(Uuid::from_u128(seq as u128)),
    }
}

/// The event of such a message.
pub fn message_event(seq: i64) -> Json {
    json!({"type": "new_message", "seq": seq})
}

pub fn replayed(receipt: Receipt, event: &Json) -> ReplayedEvent {
    ReplayedEvent { receipt, json: event.to_string().into_bytes() }
}
