//! A device that keeps its position by versions, as the protocol page describes: an event counts when its version is
//! the next one; after a gap, and after each reconnect, it asks for the rest by `sync`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use client::{Client, event_type};
use serde_json::{Value, json};

use super::Random;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What a device shows of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    messages: BTreeMap<i64, Message>,
    /// The group's name, and the user's role in it.
    info: Option<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    id: String,
    content: String,
    is_edited: bool,
    is_pinned: bool,
    reactions: BTreeMap<String, String>,
}

/// What a device has of one conversation.
#[derive(Clone, Debug)]
pub struct Held {
    view: View,
    /// What the user hid: up to a number, and single messages. A part of `sync` in flight may still contain it.
    hidden_through: i64,
    hidden: BTreeSet<String>,
    /// All visible messages up to this number are here.
    seq: i64,
    /// All changes up to this version are applied.
    version: i64,
    /// The newest version that an event mentioned.
    heard: i64,
}

impl Held {
    pub fn view(self) -> View {
        self.view
    }
}

pub struct Device {
    pub user: usize,
    own_id: String,
    client: Option<Client>,
    conversations: Vec<String>,
    held: BTreeMap<String, Held>,
    /// What it did and received, to report a difference.
    history: Vec<String>,
    /// The number of commands so far.
    asked: u64,
}

