//! The dialect of the original's clients, checked against a recording of the original server: 76 steps, and every frame
//! that each of three users received. Ids and texts differ; types, fields, their JSON types and what they mean do not.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use client::{Client, Connect, event_type};
use devstack::wait::SOON;
use e2e::{Deployment, Options, User};
use serde_json::{Map, Value, json};

const RECORDED: &str = include_str!("../fixtures/original_frames.json");
const QUIET: Duration = Duration::from_millis(300);

/// Steps at which the original rejected, or did only in part, what its own clients and documents ask for; and what the
/// sender gets instead.
const BETTER: &[(&str, &str)] = &[
    ("remove_reaction with reaction", "reaction_removed"),
    ("edit_private_message newContent (the frontend)", "message_edited"),
    ("edit_message content (the docs)", "message_edited"),
    ("delete_private_message (the frontend)", "message_deleted"),
    ("send_announcement", "announcement_sent"),
    ("mark_message_read in the group without groupId", "message_marked_read"),
    ("before auth: connect", "auth_success"),
    // The previous step, which failed on the original, deleted it.
    ("delete_message deleteForEveryone true", "error"),
];

/// Steps whose frames are as recorded except for values: `offset` counts from the newest message, and a deletion is for
/// everyone unless it says otherwise.
const OTHER_VALUES: &[&str] = &[
    "get_private_messages, page 2",
    "get_group_messages page 2",
    "delete_message without deleteForEveryone",
    "delete_group_message without deleteForEveryone (the frontend)",
];

fn options() -> Options {
    Options::default().with("DEFAULT_DIALECT", "original")
}

/// The names in the recording, and what they are here.
#[derive(Default)]
struct Names {
    ours: HashMap<String, String>,
}

impl Names {
    /// Translates a recorded value to what is sent here.
    fn translate(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let mut text = text.clone();
                for (recorded, ours) in &self.ours {
                    text = text.replace(recorded.as_str(), ours);
                }
                Value::String(text)
            }
            Value::Array(items) => items.iter().map(|item| self.translate(item)).collect(),
            Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), self.translate(value))).collect(),
            other => other.clone(),
        }
    }

    /// Checks that a frame has everything that the recorded one has. Unknown ids are remembered.
    fn fits(
        &self,
        recorded: &Value,
        ours: &Value,
        values: bool,
        found: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        match (recorded, ours) {
            (Value::Null, _) => Ok(()),
            // Another message, which has no such value.
            (_, Value::Null) if !values => Ok(()),
            (Value::Object(recorded), Value::Object(ours)) => {
                for (name, value) in recorded {
                    let Some(mine) = ours.get(name) else { return Err(format!("`{name}` is missing")) };
                    self.fits_field(name, value, mine, values, found).map_err(|why| format!("{name}: {why}"))?;
                }
                Ok(())
            }
            (Value::Array(recorded), Value::Array(ours)) if values && recorded.iter().any(Value::is_object) => {
                if ours.len() < recorded.len() {
                    return Err(format!("{} entries instead of {}", ours.len(), recorded.len()));
                }
                recorded.iter().zip(ours).try_for_each(|(recorded, ours)| self.fits(recorded, ours, values, found))
            }
            (Value::Array(recorded), Value::Array(ours)) => match (recorded.first(), ours.first()) {
                (Some(recorded), Some(ours)) => self.fits(recorded, ours, values, found),
                (Some(_), None) => Err("it is empty".to_owned()),
                _ => Ok(()),
            },
            (Value::Bool(recorded), Value::Bool(ours)) if values && recorded != ours => Err(format!("{ours}")),
            (Value::Bool(_), Value::Bool(_))
            | (Value::Number(_), Value::Number(_))
            | (Value::String(_), Value::String(_)) => Ok(()),
            _ => Err(format!("{ours} instead of {recorded}")),
        }
    }

    fn fits_field(
        &self,
        name: &str,
        recorded: &Value,
        ours: &Value,
        values: bool,
        found: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        self.fits(recorded, ours, values, found)?;
        let (Value::String(recorded), Value::String(ours)) = (recorded, ours) else { return Ok(()) };
        let must_be = match name {
            "type" => Some(recorded),
            "code" if recorded == "INSUFFICIENT_PERMISSIONS" || recorded == "USER_BLOCKED" => Some(recorded),
            "field" | "newRole" | "role" | "myRole" | "memberCount" => Some(recorded),
            _ => self.ours.get(recorded),
        };
        if let Some(must_be) = must_be {
            let fits = !values || must_be == ours;
            return if fits { Ok(()) } else { Err(format!("{ours} instead of {must_be}")) };
        }
        let is_id = matches!(name, "id" | "messageId" | "conversationId" | "groupId" | "replyTo");
        if is_id && values {
            found.push((recorded.clone(), ours.clone()));
        }
        Ok(())
    }

    fn learn(&mut self, found: Vec<(String, String)>) {
        self.ours.extend(found);
    }
}

