//! Attacks within all limits, each by one account or by strangers, while others continue to talk: it must not become
//! slow for them, and none of their messages may be rejected. `HOSTILE_SECONDS=60` makes each attack last longer than
//! the test needs, and `HOSTILE_SETTINGS="GROUP_CREATE_LIMIT=1000000 MAX_GROUPS_PER_USER=1000000"` disables defences,
//! to see what they achieve.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, Connect, event_type};
use e2e::{Deployment, Options, User};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pairs of bystanders, each of which sends a message when the other's has arrived.
const BYSTANDERS: usize = 8;
/// `GROUP_MAX_MEMBERS`, without the founder.
const STRANGERS: usize = 49;
/// Messages of the conversation whose depths are asked for.
const DEEP: usize = 100_000;
/// The pause between two messages of a user: within `MESSAGE_RATE_LIMIT`.
const PACE: Duration = Duration::from_millis(300);
/// More than this times the quiet p95 counts as harm, unless it is still fast for two cores that attackers and servers
/// share.
const FACTOR: u32 = 3;
const FLOOR: Duration = Duration::from_millis(1_000);

fn lasting() -> Duration {
    let seconds = std::env::var("HOSTILE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

/// What bystanders saw.
struct Seen {
    latencies: Vec<Duration>,
    refused: Vec<Value>,
}

impl Seen {
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(Duration::MAX)
    }

    fn print(&self, when: &str) {
        println!(
            "{when}: {} messages, p50 {:?}, p95 {:?}, {} refused",
            self.latencies.len(),
            self.percentile(50),
            self.percentile(95),
            self.refused.len()
        );
    }
}

/// Sends messages between bystanders for this long.
async fn watch(bystanders: &mut Vec<(Client, User)>, lasting: Duration) -> Result<Seen> {
    let ends_at = Instant::now() + lasting;
    let mut talking = JoinSet::new();
    for (mut client, other) in bystanders.drain(..) {
        talking.spawn(async move {
            let (mut latencies, mut refused) = (Vec::new(), Vec::new());
            while Instant::now() < ends_at {
                let started = Instant::now();
                let message = json!({"type": "send_private_message", "recipientId": other.id, "content": "hello"});
                let answer = client.request_within(message, Duration::from_secs(30)).await?;
                match event_type(&answer) {
                    "message_sent" => latencies.push(started.elapsed()),
                    _ => refused.push(answer),
                }
                client.drain();
                tokio::time::sleep_until(started + PACE).await;
            }
            Ok::<_, anyhow::Error>((client, other, latencies, refused))
        });
    }
    let mut seen = Seen { latencies: Vec::new(), refused: Vec::new() };
    while let Some(talked) = talking.join_next().await {
        let (client, other, latencies, refused) = talked??;
        seen.latencies.extend(latencies);
        seen.refused.extend(refused);
        bystanders.push((client, other));
    }
    Ok(seen)
}

struct Stage {
    deployment: Deployment,
    attacker: User,
    /// The user with whom the attacker has a long conversation of long messages.
    partner: User,
    /// The user with whom the attacker has [`DEEP`] messages.
    confidant: User,
    /// As many as a group may have, so that each is large.
    strangers: Vec<User>,
}

impl Stage {
    async fn connections(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let connect = Connect::new(&self.deployment.gateway_url(0)).queue_events(100_000).unobserved();
            let mut client = connect.open().await?;
            client.authenticate(&self.attacker.token).await?;
            clients.push(client);
        }
        Ok(clients)
    }

    /// Sends the same command from many connections, again after each answer, whatever the answer.
    async fn repeat(&self, connections: usize, pipelined: usize, command: &Value, ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for mut client in self.connections(connections).await? {
            let command = command.clone();
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    for _ in 0..pipelined {
                        client.send(command.clone()).await?;
                    }
                    // As fast as answers arrive.
                    for _ in 0..pipelined {
                        if tokio::time::timeout_at(ends_at, client.recv()).await.is_err() {
                            return Ok(());
                        }
                    }
                }
                Ok::<_, client::Error>(())
            });
        }
        // An attacker whose connection is closed has done what it could.
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    async fn large_pages(&self, ends_at: Instant) -> Result<()> {
        let page = json!({"type": "get_private_messages", "recipientId": self.partner.id, "limit": 200});
        self.repeat(10, 25, &page, ends_at).await
    }

    async fn syncs(&self, ends_at: Instant) -> Result<()> {
        let conversation = client::conversation_id(self.attacker.id, self.partner.id);
        self.repeat(10, 4, &json!({"type": "sync", "conversations": {conversation: 0}}), ends_at).await
    }

    async fn deep_offsets(&self, ends_at: Instant) -> Result<()> {
        let page = json!({"type": "get_private_messages", "recipientId": self.confidant.id, "offset": DEEP - 1});
        self.repeat(10, 5, &page, ends_at).await
    }

    /// Creates groups of strangers, one after the other on many connections.
    async fn groups(&self, ends_at: Instant) -> Result<()> {
        let strangers: Vec<i64> = self.strangers.iter().map(|stranger| stranger.id).collect();
        let create = json!({"type": "create_group", "groupName": "g", "initialMembers": strangers});
        self.repeat(10, 5, &create, ends_at).await
    }

    /// Strangers send a mebibyte compressed to a kilobyte, as often as they can.
    async fn compressed_pings(&self, ends_at: Instant) -> Result<()> {
        let ping = format!(r#"{{"type":"ping","x":"{}"}}"#, " ".repeat(1_000_000));
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(ping.as_bytes())?;
        let payload = encoder.finish()?;
        let mut frame = vec![0xc1, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).context("a short payload")?.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&payload);
        let mut attacking = JoinSet::new();
        for _ in 0..10 {
            let (url, frame) = (self.deployment.gateway_url(0), frame.clone());
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    let offer = Connect::new(&url).header("Sec-WebSocket-Extensions", "permessage-deflate");
                    let Ok(socket) = offer.open_raw().await else { continue };
                    let (mut reading, mut writing) = socket.into_split();
                    let reader =
                        tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
                    while Instant::now() < ends_at && !reader.is_finished() {
                        let written = tokio::time::timeout_at(ends_at, writing.write_all(&frame)).await;
                        if !matches!(written, Ok(Ok(()))) {
                            break;
                        }
                    }
                    reader.abort();
                }
            });
        }
        while attacking.join_next().await.is_some() {}
        Ok(())
    }
}

