//! A separate deployment for each test: a fresh database, its own Redis prefix, and a stand-in for a gateway that
//! appends commands like a gateway and records everything that is published.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use parking_lot::Mutex;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::commands::{Command, DecodeContext, Route};
use shared::config::WorkerSettings;
use shared::crypto::Keyring;
use shared::ids::{ConnectionId, ConnectionRef, GatewayId, UserId, new_command_id};
use shared::lifecycle::Lifecycle;
use shared::limits::Limits;
use shared::protocol::Frame;
use shared::publication::{EventHeader, Header};
use shared::redis::client::RedisOptions;
use shared::redis::keys::{Channel, Keys};
use shared::stream::{self, Body, Envelope, Internal, InternalReply};
use shared::telemetry::Metrics;
use shared::wire::Wire;
use sqlx::PgPool;
use uuid::Uuid;

/// No wait in a test lasts longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// A publication as a gateway would get it.
#[derive(Clone, Debug)]
pub struct Published {
    pub channel: Channel,
    pub header: Header,
    pub payload: Bytes,
}

impl Published {
    /// Splits a publication into its parts: the answer and the event, or the two forms of an event.
    fn parts(channel: Channel, header: Header, payload: Bytes) -> Vec<Self> {
        if let Header::ReducedFor { users, bytes, event } = &header {
            let (reduced, whole) = (payload.slice(..*bytes as usize), payload.slice(*bytes as usize..));
            let others = Header::Event(EventHeader { exclude_users: users.clone(), ..event.clone() });
            return vec![
                Published { channel, header, payload: reduced },
                Published { channel, header: others, payload: whole },
            ];
        }
        let Header::AnswerAndEvent { to, command, bytes, event } = header else {
            return vec![Published { channel, header, payload }];
        };
        let (answer, rest) = (payload.slice(..bytes as usize), payload.slice(bytes as usize..));
        let header = Header::Answer { connection: to.connection, command };
        vec![
            Published { channel: Channel::Gateway, header, payload: answer },
            Published { channel, header: Header::Event(event), payload: rest },
        ]
    }

    /// The payload as JSON; `null` if there is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

/// One deployment: its stores, its workers and one stand-in gateway.
pub struct Harness {
    pub settings: WorkerSettings,
    pub db: PgPool,
    pub redis: Client,
    pub keys: Keys,
    pub keyring: Arc<Keyring>,
    pub wire: Wire,
    pub gateway: GatewayId,
    workers: Mutex<Vec<Lifecycle>>,
    published: Arc<Mutex<Vec<Published>>>,
    news: Arc<tokio::sync::Notify>,
    _subscriber: fred::clients::SubscriberClient,
    environment: HashMap<String, String>,
}

/// A subscriber that loses nothing, however fast a worker publishes, since a test has no replay.
fn patient_subscriber(url: &str) -> fred::clients::SubscriberClient {
    let mut builder = Builder::from_config(Config::from_url(url).unwrap());
    builder.with_performance_config(|performance| performance.broadcast_channel_capacity = 65_536);
    let subscriber = builder.build_subscriber_client().unwrap();
    subscriber.connect();
    subscriber
}

fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::install().unwrap()).clone()
}

impl Harness {
    /// Starts one worker with the default settings.
    pub async fn start(label: &str) -> Harness {
        Self::start_with(label, &[]).await
    }

    /// Starts one worker with these settings in addition to the tests' own.
    pub async fn start_with(label: &str, settings: &[(&str, &str)]) -> Harness {
        let harness = Self::without_worker(label, settings).await;
        harness.add_worker().await;
        harness
    }

    pub async fn without_worker(label: &str, settings: &[(&str, &str)]) -> Harness {
        Self::on_tables(label, settings, "").await
    }

    /// Starts in a database where these statements ran before our migrations.
    pub async fn on_tables(label: &str, settings: &[(&str, &str)], tables: &str) -> Harness {
        let label = label.to_owned();
        let fresh = tokio::task::spawn_blocking(move || devstack::testing::fresh_database(&label).unwrap());
        Self::in_database(&fresh.await.unwrap(), settings, tables).await
    }