/// The users of the recording, each with a connection.
struct Stage {
    fleet: Deployment,
    names: Names,
    clients: HashMap<String, Client>,
}

impl Stage {
    async fn open(&mut self, who: &str) -> Result<()> {
        let client = Connect::new(&self.fleet.gateway_url(self.clients.len() % 2)).unobserved().open().await?;
        self.clients.insert(who.to_owned(), client);
        Ok(())
    }

    fn client(&mut self, who: &str) -> Result<&mut Client> {
        self.clients.get_mut(who).with_context(|| format!("the connection of {who}"))
    }

    /// Waits until each recorded frame has reached this user, in any order.
    async fn sees(&mut self, who: &str, recorded: &[Value], values: bool) -> Result<()> {
        let Some(client) = self.clients.get_mut(who) else { bail!("{who} is not there") };
        let (mut came, mut missing): (Vec<Value>, Vec<&Value>) = (Vec::new(), recorded.iter().collect());
        let deadline = Instant::now() + SOON;
        while !missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = client.next_event(left).await else {
                let mut why = String::new();
                for recorded in &missing {
                    for event in came.iter().filter(|event| event["type"] == recorded["type"]) {
                        let result = self.names.fits(recorded, event, values, &mut Vec::new());
                        why.push_str(&format!("\n  {event}\n  is not {recorded}\n  {result:?}"));
                    }
                }
                let types: Vec<&str> = came.iter().map(event_type).collect();
                bail!("{who} misses {missing:?}; what came is {types:?}{why}");
            };
            let fitting = missing.iter().enumerate().find_map(|(place, recorded)| {
                let mut found = Vec::new();
                self.names.fits(recorded, &event, values, &mut found).is_ok().then_some((place, found))
            });
            match fitting {
                Some((place, found)) => {
                    missing.remove(place);
                    self.names.learn(found);
                }
                None => came.push(event),
            }
        }
        Ok(())
    }
}

