//! What one account can do within its limits, and what strangers can.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, Connect};
use e2e::Request;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stage::{DEEP, Stage};

/// Connections of the attacker, unless said otherwise.
const CONNECTIONS: usize = 10;
/// More than `MAX_PENDING` and 512.
const IDLE: usize = 1_000;
const ADDRESSES: usize = 100;
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
    Groups,
    CompressedPings,
    IdleConnections,
    Logins,
    Typing,
    Flapping,
    OnlineUsers,
}

impl Attack {
    pub const ALL: [Attack; 13] = [
        Attack::LargePages,
        Attack::Syncs,
        Attack::DeepOffsets,
        Attack::Replays,
        Attack::Reactions,
        Attack::Everyone,
        Attack::Groups,
        Attack::CompressedPings,
        Attack::IdleConnections,
        Attack::Logins,
        Attack::Typing,
        Attack::Flapping,
        Attack::OnlineUsers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Attack::LargePages => "large_pages",
            Attack::Syncs => "syncs",
            Attack::DeepOffsets => "deep_offsets",
            Attack::Replays => "replays",
            Attack::Reactions => "reactions",
            Attack::Everyone => "everyone",
            Attack::Groups => "groups",
            Attack::CompressedPings => "compressed_pings",
            Attack::IdleConnections => "idle_connections",
            Attack::Logins => "logins",
            Attack::Typing => "typing",
            Attack::Flapping => "flapping",
            Attack::OnlineUsers => "online_users",
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
                let page =
                    json!({"type": "get_private_messages", "recipientId": self.confidant.id, "offset": DEEP - 1});
                self.repeat(5, &[page], ends_at).await
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
            Attack::Groups => {
                let strangers: Vec<i64> = self.strangers.iter().map(|stranger| stranger.id).collect();
                let create = json!({"type": "create_group", "groupName": "g", "initialMembers": strangers});
                self.repeat(5, &[create], ends_at).await
            }
            Attack::CompressedPings => self.compressed_pings(ends_at).await,
            Attack::IdleConnections => self.idle_connections(ends_at).await,
            Attack::Logins => self.logins(ends_at).await,
            Attack::Typing => {
                let direct = json!({"type": "typing", "recipientId": self.partner.id, "isTyping": true});
                let group = json!({"type": "typing", "groupId": community, "isTyping": true});
                self.repeat(100, &[direct, group, json!({"type": "ping"})], ends_at).await
            }
            Attack::Flapping => self.flapping(ends_at).await,
            Attack::OnlineUsers => self.repeat(25, &[json!({"type": "get_online_users"})], ends_at).await,
        }
    }

    async fn connection(&self) -> Result<Client> {
        let connect = Connect::new(&self.deployment.gateway_url(0)).queue_events(100_000).unobserved();
        let mut client = connect.open().await?;
        client.authenticate(&self.attacker.token).await?;
        Ok(client)
    }

    /// Sends the same commands from many connections, as often as they are answered, whatever the answers.
    async fn repeat(&self, pipelined: usize, commands: &[Value], ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut client, commands) = (self.connection().await?, commands.to_vec());
            attacking.spawn(async move {
                while Instant::now() < ends_at {
                    for command in commands.iter().cycle().take(pipelined) {
                        client.send(command.clone()).await?;
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

    /// Signs in over and over as one who missed very much, and confirms nothing.
    async fn replays(&self, ends_at: Instant) -> Result<()> {
        self.come_and_go(&self.returner.token, 200, ends_at).await
    }

    /// Comes and goes all the time.
    async fn flapping(&self, ends_at: Instant) -> Result<()> {
        self.come_and_go(&self.attacker.token, 0, ends_at).await
    }

    async fn come_and_go(&self, token: &str, events: usize, ends_at: Instant) -> Result<()> {
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let connect = Connect::new(&self.deployment.gateway_url(0)).queue_events(100_000).unobserved();
            let opening = json!({"token": token, "acks": true});
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
        let ping = format!(r#"{{"type":"ping","x":"{}"}}"#, " ".repeat(1_000_000));
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(ping.as_bytes())?;
        let payload = encoder.finish()?;
        let mut frame = vec![0xc1, 0x80 | 126];
        frame.extend_from_slice(&u16::try_from(payload.len()).context("a short payload")?.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&payload);
        let mut attacking = JoinSet::new();
        for _ in 0..CONNECTIONS {
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

    /// More connections than there are places for HTTP, which ask for nothing.
    async fn idle_connections(&self, ends_at: Instant) -> Result<()> {
        let url = self.deployment.fleet.gateways[0].url();
        let host = url.strip_prefix("http://").context("plain HTTP")?;
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(TcpStream::connect(host).await?);
        }
        tokio::time::sleep_until(ends_at).await;
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
}
