//! What one account can do within its limits, and what strangers can.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, Connect};
use e2e::{Request, User};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stage::{DEEP, Stage, connect};

/// Connections of the attacker, unless said otherwise.
const CONNECTIONS: usize = 10;
/// `MAX_OFFSET`.
const OFFSET: usize = 10_000;
/// More than `MAX_PENDING` and 512.
const IDLE: usize = 1_000;
const ADDRESSES: usize = 100;
/// The first byte of a frame.
const TEXT: u8 = 0x81;
const COMPRESSED_TEXT: u8 = 0xc1;
const PING: u8 = 0x89;
/// From where an account is used.
const HOME: &str = "192.0.2.1";

#[derive(Clone, Copy)]
pub enum Attack {
    LargePages,
    Syncs,
    DeepOffsets,
    Replays,
    Reactions,
    Everyone,
    Members,
    Removals,
    Groups,
    Strangers,
    CompressedPings,
    CompressedTexts,
    SmallFrames,
    IdleConnections,
    Logins,
    Registrations,
    Typing,
    Flapping,
    OnlineUsers,
    Edits,
    HiddenMessages,
    Receipts,
}

impl Attack {
    pub const ALL: [Attack; 22] = [
        Attack::LargePages,
        Attack::Syncs,
        Attack::DeepOffsets,
        Attack::Replays,
        Attack::Reactions,
        Attack::Everyone,
        Attack::Members,
        Attack::Removals,
        Attack::Groups,
        Attack::Strangers,
        Attack::CompressedPings,
        Attack::CompressedTexts,
        Attack::SmallFrames,
        Attack::IdleConnections,
        Attack::Logins,
        Attack::Registrations,
        Attack::Typing,
        Attack::Flapping,
        Attack::OnlineUsers,
        Attack::Edits,
        Attack::HiddenMessages,
        Attack::Receipts,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Attack::LargePages => "large_pages",
            Attack::Syncs => "syncs",
            Attack::DeepOffsets => "deep_offsets",
            Attack::Replays => "replays",
            Attack::Reactions => "reactions",
            Attack::Everyone => "everyone",
            Attack::Members => "members",
            Attack::Removals => "removals",
            Attack::Groups => "groups",
            Attack::Strangers => "strangers",
            Attack::CompressedPings => "compressed_pings",
            Attack::CompressedTexts => "compressed_texts",
            Attack::SmallFrames => "small_frames",
            Attack::IdleConnections => "idle_connections",
            Attack::Logins => "logins",
            Attack::Registrations => "registrations",
            Attack::Typing => "typing",
            Attack::Flapping => "flapping",
            Attack::OnlineUsers => "online_users",
            Attack::Edits => "edits",
            Attack::HiddenMessages => "hidden_messages",
            Attack::Receipts => "receipts",
        }
    }
}