/// Finds the sender of a step: the user who is answered, because the recording contains only what was received.
fn sender(step: &str, sent: &Value, received: &Map<String, Value>) -> String {
    const ANSWERS: [&str; 6] = [
        "error",
        "private_message_sent",
        "group_message_sent",
        "message_marked_read",
        "typing_indicator_sent",
        "left_group",
    ];
    let by_type = |kind: &str| {
        received.iter().find(|(_, frames)| frames.as_array().into_iter().flatten().any(|frame| frame["type"] == kind))
    };
    if let Some((who, _)) = ANSWERS.iter().find_map(|kind| by_type(kind)) {
        return who.clone();
    }
    let by_b = ["add_reaction", "add_group_reaction", "remove_group_reaction"];
    if by_b.contains(&step) && sent.is_object() {
        "b".to_owned()
    } else {
        received.keys().next().cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn the_recorded_steps_give_the_recorded_frames() -> Result<()> {
    let fleet = Deployment::start("original", options())?;
    let users: [User; 4] = fleet.users(["alice", "bob", "charlie", "dora"])?;
    let mut names = Names::default();
    for (letter, user) in ["a", "b", "c", "d"].iter().zip(&users) {
        names.ours.insert(format!("<{}>", letter.to_uppercase()), user.id.to_string());
        names.ours.insert(format!("<{letter}>"), user.name.clone());
    }
    names.ours.insert("<valid>".to_owned(), users[3].token.clone());
    let expired = client::token::TokenBuilder::new(users[3].id, Duration::from_secs(1)).expires_in_seconds(-3_600);
    names.ours.insert("<expired>".to_owned(), expired.sign(&fleet.fleet.secrets().jwt_secret)?);
    let mut stage = Stage { fleet, names, clients: HashMap::new() };
    let steps: Vec<Value> = serde_json::from_str(RECORDED)?;
    ensure!(steps.len() == 76, "the whole recording");
    for step in &steps {
        let name = step["step"].as_str().unwrap_or_default();
        perform(&mut stage, &users, name, step).await.with_context(|| format!("the step `{name}`"))?;
    }
    Ok(())
}

async fn perform(stage: &mut Stage, users: &[User; 4], name: &str, step: &Value) -> Result<()> {
    let received = step["received"].as_object().context("what was received")?;
    let frames = |who: &str| received.get(who).and_then(Value::as_array).cloned().unwrap_or_default();
    match name {
        "greeting" => {
            stage.open("a").await?;
            let greeting = stage.client("a")?.greeting().clone();
            return stage.names.fits(&frames("a")[0], &greeting, true, &mut Vec::new()).map_err(anyhow::Error::msg);
        }
        "authenticate" => {
            let token = users[0].token.clone();
            stage.client("a")?.send(json!({"type": "authenticate", "token": token})).await?;
            return stage.sees("a", &frames("a"), true).await;
        }
        "bob and charlie come online" => {
            for (who, user) in [("b", &users[1]), ("c", &users[2])] {
                stage.open(who).await?;
                stage.client(who)?.authenticate(&user.token).await?;
            }
            stage.sees("a", &frames("a"), true).await?;
            return stage.sees("b", &frames("b"), true).await;
        }
        "second connection of alice" => {
            let url = stage.fleet.gateway_url(1);
            let mut second = Connect::new(&url).unobserved().open().await?;
            second.authenticate(&users[0].token).await?;
            stage.sees("a", &frames("a"), true).await?;
            let close = stage.client("a")?.wait_closed(SOON).await?;
            ensure!(close.code == Some(1000) && close.reason == "Session conflict", "{close:?}");
            return Ok(());
        }
        "blocked send" => {
            let (a, b) = (users[0].id, users[1].id);
            stage
                .fleet
                .sql(&format!("INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({b}, {a})"))?;
        }
        _ if name.starts_with("before auth") && !stage.clients.contains_key("x") => stage.open("x").await?,
        _ => {}
    }
    for client in stage.clients.values_mut() {
        client.drain();
    }
    let who = sender(name, &step["sent"], received);
    let sent = match &step["sent"] {
        // The recording shortened or left the text as it was sent.
        Value::String(text) => return broken_json(stage, &who, text, &frames(&who)).await,
        sent => stage.names.translate(sent),
    };
    stage.client(&who)?.send(sent).await?;
    if let Some((_, instead)) = BETTER.iter().find(|(step, _)| *step == name) {
        stage.client(&who)?.expect(instead, |_| true, SOON).await?;
        return Ok(());
    }
    let values = !OTHER_VALUES.contains(&name);
    // The sender first, who gets the ids.
    let others = received.keys().filter(|other| **other != who);
    for user in [&who].into_iter().chain(others) {
        stage.sees(user, &frames(user), values).await.with_context(|| format!("for {user}"))?;
    }
    Ok(())
}

async fn broken_json(stage: &mut Stage, who: &str, text: &str, frames: &[Value]) -> Result<()> {
    stage.client(who)?.send_text(text.to_owned()).await?;
    stage.sees(who, frames, true).await
}

/// A group whose members speak both dialects: each reads its own, and in the older one a send is one event.
#[tokio::test]
async fn a_group_of_both_dialects_reads_the_same_conversation() -> Result<()> {
    let fleet = Deployment::start("mixed", options())?;
    let [old, new, watcher] = fleet.users(["old", "new", "watcher"])?;
    let mut theirs = Connect::new(&fleet.gateway_url(0)).unobserved().open().await?;
    theirs.authenticate(&old.token).await?;
    let mut ours = Connect::new(&fleet.gateway_url(0)).chat_v1().open().await?;
    ours.authenticate(&new.token).await?;
    let mut third = Connect::new(&fleet.gateway_url(1)).chat_v1().open().await?;
    third.authenticate(&watcher.token).await?;

    let members = json!([old.id, watcher.id]);
    let created =
        ours.request_ok(json!({"type": "create_group", "groupName": "Both", "initialMembers": members})).await?;
    let group = created["groupId"].clone();
    ensure!(created["members"][0].is_object(), "{created}");
    let joined = theirs.expect("group_created", |event| event["groupId"] == group, SOON).await?;
    ensure!(joined["members"][0].is_string(), "{joined}");

    ours.send(json!({"type": "send_group_message", "groupId": group, "content": "from chat.v1"})).await?;
    let read = theirs.expect("new_group_message", |event| event["groupId"] == group, SOON).await?;
    let id = read["message"]["id"].as_str().context("the id")?.to_owned();
    ensure!(read["message"]["content"] == "from chat.v1" && read.get("content").is_none(), "{read}");
    let echoed = ours.expect("new_group_message", |event| event["groupId"] == group, SOON).await?;
    ensure!(echoed["messageId"] == format!("msg_{id}") && echoed.get("message").is_none(), "{echoed}");

    theirs
        .send(json!({"type": "send_group_message", "groupId": group, "content": "from before", "replyTo": id}))
        .await?;
    let sent = theirs.expect("group_message_sent", |event| event["message"]["content"] == "from before", SOON).await?;
    ensure!(sent["message"]["replyTo"] == id, "{sent}");
    for client in [&mut ours, &mut third] {
        let read = client.expect("new_group_message", |event| event["content"] == "from before", SOON).await?;
        ensure!(read["replyTo"]["content"] == "from chat.v1", "{read}");
    }
    theirs.expect_none("an echo", |event| event_type(event) == "new_group_message", QUIET).await?;

    // Two devices of one user: only those of the older dialect exclude each other.
    let mut device = Connect::new(&fleet.gateway_url(1)).chat_v1().open().await?;
    device.authenticate(&old.token).await?;
    theirs.expect_none("a conflict", |event| event_type(event) == "session_conflict", QUIET).await?;
    Ok(())
}

/// The original server allowed twice as many long messages; `chat.v1` makes no difference.
#[tokio::test]
async fn the_original_dialect_allows_twice_as_many_long_messages() -> Result<()> {
    let fleet = Deployment::start("long", options().with("MESSAGE_RATE_LIMIT", "2"))?;
    let [alice, bob] = fleet.users(["alice", "bob"])?;
    let mut old = Connect::new(&fleet.gateway_url(0)).unobserved().open().await?;
    old.authenticate(&alice.token).await?;
    let mut new = Connect::new(&fleet.gateway_url(1)).chat_v1().open().await?;
    new.authenticate(&alice.token).await?;
    let send =
        |characters: usize| json!({"type": "send_message", "recipientId": bob.id, "content": "x".repeat(characters)});
    for characters in [500, 500, 501, 501] {
        old.request_ok(send(characters)).await?;
        if characters == 500 {
            continue;
        }
        for (client, characters) in [(&mut old, 500), (&mut new, 501)] {
            assert_eq!(client.request(send(characters)).await?["code"], "RATE_LIMIT_EXCEEDED");
        }
    }
    assert_eq!(old.request(send(501)).await?["code"], "RATE_LIMIT_EXCEEDED");
    Ok(())
}