    /// Starts in this database, which is empty.
    pub async fn in_database(database_url: &str, settings: &[(&str, &str)], tables: &str) -> Harness {
        let redis_url = tokio::task::spawn_blocking(|| devstack::testing::redis_url().unwrap()).await.unwrap();
        let own = [
            ("DATABASE_URL", database_url),
            ("REDIS_URL", &redis_url),
            ("REDIS_PREFIX", &format!("t{}:", Uuid::new_v4().simple().to_string().split_at(12).0)),
            ("BIND_ADDR", "127.0.0.1:0"),
            ("CHAT_ENCRYPTION_KEY", "a key for tests only, long enough"),
            ("PARTITIONS", "8"),
            ("LEASE_INTERVAL", "50ms"),
            ("LEASE_TTL", "1s"),
        ];
        let environment: HashMap<String, String> =
            own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = WorkerSettings::from_source(|name| environment.get(name).cloned()).unwrap();
        let db = PgPool::connect(database_url).await.unwrap();
        sqlx::raw_sql(tables).execute(&db).await.unwrap();
        MIGRATIONS.run(&db).await.unwrap();

        let options = RedisOptions { url: redis_url, tls_ca: None, command_timeout: Duration::from_secs(5) };
        let redis = options.client(&Lifecycle::new(Duration::ZERO)).unwrap();
        redis.wait_for_connect().await.unwrap();
        let keys = Keys::new(settings.common.redis_prefix.clone());
        let subscriber = patient_subscriber(&options.url);
        subscriber.wait_for_connect().await.unwrap();
        let encryption = settings.common.encryption().unwrap();
        let keyring = tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await.unwrap().unwrap();
        let wire = Wire::new(keyring.clone(), settings.common.wire_format);
        let published: Arc<Mutex<Vec<Published>>> = Arc::default();
        let news = Arc::new(tokio::sync::Notify::new());
        let mut messages = subscriber.message_rx();
        let (into, tell, names, reader) = (published.clone(), news.clone(), keys.clone(), wire.clone());
        tokio::spawn(async move {
            while let Ok(message) = messages.recv().await {
                let Some(channel) = names.parse_channel(&message.channel) else { continue };
                let Some(bytes) = message.value.as_bytes().map(Bytes::copy_from_slice) else { continue };
                let (header, offset) = reader.open_publication(&message.channel, &bytes).unwrap();
                into.lock().extend(Published::parts(channel, header, bytes.slice(offset..)));
                tell.notify_waiters();
            }
        });
        subscriber.psubscribe(format!("{}*", settings.common.redis_prefix)).await.unwrap();
        // It lives longer than any test.
        let gateway = GatewayId(Uuid::new_v4());
        let beat = (Timestamp::now().0 as f64 + 3_600_000.0, gateway.to_string());
        let _: i64 = redis.zadd(keys.heartbeats("gateway"), None, None, false, false, beat).await.unwrap();
        Harness {
            settings,
            db,
            redis,
            keys,
            keyring: Arc::new(keyring),
            wire,
            gateway,
            workers: Mutex::default(),
            published,
            news,
            _subscriber: subscriber,
            environment,
        }
    }

    /// Starts another worker; its lifecycle ends it.
    pub async fn add_worker(&self) -> Lifecycle {
        let settings = WorkerSettings::from_source(|name| self.environment.get(name).cloned()).unwrap();
        let lifecycle = Lifecycle::new(Duration::from_secs(10));
        worker::run(settings, metrics(), lifecycle.clone()).await.unwrap();
        self.workers.lock().push(lifecycle.clone());
        lifecycle
    }

    /// Changes a setting for workers started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The database's URL for its owner.
    pub fn database_url(&self) -> &str {
        &self.environment["DATABASE_URL"]
    }

    /// How often commands of this kind were tried again, by all workers of this process.
    pub fn retried(&self, command: &str) -> u64 {
        self.counted("chat_worker_commands_total", &[&format!("type=\"{command}\""), "outcome=\"retried\""])
    }

    /// Rows that could not be read, by all workers of this process.
    pub fn unreadable_rows(&self) -> u64 {
        self.counted("chat_worker_unreadable_rows_total", &[])
    }