impl Stage {
    pub async fn attack(&self, attack: Attack, ends_at: Instant) -> Result<()> {
        let (community, said) = (&self.community, &self.said);
        match attack {
            Attack::LargePages => {
                let page = json!({"type": "get_private_messages", "recipientId": self.partner.id, "limit": 200});
                self.repeat(25, &[page], ends_at).await
            }
            Attack::Syncs => {
                let conversation = client::conversation_id(self.attacker.id, self.partner.id);
                self.repeat(4, &[json!({"type": "sync", "conversations": {conversation: 0}})], ends_at).await
            }
            Attack::DeepOffsets => {
                let page = |offset: usize| json!({"type": "get_private_messages", "recipientId": self.confidant.id, "offset": offset});
                self.repeat(5, &[page(OFFSET), page(DEEP - 1)], ends_at).await
            }
            Attack::Replays => self.replays(ends_at).await,
            Attack::Reactions => {
                let [add, remove] = ["add_group_reaction", "remove_group_reaction"]
                    .map(|kind| json!({"type": kind, "messageId": said, "reaction": "+"}));
                self.repeat(5, &[add, remove], ends_at).await
            }
            Attack::Everyone => {
                let call = json!({"type": "send_group_message", "groupId": community, "content": "@everyone"});
                self.repeat(5, &[call], ends_at).await
            }
            Attack::Members => {
                let change = |kind: &str, user: &User| json!({"type": kind, "groupId": community, "userId": user.id});
                let changes = |user| ["add_group_member", "remove_group_member"].map(|kind| change(kind, user));
                self.repeat(5, &self.unknown.iter().flat_map(changes).collect::<Vec<_>>(), ends_at).await
            }
            Attack::Groups => {
                let strangers: Vec<i64> = self.strangers.iter().map(|stranger| stranger.id).collect();
                let create = json!({"type": "create_group", "groupName": "g", "initialMembers": strangers});
                self.repeat(5, &[create], ends_at).await
            }
            Attack::Removals => self.removals(ends_at).await,
            Attack::Strangers => {
                let hello =
                    |user: &User| json!({"type": "send_private_message", "recipientId": user.id, "content": "hello"});
                self.repeat(25, &self.unknown.iter().map(hello).collect::<Vec<_>>(), ends_at).await
            }
            Attack::CompressedPings => self.compressed_pings(ends_at).await,
            Attack::CompressedTexts => self.flood(&compressed_ping()?, ends_at).await,
            Attack::SmallFrames => {
                let frames = [frame(TEXT, br#"{"type":"ping"}"#), frame(PING, b"")].concat().repeat(100);
                self.flood(&frames, ends_at).await
            }
            Attack::IdleConnections => self.idle_connections(ends_at).await,
            Attack::Logins => self.logins(ends_at).await,
            Attack::Registrations => self.registrations(ends_at).await,
            Attack::Typing => {
                let direct = json!({"type": "typing", "recipientId": self.partner.id, "isTyping": true});
                let group = json!({"type": "typing", "groupId": community, "isTyping": true});
                self.repeat(100, &[direct, group, json!({"type": "ping"})], ends_at).await
            }
            Attack::Flapping => self.flapping(ends_at).await,
            Attack::OnlineUsers => self.repeat(25, &[json!({"type": "get_online_users"})], ends_at).await,
            Attack::Edits => {
                // What JSON writes in six characters each.
                let text = "\u{1}".repeat(5_000);
                let edit = json!({"type": "edit_message", "messageId": self.written, "content": text});
                self.repeat(25, &[edit], ends_at).await
            }
            Attack::HiddenMessages => {
                let lists = ["get_inbox", "get_conversations"].map(|kind| json!({"type": kind}));
                self.repeat_as(&self.hider, 5, &lists, ends_at).await
            }
            Attack::Receipts => self.receipts(ends_at).await,
        }
    }

    fn connect(&self, user: &User) -> Connect {
        connect(&self.deployment, user).queue_events(100_000).unobserved()
    }

    async fn connection(&self, user: &User) -> Result<Client> {
        let mut client = self.connect(user).open().await?;
        client.authenticate(&user.token).await?;
        Ok(client)
    }

    /// Sends the same commands from many connections, as often as they are answered, whatever the answers.
    async fn repeat(&self, pipelined: usize, commands: &[Value], ends_at: Instant) -> Result<()> {
        self.repeat_as(&self.attacker, pipelined, commands, ends_at).await
    }

    async fn repeat_as(&self, user: &User, pipelined: usize, commands: &[Value], ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut client, commands) = (self.connection(user).await?, commands.to_vec());
            attacking.spawn(async move {
                let mut next = 0;
                while Instant::now() < ends_at {
                    for _ in 0..pipelined {
                        client.send(commands[next % commands.len()].clone()).await?;
                        next += 1;
                    }
                    // As fast as the answers come.
                    for _ in 0..pipelined {
                        let answered = tokio::time::timeout(Duration::from_millis(500), client.recv());
                        if answered.await.is_err() || Instant::now() >= ends_at {
                            break;
                        }
                    }
                }
                Ok::<_, client::Error>(())
            });
        }
        // Who is sent away has done what it could.
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    /// Deletes groups whose members missed very much, each with its last ones removed before.
    async fn removals(&self, ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for group in self.crowded.clone() {
            let mut client = self.connection(&self.owner).await?;
            let removed: Vec<i64> = self.strangers.iter().rev().take(5).map(|stranger| stranger.id).collect();
            attacking.spawn(async move {
                let remove = |user| json!({"type": "remove_group_member", "groupId": group, "userId": user});
                let delete = json!({"type": "delete_group", "groupId": group, "permanent": true});
                for command in removed.into_iter().map(remove).chain([delete]) {
                    if tokio::time::timeout_at(ends_at, client.request(command)).await.is_err() {
                        break;
                    }
                }
            });
        }
        while attacking.join_next().await.is_some() {}
        // What is left to do goes on in the background.
        tokio::time::sleep_until(ends_at).await;
        Ok(())
    }

    /// Sends the same frames from many connections, as fast as they are taken, and reads the answers.
    async fn flood(&self, frames: &[u8], ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let offer = self.connect(&self.attacker).header("Sec-WebSocket-Extensions", "permessage-deflate");
            let mut socket = offer.open_raw().await?;
            let authenticate = json!({"type": "authenticate", "token": self.attacker.token}).to_string();
            socket.write_all(&frame(TEXT, authenticate.as_bytes())).await?;
            // The greeting, and that it is authenticated: from then on messages may be large.
            for _ in 0..2 {
                client::raw::read_frame(&mut socket).await?.context("an answer")?;
            }
            let (mut reading, mut writing) = socket.into_split();
            let frames = frames.to_vec();
            attacking.spawn(async move {
                let reader = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
                while Instant::now() < ends_at {
                    let written = tokio::time::timeout_at(ends_at, writing.write_all(&frames)).await;
                    if !matches!(written, Ok(Ok(()))) {
                        break;
                    }
                }
                reader.abort();
            });
        }
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    /// Signs in over and over as one who missed very much, and confirms nothing.
    async fn replays(&self, ends_at: Instant) -> Result<()> {
        self.come_and_go(&self.returner, 200, ends_at).await
    }

    /// Comes and goes all the time.
    async fn flapping(&self, ends_at: Instant) -> Result<()> {
        self.come_and_go(&self.attacker, 0, ends_at).await
    }

    async fn come_and_go(&self, user: &User, events: usize, ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let connect = self.connect(user);
            let opening = json!({"token": user.token, "acks": true});
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    let Ok(mut client) = connect.clone().open().await else { continue };
                    if client.authenticate_with(opening.clone()).await.is_ok() {
                        for _ in 0..events {
                            let _ = tokio::time::timeout_at(ends_at, client.recv()).await;
                        }
                    }
                    client.abort().await;
                }
            });
        }
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    /// Strangers who send a mebibyte in a kilobyte, as often as they can.
    async fn compressed_pings(&self, ends_at: Instant) -> Result<()> {
        let frame = compressed_ping()?;
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let offer = self.connect(&self.attacker).header("Sec-WebSocket-Extensions", "permessage-deflate");
            let frame = frame.clone();
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    let Ok(socket) = offer.clone().open_raw().await else { continue };
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

    /// More connections than there are places for HTTP, which ask for nothing, or nothing more.
    async fn idle_connections(&self, ends_at: Instant) -> Result<()> {
        let url = self.deployment.fleet.gateways[0].url();
        let host = url.strip_prefix("http://").context("plain HTTP")?;
        let mut idle = Vec::new();
        for number in 0..IDLE {
            let mut socket = TcpStream::connect(host).await?;
            if number % 2 == 0 {
                // It may be closed by now.
                let _ = socket.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await;
            }
            idle.push(socket);
        }
        tokio::time::sleep_until(ends_at).await;
        Ok(())
    }

    /// Confirms every second one of many events, the newest first, on connections that come and go: what is confirmed is
    /// passed on when one ends.
    async fn receipts(&self, ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for place in 0..CONNECTIONS {
            let (connect, token, told) = (self.connect(&self.hider), self.hider.token.clone(), self.told.clone());
            attacking.spawn(async move {
                let gaps: Vec<Value> = told.iter().rev().skip(place + 1).step_by(2).cloned().collect();
                for events in gaps.chunks(100).cycle() {
                    if Instant::now() >= ends_at {
                        break;
                    }
                    let mut client = connect.clone().open().await?;
                    let session = json!({"token": token, "acks": true});
                    if let Ok(Ok(_)) = tokio::time::timeout_at(ends_at, client.authenticate_with(session)).await {
                        client.send(json!({"type": "ack", "eventIds": events})).await?;
                    }
                    client.close().await;
                }
                Ok::<_, client::Error>(())
            });
        }
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    /// A hundred addresses guess the password of somebody, who logs in at home meanwhile.
    async fn logins(&self, ends_at: Instant) -> Result<()> {
        let url = self.deployment.fleet.gateways[0].url();
        let account = json!({"username": "at_home", "password": "correct horse battery"});
        let from =
            |path: &str, body: &Value, address: &str| Request::post(path, body).header("X-Forwarded-For", address);
        let made = from("/api/auth/register", &account, HOME).send(&url).await?;
        ensure!(made.status == 200, "{made:?}");
        let logs_in = async || from("/api/auth/login", &account, HOME).send(&url).await;
        ensure!(logs_in().await?.status == 200, "the first login from there");
        let mut attacking = JoinSet::new();
        for place in 0..ADDRESSES {
            let guess = json!({"username": "at_home", "password": format!("guess {place}")});
            let (request, url) = (from("/api/auth/login", &guess, &format!("198.51.100.{place}")), url.clone());
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    let _ = request.clone().send(&url).await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
        tokio::time::sleep_until(ends_at - Duration::from_secs(1)).await;
        let answer = logs_in().await?;
        ensure!(answer.status == 200, "from home: {answer:?}");
        while attacking.join_next().await.is_some() {}
        Ok(())
    }

    /// A hundred addresses register one account after the other.
    async fn registrations(&self, ends_at: Instant) -> Result<()> {
        let url = self.deployment.fleet.gateways[0].url();
        let mut attacking = JoinSet::new();
        for place in 0..ADDRESSES {
            let url = url.clone();
            attacking.spawn(async move {
                let mut number = 0;
                while Instant::now() < ends_at {
                    let account =
                        json!({"username": format!("bot_{place}_{number}"), "password": "correct horse battery"});
                    let register = Request::post("/api/auth/register", &account);
                    let _ = register.header("X-Forwarded-For", &format!("203.0.113.{place}")).send(&url).await;
                    number += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
        while attacking.join_next().await.is_some() {}
        Ok(())
    }
}

/// A client's frame, with a mask that changes nothing.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A mebibyte in a kilobyte.
fn compressed_ping() -> Result<Vec<u8>> {
    let ping = format!(r#"{{"type":"ping","x":"{}"}}"#, " ".repeat(1_000_000));
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(ping.as_bytes())?;
    Ok(frame(COMPRESSED_TEXT, &encoder.finish()?))
}