async fn stage() -> Result<Stage> {
    let options = Options { gateways: 1, ..Options::default() };
    let mut options = options.with("MESSAGE_RATE_LIMIT", "240");
    for setting in std::env::var("HOSTILE_SETTINGS").unwrap_or_default().split_whitespace() {
        let (name, value) = setting.split_once('=').context("NAME=value in HOSTILE_SETTINGS")?;
        options = options.with(name, value);
    }
    let deployment = Deployment::start("hostile", options)?;
    let [attacker, partner, confidant] = deployment.users(["attacker", "partner", "confidant"])?;
    let mut writer = deployment.login(0, &partner).await?;
    let text = "\u{8a9e}".repeat(5_000);
    for _ in 0..200 {
        let message = json!({"type": "send_private_message", "recipientId": attacker.id, "content": text});
        writer.request_ok(message).await?;
        writer.drain();
    }
    let message = json!({"type": "send_private_message", "recipientId": confidant.id, "content": "the first"});
    deployment.login(0, &attacker).await?.request_ok(message).await?;
    deepen(&deployment, &client::conversation_id(attacker.id, confidant.id))?;
    let strangers = deployment.many_users("stranger", STRANGERS)?;
    Ok(Stage { deployment, attacker, partner, confidant, strangers })
}

/// Fills a conversation of one message up to [`DEEP`] messages, which nobody can read.
fn deepen(deployment: &Deployment, conversation: &str) -> Result<()> {
    deployment.sql(&format!(
        "INSERT INTO private_messages \
         (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version) \
         SELECT gen_random_uuid(), conversation_id, seq + n, sender_id, recipient_id, content, iv, mac, key_id, \
         created_at, version FROM private_messages, generate_series(1, {DEEP} - 1) AS n \
         WHERE conversation_id = '{conversation}'; \
         UPDATE conversations SET last_seq = {DEEP}, message_count = {DEEP} WHERE conversation_id = '{conversation}'; \
         ANALYZE private_messages"
    ))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_from_one_account_harms_nobody_else() -> Result<()> {
    let _machine = e2e::MACHINE.lock().await;
    let stage = stage().await?;
    let users = stage.deployment.many_users("bystander", 2 * BYSTANDERS)?;
    let mut bystanders = Vec::new();
    for pair in users.chunks(2) {
        let [one, other] = pair else { continue };
        bystanders.push((stage.deployment.login(0, one).await?, other.clone()));
        bystanders.push((stage.deployment.login(0, other).await?, one.clone()));
    }
    let quiet = watch(&mut bystanders, lasting()).await?;
    quiet.print("quiet");
    let bound = (quiet.percentile(95) * FACTOR).max(FLOOR);
    let mut harmed = Vec::new();
    for attack in ["large_pages", "syncs", "deep_offsets", "groups", "compressed_pings"] {
        let ends_at = Instant::now() + lasting();
        let attacking = async {
            match attack {
                "large_pages" => stage.large_pages(ends_at).await,
                "syncs" => stage.syncs(ends_at).await,
                "deep_offsets" => stage.deep_offsets(ends_at).await,
                "groups" => stage.groups(ends_at).await,
                _ => stage.compressed_pings(ends_at).await,
            }
        };
        let (attacked, during) = tokio::join!(attacking, watch(&mut bystanders, lasting()));
        attacked.with_context(|| attack.to_owned())?;
        let during = during.with_context(|| format!("bystanders during {attack}"))?;
        during.print(attack);
        if during.percentile(95) > bound || !during.refused.is_empty() {
            harmed.push(format!(
                "{attack}: p95 {:?} of at most {bound:?}, {:?}",
                during.percentile(95),
                during.refused
            ));
        }
    }
    let after = watch(&mut bystanders, lasting() / 2).await?;
    after.print("after");
    ensure!(harmed.is_empty(), "{}", harmed.join("\n"));
    ensure!(after.percentile(95) <= bound && after.refused.is_empty(), "they are not left in peace afterwards");
    Ok(())
}
