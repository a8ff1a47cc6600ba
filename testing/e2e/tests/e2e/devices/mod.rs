//! Every device is right: a device that has only what it received (pages, events, `sync`) shows the same as a fresh one
//! that loads everything, while three users act on six devices that come and go at random.

mod device;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use client::Client;
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};

use device::{Device, View};

/// The number of sequences, unless `SYNC_SEQUENCES` sets another. `SYNC_SEED` is the seed of the first.
const SEQUENCES: u64 = 200;
/// Sequences at a time: they mostly wait.
const AT_ONCE: u64 = 40;
const STEPS: u64 = 25;
const SEQUENCE_WITHIN: Duration = Duration::from_secs(120);
/// The time until all devices show what a fresh one shows.
const CONVERGED_WITHIN: Duration = Duration::from_secs(15);
const SHOWN: Duration = Duration::from_millis(20);

/// Splitmix64.
pub struct Random(u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_shows_what_a_fresh_one_shows() -> Result<()> {
    let options = Options::default().with("NEW_CONVERSATION_LIMIT", "1000000").with("GROUP_CREATE_LIMIT", "1000000");
    let deployment = Deployment::start("devices", options)?;
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("SYNC_SEED").unwrap_or_else(|| u64::from(std::process::id()) * 100_000);
    let last = first + number("SYNC_SEQUENCES").unwrap_or(SEQUENCES);
    println!("the first with SYNC_SEED={first}");
    let mut seed = first;
    while seed < last {
        let until = last.min(seed + AT_ONCE);
        let users = deployment.many_users(&format!("user{seed}"), 3 * (until - seed) as usize)?;
        let sequences = (seed..until).zip(users.chunks(3)).map(|(seed, users)| {
            let ends = tokio::time::timeout(SEQUENCE_WITHIN, sequence(&deployment, seed, users));
            async { ends.await.context("the sequence does not end")? }
        });
        for (seed, result) in (seed..).zip(futures_util::future::join_all(sequences).await) {
            result.with_context(|| format!("SYNC_SEED={seed}"))?;
        }
        println!("{} sequences", until - first);
        seed = until;
    }
    Ok(())
}

struct Scene<'a> {
    deployment: &'a Deployment,
    random: Random,
    users: &'a [User],
    group: String,
    devices: Vec<Device>,
}

async fn sequence(deployment: &Deployment, seed: u64, users: &[User]) -> Result<()> {
    let mut owner = deployment.login(0, &users[0]).await?;
    let members: Vec<i64> = users[1..].iter().map(|user| user.id).collect();
    let create = json!({"type": "create_group", "groupName": "first", "initialMembers": members});
    let created = owner.request_ok(create).await?;
    owner.close().await;
    let group = created["groupId"].as_str().context("a group")?.to_owned();
    let mut scene = Scene { deployment, random: Random(seed), users, group, devices: Vec::new() };
    for place in 0..6 {
        let user = place / 2;
        let conversations = scene.conversations(user);
        let mut device = Device::new(user, conversations);
        device.connect(deployment.login(place % 2, &scene.users[user]).await?).await?;
        scene.devices.push(device);
    }
    for _ in 0..STEPS {
        scene.step().await?;
    }
    scene.converge().await
}