impl Device {
    pub fn new(user: usize, conversations: Vec<String>) -> Self {
        Device {
            user,
            own_id: String::new(),
            client: None,
            conversations,
            held: BTreeMap::new(),
            history: Vec::new(),
            asked: 0,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// Loads what it does not know, and syncs the rest.
    pub async fn connect(&mut self, client: Client) -> Result<()> {
        self.own_id = client.user_id().to_owned();
        self.history.push(format!("# connected, {}", client.session()["queuedEvents"]));
        self.client = Some(client);
        self.sync(self.held.keys().cloned().collect()).await?;
        for conversation in self.conversations.clone() {
            self.load_missing(&conversation).await?;
        }
        self.take_events().await
    }

    pub async fn disconnect(&mut self) {
        if let Some(mut client) = self.client.take() {
            client.close().await;
            self.history.push("# disconnected".to_owned());
        }
    }

    /// Returns the parts of its history that mention this conversation.
    pub fn history(&self, conversation: &str) -> String {
        let lines = self.history.iter().filter(|line| line.contains(conversation) || line.starts_with('#'));
        lines.map(String::as_str).collect::<Vec<_>>().join("\n  ")
    }

    pub fn view(&self) -> Vec<(String, Option<View>)> {
        let view =
            |conversation: &String| (conversation.clone(), self.held.get(conversation).map(|held| held.view.clone()));
        self.conversations.iter().map(view).collect()
    }

    /// Returns the id of one of the messages that it shows.
    pub fn pick(&self, conversation: &str, random: &mut Random) -> Option<Value> {
        let messages: Vec<&Message> = self.held.get(conversation)?.view.messages.values().collect();
        (!messages.is_empty()).then(|| json!(messages[random.below(messages.len())].id))
    }

    /// Runs a command; its answer contains what others learn from an event.
    pub async fn run(&mut self, command: Value) -> Result<()> {
        self.ask(command).await?;
        self.take_events().await
    }

    /// Sends a command, and applies everything up to its answer in the order of arrival.
    async fn ask(&mut self, mut command: Value) -> Result<Value> {
        self.asked += 1;
        command["requestId"] = json!(format!("device{}", self.asked));
        self.history.push(format!("runs {command}"));
        let deadline = Instant::now() + ANSWER_WITHIN;
        self.client.as_ref().context("connected")?.send(command.clone()).await?;
        loop {
            let client = self.client.as_mut().context("connected")?;
            let left = deadline.saturating_duration_since(Instant::now());
            let event = client.next_event(left).await.with_context(|| format!("the answer to {command}"))?;
            self.apply(&event).await?;
            if event["requestId"] == command["requestId"] {
                let Some(pause) = pause_before_retry(&event) else { return Ok(event) };
                tokio::time::sleep(pause).await;
                self.client.as_ref().context("connected")?.send(command.clone()).await?;
            }
        }
    }

    /// Applies the events that have arrived, and syncs what they leave open.
    pub async fn take_events(&mut self) -> Result<()> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let events = self.client.as_mut().context("connected")?.drain();
            let behind: Vec<String> =
                self.held.iter().filter(|(_, held)| held.heard > held.version).map(|(id, _)| id.clone()).collect();
            if events.is_empty() && behind.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let first = behind.first().map_or("group_", String::as_str);
                bail!("the events do not end, or no sync brings {first} up to them:\n  {}", self.history(first));
            }
            if events.is_empty() {
                self.sync(behind).await?;
            }
            for event in events {
                self.apply(&event).await?;
            }
        }
    }

    async fn load_missing(&mut self, conversation: &str) -> Result<()> {
        if !self.held.contains_key(conversation)
            && let Some(held) = load(self.client.as_mut().context("connected")?, conversation).await?
        {
            self.history.push(format!("loads {conversation}: {} {}", held.seq, held.version));
            self.held.insert(conversation.to_owned(), held);
        }
        Ok(())
    }

    async fn apply(&mut self, event: &Value) -> Result<()> {
        self.history.push(format!("given {event}"));
        let id = event["conversationId"].as_str().or(event["groupId"].as_str());
        let (Some(conversation), kind) = (id.map(str::to_owned), event_type(event)) else { return Ok(()) };
        match kind {
            "sync_messages" | "sync_changes" | "sync_gone" => {
                self.apply_sync(&conversation, event);
                return Ok(());
            }
            "group_created" => return self.load_missing(&conversation).await,
            "member_removed" | "member_left" if event["userId"] == self.own_id.as_str() => {
                // Unless the user was added again, and the device knows it.
                self.held.retain(|id, held| *id != conversation || event["version"].as_i64() <= Some(held.version));
                return Ok(());
            }
            "group_deleted" => {
                self.held.remove(&conversation);
                return Ok(());
            }
            _ => {}
        }
        let own_id = self.own_id.clone();
        let Some(held) = self.held.get_mut(&conversation) else { return Ok(()) };
        // Hiding has no version.
        if event["deleteForEveryone"] == false {
            match kind {
                "conversation_deleted" => held.hide_through(event["throughSeq"].as_i64().context("a number")?),
                _ => held.hide(event),
            }
            return Ok(());
        }
        let Some(version) = event["version"].as_i64() else { return Ok(()) };
        held.heard = held.heard.max(version);
        if version == held.version + 1 {
            held.version = version;
            held.apply(kind, event, &own_id)?;
        }
        Ok(())
    }

    async fn sync(&mut self, conversations: Vec<String>) -> Result<()> {
        if conversations.is_empty() {
            return Ok(());
        }
        let mut positions = serde_json::Map::new();
        for id in conversations {
            let held = &self.held[&id];
            positions.insert(id, json!({"seq": held.seq, "version": held.version}));
        }
        let complete = self.ask(json!({"type": "sync", "conversations": positions})).await?;
        if event_type(&complete) != "sync_complete" {
            bail!("sync was answered {complete}");
        }
        for conversation in self.conversations.clone() {
            self.load_missing(&conversation).await?;
        }
        Ok(())
    }

    fn apply_sync(&mut self, conversation: &str, part: &Value) {
        let Some(held) = self.held.get_mut(conversation) else { return };
        let version = part["version"].as_i64().unwrap_or_default();
        if event_type(part) == "sync_gone" || part["stale"] == true {
            self.held.remove(conversation);
            return;
        }
        let list = |name: &str| part[name].as_array().cloned().unwrap_or_default();
        if let Some(through) = part["hiddenThroughSeq"].as_i64() {
            held.hide_through(through);
        }
        for place in list("hidden") {
            held.hide(&place);
        }
        // Events have already brought something newer.
        if version < held.version {
            return;
        }
        held.version = version;
        held.heard = held.heard.max(version);
        for message in list("changed") {
            let seq = message["seq"].as_i64().unwrap_or_default();
            if seq <= held.seq {
                held.show(seq, &message);
            }
        }
        for place in list("deleted") {
            held.view.messages.retain(|_, message| place["messageId"] != message.id.as_str());
        }
        for message in list("messages") {
            held.add(&message);
        }
        let info = &part["info"];
        if let (Some(name), Some(role)) = (info["groupName"].as_str(), info["myRole"].as_str()) {
            held.view.info = Some((name.to_owned(), role.to_owned()));
        }
    }
}

impl Held {
    fn add(&mut self, message: &Value) {
        let seq = message["seq"].as_i64().unwrap_or_default();
        if seq > self.seq {
            self.seq = seq;
            self.show(seq, message);
        }
    }

    fn show(&mut self, seq: i64, message: &Value) {
        let message = shown(message);
        if seq > self.hidden_through && !self.hidden.contains(&message.id) {
            self.view.messages.insert(seq, message);
        }
    }