    /// A counter with these labels, of all workers of this process.
    pub fn counted(&self, name: &str, labels: &[&str]) -> u64 {
        let rendered = metrics().render();
        let fits = |line: &&str| line.starts_with(name) && labels.iter().all(|label| line.contains(label));
        rendered.lines().find(fits).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    /// The number of dead letters.
    pub async fn dead_letters(&self) -> u64 {
        self.redis.xlen(self.keys.dead_letters()).await.unwrap()
    }

    /// Creates a user with this name; returns the id.
    pub async fn user(&self, name: &str) -> UserId {
        let id: i64 =
            sqlx::query_scalar("INSERT INTO users_auth (username, email) VALUES ($1, $2) RETURNING user_id::bigint")
                .bind(name)
                .bind(format!("{name}@example.org"))
                .fetch_one(&self.db)
                .await
                .unwrap();
        UserId(id)
    }

    pub async fn users<const N: usize>(&self, names: [&str; N]) -> [UserId; N] {
        let mut users = [UserId(0); N];
        for (user, name) in users.iter_mut().zip(names) {
            *user = self.user(name).await;
        }
        users
    }

    pub async fn follow(&self, follower: UserId, followee: UserId) {
        sqlx::query("INSERT INTO user_follows (follower_id, followee_id) VALUES ($1, $2)")
            .bind(follower.0)
            .bind(followee.0)
            .execute(&self.db)
            .await
            .unwrap();
    }

    pub async fn block(&self, blocker: UserId, blocked: UserId) {
        sqlx::query("INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ($1, $2)")
            .bind(blocker.0)
            .bind(blocked.0)
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// Prepares a command like a gateway; panics if the contract rejects it.
    pub fn prepare(&self, user: UserId, message: &Value) -> Prepared {
        let text = message.to_string();
        let frame = Frame::parse(&text).unwrap_or_else(|malformed| panic!("{text}: {malformed:?}"));
        let limits = Limits::default();
        let context = DecodeContext { caller: user, limits: &limits };
        let command = Command::decode(frame.kind(), frame.fields(), &context)
            .unwrap_or_else(|| panic!("{text}: no such command"))
            .unwrap_or_else(|invalid| panic!("{text}: {invalid:?}"));
        let route = command.route(user);
        let hint = match route {
            Route::Ordered(subject) => subject.route_hint(),
            Route::Query => 0,
        };
        let now = Timestamp::now();
        let reply_to = ConnectionRef { gateway: self.gateway, connection: ConnectionId(1) };
        let (id, deadline) = (new_command_id(now, hint), now.plus(Duration::from_secs(10)));
        let body = match command {
            Command::Sync(sync) => Body::Sync(sync.into_round()),
            command => Body::of_command(command, false),
        };
        let envelope = Envelope::new(id, &body, user, reply_to, now, deadline);
        let envelope = Envelope { request_id: frame.request_id.clone(), ..envelope };
        let stream = match route {
            Route::Ordered(_) => self.keys.partition(u32::from(hint) % u32::from(self.settings.common.partitions)),
            Route::Query => self.keys.queries(),
        };
        Prepared { envelope, body, stream }
    }

    /// Appends a prepared command to its stream; returns the id of its entry.
    pub async fn append(&self, prepared: &Prepared) -> String {
        let entry = self.wire.entry(&prepared.stream, &prepared.envelope, &prepared.body);
        let fields = vec![(stream::FIELD, Bytes::from(entry))];
        self.redis.xadd(&prepared.stream, false, None, "*", fields).await.unwrap()
    }

    /// Sends a command and waits for its direct answer (or error).
    pub async fn command(&self, user: UserId, message: Value) -> Value {
        let prepared = self.prepare(user, &message);
        self.append(&prepared).await;
        self.answer(prepared.envelope.id).await
    }

    /// Like [`Self::command`]; panics unless the answer has this type.
    pub async fn expect(&self, user: UserId, message: Value, kind: &str) -> Value {
        let answer = self.command(user, message.clone()).await;
        assert_eq!(answer["type"], kind, "{message} was answered {answer}");
        answer
    }

    /// Like [`Self::command`]; panics unless it is rejected with this code. Returns the error.
    pub async fn refused(&self, user: UserId, message: Value, code: &str) -> Value {
        let answer = self.expect(user, message.clone(), "error").await;
        assert_eq!(answer["code"], code, "{message} was answered {answer}");
        answer
    }

    /// Waits for the direct answer to a command.
    pub async fn answer(&self, command: Uuid) -> Value {
        let is_answer =
            |published: &Published| matches!(&published.header, Header::Answer { command: id, .. } if *id == command);
        self.wait_for(&format!("the answer to {command}"), is_answer).await.json()
    }

    /// True if a direct answer to this command has been published.
    pub fn was_answered(&self, command: Uuid) -> bool {
        let is_answer =
            |published: &Published| matches!(&published.header, Header::Answer { command: id, .. } if *id == command);
        self.published.lock().iter().any(is_answer)
    }

    /// Sends a direct message; returns `message_sent`.
    pub async fn send(&self, from: UserId, to: UserId, content: &str) -> Value {
        self.expect(
            from,
            json!({"type": "send_private_message", "recipientId": to, "content": content}),
            "message_sent",
        )
        .await
    }

    /// Syncs like a client; its gateway requests the rest as long as there is any. Returns the series, and the number
    /// of rounds.
    pub async fn sync(&self, user: UserId, positions: Value) -> (Vec<Value>, usize) {
        let message = json!({"type": "sync", "requestId": "s", "conversations": positions});
        let mut prepared = self.prepare(user, &message);
        let id = prepared.envelope.id;
        let mut seen = 0;
        let mut rounds = 0;
        let mut series = Vec::new();
        loop {
            rounds += 1;
            self.append(&prepared).await;
            let ends_round = |header: &Header| matches!(header, Header::Answer { command, .. } | Header::AnswerContinues { command, .. } if *command == id);
            let end = loop {
                let news = self.news.notified();
                let fresh: Vec<Published> = self.published.lock()[seen..].to_vec();
                seen += fresh.len();
                let of_sync = |header: &Header| {
                    ends_round(header) || matches!(header, Header::AnswerPart { command, .. } if *command == id)
                };
                let fresh: Vec<Published> = fresh.into_iter().filter(|event| of_sync(&event.header)).collect();
                let end = fresh.iter().find(|event| ends_round(&event.header)).cloned();
                let is_rest = |event: &Published| matches!(event.header, Header::AnswerContinues { .. });
                series.extend(fresh.iter().filter(|event| !is_rest(event)).map(Published::json));
                if let Some(end) = end {
                    break end;
                }
                tokio::time::timeout(DEADLINE, news).await.expect("the next part of a sync");
            };
            let Header::AnswerContinues { .. } = end.header else { return (series, rounds) };
            prepared.body = Body::Sync(postcard::from_bytes(&end.payload).unwrap());
        }
    }

    /// Prepares a gateway's own request.
    pub fn prepare_internal(&self, user: UserId, request: Internal) -> Prepared {
        let now = Timestamp::now();
        let (id, deadline) = (new_command_id(now, 0), now.plus(Duration::from_secs(30)));
        let reply_to = ConnectionRef { gateway: self.gateway, connection: ConnectionId(0) };
        let body = Body::Internal(request);
        Prepared {
            envelope: Envelope::new(id, &body, user, reply_to, now, deadline),
            body,
            stream: self.keys.queries(),
        }
    }

    /// Sends a gateway's own request and waits for the reply.
    pub async fn internal(&self, user: UserId, request: Internal) -> InternalReply {
        let prepared = self.prepare_internal(user, request);
        let id = prepared.envelope.id;
        self.append(&prepared).await;
        let is_reply = |published: &Published| published.header == Header::Internal { command: id };
        let published = self.wait_for("an internal reply", is_reply).await;
        let reply = postcard::from_bytes(&published.payload).unwrap();
        for json in events_within(&reply) {
            contract::check::event(&serde_json::from_slice(json).unwrap()).unwrap();
        }
        reply
    }

    /// Waits for the first matching publication since the start.
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Published) -> bool) -> Published {
        let mut looked_at = 0;
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let news = self.news.notified();
                // Only new ones: scanning thousands of publications each time would be slow.
                let fresh: Vec<Published> = self.published.lock()[looked_at..].to_vec();
                looked_at += fresh.len();
                if let Some(found) = fresh.into_iter().find(|published| fits(published)) {
                    return found;
                }
                news.await;
            }
        });
        waited.await.unwrap_or_else(|_| {
            let published = self.published();
            let last = &published[published.len().saturating_sub(20)..];
            panic!("waited in vain for {what}; the last of {} publications: {last:#?}", published.len())
        })
    }

    /// Waits for an event of this type on a channel.
    pub async fn event(&self, channel: Channel, kind: &str) -> Value {
        let fits = |published: &Published| published.channel == channel && published.json()["type"] == kind;
        self.wait_for(&format!("{kind} on {channel:?}"), fits).await.json()
    }

    /// Everything published so far.
    pub fn published(&self) -> Vec<Published> {
        self.published.lock().clone()
    }

    /// The events of a type published on a channel so far.
    pub fn events(&self, channel: Channel, kind: &str) -> Vec<Value> {
        let all = self.published();
        let on_channel = all.iter().filter(|published| published.channel == channel).map(Published::json);
        on_channel.filter(|event| event["type"] == kind).collect()
    }

    /// Waits until a condition on the database holds, given as a query that returns a boolean.
    pub async fn until(&self, query: &str) {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !sqlx::query_scalar::<_, bool>(query).fetch_one(&self.db).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("waited in vain for {query}"));
    }

    /// Waits until what is sent next is later than all messages, even if the clocks of the stores differ a little:
    /// lists are ordered by time, to the millisecond.
    pub async fn until_all_is_past(&self) {
        self.until("SELECT max(last_message_at) < clock_timestamp() - interval '20 ms' FROM conversations").await;
    }

    /// The users for whom this durable event waits, queued or due with a change, in order.
    pub async fn queued_for(&self, event_id: &str) -> Vec<i64> {
        let waiting = "SELECT user_id FROM event_queue WHERE event_id = $1::text::uuid
             UNION SELECT user_id FROM due_events WHERE event_id = $1::text::uuid ORDER BY user_id";
        sqlx::query_scalar(waiting).bind(event_id).fetch_all(&self.db).await.unwrap()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.published.lock().iter().for_each(check_contract);
        }
        for lifecycle in self.workers.lock().iter() {
            lifecycle.start_draining();
            lifecycle.stopped().cancel();
        }
    }
}