impl Scene<'_> {
    /// Returns the conversations of a user: with each of the others, and the group.
    fn conversations(&self, user: usize) -> Vec<String> {
        let own = self.users[user].id;
        let others = self.users.iter().map(|other| other.id).filter(|other| *other != own);
        let direct = others.map(|other| format!("conv_{}_{}", own.min(other), own.max(other)));
        direct.chain([self.group.clone()]).collect()
    }

    async fn step(&mut self) -> Result<()> {
        let place = self.random.below(self.devices.len());
        if self.random.below(6) == 0 {
            if self.devices[place].is_connected() {
                self.devices[place].disconnect().await;
            } else {
                let user = &self.users[self.devices[place].user];
                let client = self.deployment.login(self.random.below(2), user).await?;
                self.devices[place].connect(client).await?;
            }
            return Ok(());
        }
        if self.random.below(20) == 0 {
            return self.forget_changes();
        }
        // A few at once, each from a different device.
        let mut chosen: Vec<usize> = (0..1 + self.random.below(3)).map(|_| self.random.below(6)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        let mut commands: Vec<Option<Value>> = vec![None; 6];
        for place in chosen {
            commands[place] = Some(self.command(place));
        }
        let given = self.devices.iter_mut().zip(commands).filter(|(device, _)| device.is_connected());
        let running = given.filter_map(|(device, command)| command.map(|command| device.run(command)));
        for result in futures_util::future::join_all(running).await {
            result?;
        }
        for device in self.devices.iter_mut().filter(|device| device.is_connected()) {
            device.take_events().await?;
        }
        Ok(())
    }

    /// As when the changes of the group are older than they are kept: who missed them is told that its state is stale.
    fn forget_changes(&self) -> Result<()> {
        let group = &self.group;
        self.deployment.sql(&format!(
            "WITH gone AS (DELETE FROM conversation_changes WHERE conversation_id = '{group}' RETURNING version)
             UPDATE conversations SET changes_lost = greatest(changes_lost, (SELECT max(version) FROM gone))
             WHERE conversation_id = '{group}'"
        ))?;
        Ok(())
    }

    /// Returns a command that the user of this device may try; if it is not allowed, it is rejected.
    fn command(&mut self, place: usize) -> Value {
        let user = self.devices[place].user;
        let conversations = self.conversations(user);
        let conversation = self.random.one(&conversations).clone();
        let is_group = conversation.starts_with("group_");
        let other = self.users[(user + 1 + self.random.below(2)) % 3].id;
        let message = self.devices[place].pick(&conversation, &mut self.random);
        let word = format!("w{}", self.random.below(1_000_000));
        let emoji = *self.random.one(&["x", "y", "z"]);
        let everyone = self.random.below(2) == 0;
        let kind = |direct: &str, group: &str| if is_group { group.to_owned() } else { direct.to_owned() };
        let send = match is_group {
            true => json!({"type": "send_group_message", "groupId": conversation, "content": word}),
            false => json!({"type": "send_message", "recipientId": other, "content": word}),
        };
        let what = self.random.below(7);
        let about_message = |message: Value| match what {
            0 => json!({"type": kind("edit_message", "edit_group_message"), "messageId": message, "content": word}),
            1 => json!({
                "type": kind("delete_message", "delete_group_message"), "messageId": message, "deleteForEveryone": everyone
            }),
            2 | 3 => {
                json!({"type": kind("add_reaction", "add_group_reaction"), "messageId": message, "reaction": emoji})
            }
            4 => json!({"type": kind("remove_reaction", "remove_group_reaction"), "messageId": message}),
            5 => json!({"type": "pin_message", "messageId": message, "conversationId": conversation}),
            _ => json!({"type": "unpin_message", "messageId": message, "conversationId": conversation}),
        };
        match (message, self.random.below(20)) {
            (_, 0) if !is_group => {
                json!({"type": "delete_conversation", "conversationId": conversation, "deleteForEveryone": everyone})
            }
            (_, 1) => json!({"type": "update_group_info", "groupId": self.group, "groupName": word}),
            (_, 2) => json!({"type": "remove_group_member", "groupId": self.group, "userId": other}),
            (_, 3 | 4) => json!({"type": "add_group_member", "groupId": self.group, "userId": other}),
            (_, 5) => json!({"type": "promote_member", "groupId": self.group, "userId": other}),
            (_, 6) => json!({"type": "demote_member", "groupId": self.group, "userId": other}),
            (Some(message), 7..=14) => about_message(message),
            _ => send,
        }
    }

    /// Reconnects all devices, and checks that they show what a fresh one of the same user shows.
    async fn converge(mut self) -> Result<()> {
        for place in 0..self.devices.len() {
            if !self.devices[place].is_connected() {
                let client = self.deployment.login(place % 2, &self.users[self.devices[place].user]).await?;
                self.devices[place].connect(client).await?;
            }
        }
        let mut shown = Vec::new();
        for user in 0..self.users.len() {
            let mut fresh = self.deployment.login(0, &self.users[user]).await?;
            shown.push(load(&mut fresh, &self.conversations(user)).await?);
            fresh.close().await;
        }
        for device in &mut self.devices {
            let began = Instant::now();
            loop {
                device.take_events().await?;
                let held = device.view();
                let fresh = &shown[device.user];
                if held == *fresh {
                    break;
                }
                if began.elapsed() > CONVERGED_WITHIN {
                    for ((conversation, held), (_, fresh)) in held.iter().zip(fresh) {
                        ensure!(
                            held == fresh,
                            "{conversation}:\n  {}\n  the device: {held:#?}\n  a fresh one: {fresh:#?}",
                            device.history(conversation)
                        );
                    }
                    bail!("the device has other conversations");
                }
                tokio::time::sleep(SHOWN).await;
            }
            device.disconnect().await;
        }
        Ok(())
    }
}

/// Loads everything as a fresh device sees it.
async fn load(client: &mut Client, conversations: &[String]) -> Result<Vec<(String, Option<View>)>> {
    let mut shown = Vec::new();
    for conversation in conversations {
        let loaded = device::load(client, conversation).await?;
        shown.push((conversation.clone(), loaded.map(|held| held.view())));
    }
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_larger_than_an_outbox_closes_nobody() -> Result<()> {
    let deployment = Deployment::start("largesync", Options::default().with("OUTBOX_LIMIT", "1MiB"))?;
    let [alice] = deployment.users(["alice"])?;
    let mut positions = serde_json::Map::new();
    for name in ["bob", "carol", "dave", "erin", "frank"] {
        let other = deployment.user(name)?;
        let mut sender = deployment.login(0, &other).await?;
        for n in 0..80 {
            let content = "x".repeat(5_000);
            let id = format!("{name}{n}");
            sender
                .request_ok(json!({
                    "type": "send_message", "recipientId": alice.id, "content": content, "clientMessageId": id
                }))
                .await?;
        }
        sender.close().await;
        let conversation = format!("conv_{}_{}", alice.id.min(other.id), alice.id.max(other.id));
        positions.insert(conversation, json!({"seq": 0, "version": 1}));
    }
    let mut reader = deployment.login(1, &alice).await?;
    reader.drain();
    let command = json!({"type": "sync", "conversations": positions});
    let complete = reader.request_within(command, Duration::from_secs(30)).await?;
    ensure!(complete["type"] == "sync_complete", "{complete}");
    let parts: Vec<Value> = reader
        .drain()
        .into_iter()
        .filter(|event| event["type"] == "sync_messages" && event["version"].is_i64())
        .collect();
    ensure!(parts.iter().all(|part| part.to_string().len() <= 256 * 1024), "a part is larger than 256 KiB");
    let first: usize = parts.iter().filter_map(|part| part["messages"].as_array()).map(Vec::len).sum();
    ensure!(parts.len() == 5 && first > 5 * 40, "{} parts with {first} messages", parts.len());
    Ok(())
}