    fn hide(&mut self, place: &Value) {
        self.view.messages.retain(|_, message| place["messageId"] != message.id.as_str());
        self.hidden.extend(place["messageId"].as_str().map(str::to_owned));
    }

    fn hide_through(&mut self, seq: i64) {
        self.view.messages.retain(|known, _| *known > seq);
        self.hidden_through = self.hidden_through.max(seq);
    }

    fn apply(&mut self, kind: &str, event: &Value, own_id: &str) -> Result<()> {
        if matches!(kind, "new_message" | "new_group_message" | "group_announcement") {
            self.add(event);
            return Ok(());
        }
        if kind == "conversation_deleted" {
            self.view.messages.retain(|seq, _| Some(*seq) > event["throughSeq"].as_i64());
            return Ok(());
        }
        if let (Some((name, role)), "member_promoted" | "member_demoted" | "group_info_updated") =
            (&mut self.view.info, kind)
        {
            if let Some(new) = event["groupName"].as_str() {
                new.clone_into(name);
            }
            if let (Some(new), true) = (event["newRole"].as_str(), event["userId"] == own_id) {
                new.clone_into(role);
            }
            return Ok(());
        }
        let Some(id) = event["messageId"].as_str() else { return Ok(()) };
        let Some(seq) = self.view.messages.iter().find(|(_, message)| message.id == id).map(|(seq, _)| *seq) else {
            return Ok(());
        };
        let message = self.view.messages.entry(seq).or_default();
        let user = event["userId"].as_str().unwrap_or_default().to_owned();
        match kind {
            "message_edited" | "group_message_edited" => {
                event["content"].as_str().context("content")?.clone_into(&mut message.content);
                message.is_edited = true;
            }
            "message_deleted" | "group_message_deleted" => {
                self.view.messages.remove(&seq);
            }
            "reaction_added" | "group_reaction_added" => {
                message.reactions.insert(user, event["reaction"].as_str().context("reaction")?.to_owned());
            }
            "reaction_removed" | "group_reaction_removed" => {
                message.reactions.remove(&user);
            }
            "message_pinned" => message.is_pinned = true,
            "message_unpinned" => message.is_pinned = false,
            _ => {}
        }
        Ok(())
    }
}

fn shown(message: &Value) -> Message {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reactions = message["reactions"].as_array().into_iter().flatten();
    Message {
        id: text(&message["messageId"]),
        content: text(&message["content"]),
        is_edited: message["isEdited"] == true,
        is_pinned: message["isPinned"] == true,
        reactions: reactions.map(|one| (text(&one["userId"]), text(&one["reaction"]))).collect(),
    }
}

/// How long the server asks clients to wait if it has too much to do, or has lost its stores for a moment.
fn pause_before_retry(answer: &Value) -> Option<Duration> {
    (answer["code"] == "SERVICE_UNAVAILABLE").then(|| Duration::from_secs(answer["retryAfter"].as_u64().unwrap_or(1)))
}

async fn request(client: &mut Client, command: Value) -> Result<Value> {
    loop {
        let answer = client.request_within(command.clone(), ANSWER_WITHIN).await?;
        let Some(pause) = pause_before_retry(&answer) else { return Ok(answer) };
        tokio::time::sleep(pause).await;
    }
}

/// Loads a conversation; `None` if the user does not belong to it.
pub async fn load(client: &mut Client, conversation: &str) -> Result<Option<Held>> {
    let is_group = conversation.starts_with("group_");
    let page = match is_group {
        true => json!({"type": "get_group_messages", "groupId": conversation, "limit": 200}),
        false => json!({"type": "get_private_messages", "conversationId": conversation, "limit": 200}),
    };
    let page = request(client, page).await?;
    if event_type(&page) == "error" {
        return if page["code"] == "RESOURCE_NOT_FOUND" { Ok(None) } else { bail!("a page was refused: {page}") };
    }
    let version = page["version"].as_i64().context("a page's version")?;
    let view = View { messages: BTreeMap::new(), info: None };
    let (hidden_through, hidden) = (0, BTreeSet::new());
    let mut held = Held { view, hidden_through, hidden, seq: 0, version, heard: version };
    for message in page["messages"].as_array().into_iter().flatten() {
        held.add(message);
    }
    if is_group {
        let groups = request(client, json!({"type": "get_user_groups"})).await?;
        let groups = groups["groups"].as_array().context("groups")?;
        let Some(group) = groups.iter().find(|group| group["groupId"] == conversation) else { return Ok(None) };
        let text = |name: &str| group[name].as_str().unwrap_or_default().to_owned();
        held.view.info = Some((text("groupName"), text("myRole")));
    }
    Ok(Some(held))
}