/// A command that can be appended, once or several times.
pub struct Prepared {
    pub envelope: Envelope,
    pub body: Body,
    pub stream: String,
}

/// Checks that what goes to clients matches the protocol.
fn check_contract(published: &Published) {
    if matches!(published.header, Header::Internal { .. } | Header::Report | Header::AnswerContinues { .. })
        || published.payload.is_empty()
    {
        return;
    }
    contract::check::event(&published.json()).unwrap();
}

/// The finished events inside a reply to a gateway.
fn events_within(reply: &InternalReply) -> Vec<&[u8]> {
    match reply {
        InternalReply::Refused { auth_error } => vec![auth_error],
        InternalReply::Resumed { auth_success, replay } => {
            let page = replay.events.iter().map(|event| event.json.as_slice());
            [auth_success.as_slice()].into_iter().chain(page).collect()
        }
        InternalReply::Replayed(page) => page.events.iter().map(|event| event.json.as_slice()).collect(),
        _ => Vec::new(),
    }
}

/// The event without its `timestamp`, which it must have, and its conversation's `version`.
pub fn without_timestamp(mut event: Value) -> Value {
    let timestamp = event.as_object_mut().and_then(|fields| fields.remove("timestamp"));
    let version = event.as_object_mut().and_then(|fields| fields.remove("version"));
    assert!(version.is_none_or(|version| version.as_i64() > Some(0)), "{event}");
    assert!(timestamp.is_some_and(|timestamp| timestamp.is_string()), "{event}");
    event
}
