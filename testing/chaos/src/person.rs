//! One person under load: writes to others and to groups, edits, reacts, goes away and comes back, and repeats every message
//! under its `clientMessageId` until it is acknowledged. Everything seen is recorded for the history checker.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Client, Connect, event_type};
use e2e::User;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::shared::{Phase, Shared};

const TICK: Duration = Duration::from_millis(100);
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// A server that sends nothing at all for this long has forgotten the command, which must not happen.
const NO_ANSWER: Duration = Duration::from_secs(20);
const MAX_UNANSWERED: usize = 24;
/// The number of recent messages that are still edited.
const RECENT: usize = 20;

pub struct Person {
    pub user: User,
    pub partners: Vec<User>,
    pub groups: Vec<String>,
    pub urls: Vec<String>,
    pub shared: Arc<Shared>,
    pub rng: StdRng,
    /// True if this person is online at the end.
    pub stays: bool,
    pub state: Arc<State>,
}

/// What the others need to know about a person.
#[derive(Default)]
pub struct State {
    /// Connected, and with nothing unacknowledged.
    is_idle: AtomicBool,
    is_online: AtomicBool,
}

impl State {
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Acquire)
    }

    pub fn is_online(&self) -> bool {
        self.is_online.load(Ordering::Acquire)
    }
}

#[derive(Clone, Debug)]
struct Message {
    /// In the order of writing.
    number: u64,
    to: To,
}

#[derive(Clone, Debug)]
enum To {
    User(i64),
    Group(String),
}

/// What a request is about, until it is answered.
enum Request {
    Message { message: Message, is_first_try: bool },
    Edit(Own),
    Reaction,
}

/// A message of this person that may be edited: no edit of it has an unknown outcome.
#[derive(Clone)]
struct Own {
    id: String,
    conversation: String,
    is_group: bool,
}

/// Why a connection was left.
enum Left {
    Lost,
    /// On purpose, for a while.
    Away(Duration),
    /// For good.
    Gone,
}

/// State that outlives a connection.
struct Mind {
    person: Person,
    numbers: u64,
    requests: u64,
    to_repeat: VecDeque<(Instant, Message)>,
    own: VecDeque<Own>,
    received: VecDeque<(String, bool)>,
}

/// One connection.
struct Connected {
    client: Client,
    pending: HashMap<String, (Instant, Request)>,
    /// By conversation: number and `seq` of the messages that were acknowledged at the first attempt on this
    /// connection.
    order: HashMap<String, BTreeMap<u64, i64>>,
    to_confirm: HashMap<String, i64>,
    events_to_confirm: Vec<String>,
}

impl Person {
    /// Lives until the end of the run.
    pub async fn run(self, mut phase: watch::Receiver<Phase>) {
        let mut mind = Mind {
            person: self,
            numbers: 0,
            requests: 0,
            to_repeat: VecDeque::new(),
            own: VecDeque::new(),
            received: VecDeque::new(),
        };
        while *phase.borrow() != Phase::End {
            match mind.login().await {
                Some(client) => match mind.connected(client, &mut phase).await {
                    Left::Lost => {}
                    Left::Away(pause) => sleep(pause).await,
                    Left::Gone => while *phase.borrow_and_update() != Phase::End && phase.changed().await.is_ok() {},
                },
                None => sleep(TICK).await,
            }
        }
    }
}

impl Mind {
    async fn login(&mut self) -> Option<Client> {
        let person = &mut self.person;
        let url = &person.urls[person.rng.random_range(0..person.urls.len())];
        let mut client = Connect::new(url).open_within(Duration::from_secs(3)).open().await.ok()?;
        // Only what is confirmed counts as delivered: a connection may break with events in flight.
        match client.authenticate_with(json!({"token": person.user.token, "acks": true})).await {
            Ok(success) => {
                if success["replayTruncated"] == true {
                    person.shared.violation(format!("{}'s replay was truncated", person.user.name));
                }
                Some(client)
            }
            Err(error) if error.is_transient() => None,
            Err(error) => {
                person.shared.violation(format!("{} could not log in: {error}", person.user.name));
                None
            }
        }
    }

    async fn connected(&mut self, client: Client, phase: &mut watch::Receiver<Phase>) -> Left {
        let mut connected = Connected {
            client,
            pending: HashMap::new(),
            order: HashMap::new(),
            to_confirm: HashMap::new(),
            events_to_confirm: Vec::new(),
        };
        self.person.state.is_online.store(true, Ordering::Release);
        let left = self.talk(&mut connected, phase).await;
        self.person.state.is_online.store(false, Ordering::Release);
        self.person.state.is_idle.store(false, Ordering::Release);
        // The last events may contain an answer.
        for event in connected.client.drain() {
            self.saw(&mut connected, &event);
        }
        match left {
            Left::Lost => connected.client.abort().await,
            Left::Away(_) | Left::Gone => {
                connected.client.close().await;
            }
        }
        // In the order of writing. The outcome of an edit stays unknown; it is not repeated, and the message not edited again.
        let mut unanswered: Vec<Message> = Vec::new();
        for (_, request) in connected.pending.into_values() {
            match request {
                Request::Message { message, .. } => unanswered.push(message),
                Request::Edit(own) => self.person.shared.witness.lock().edit_is_uncertain(&own.id),
                Request::Reaction => {}
            }
        }
        unanswered.extend(self.to_repeat.drain(..).map(|(_, message)| message));
        unanswered.sort_by_key(|message| message.number);
        self.to_repeat = unanswered.into_iter().map(|message| (Instant::now(), message)).collect();
        left
    }

    async fn talk(&mut self, connected: &mut Connected, phase: &mut watch::Receiver<Phase>) -> Left {
        let mut ticks = interval(TICK.mul_f64(self.person.rng.random_range(0.7..1.3)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = connected.client.recv() => match event {
                    Ok(event) => self.saw(connected, &event),
                    Err(_) => return Left::Lost,
                },
                changed = phase.changed() => {
                    let now = *phase.borrow_and_update();
                    match now {
                        Phase::Load | Phase::Finish => {}
                        Phase::Reconnect => return Left::Lost,
                        Phase::Calm if self.person.stays => {}
                        Phase::Calm | Phase::End => return Left::Gone,
                    }
                    if changed.is_err() {
                        return Left::Gone;
                    }
                }
                _ = ticks.tick() => {
                    let now = *phase.borrow();
                    if let Some(left) = self.act(connected, now).await {
                        return left;
                    }
                }
            }
        }
    }

    async fn act(&mut self, connected: &mut Connected, phase: Phase) -> Option<Left> {
        if connected.confirm().await.is_err() {
            return Some(Left::Lost);
        }
        if connected.pending.values().any(|(asked_at, _)| asked_at.elapsed() > NO_ANSWER) {
            self.person.shared.count_unanswered();
            return Some(Left::Lost);
        }
        while connected.pending.len() < MAX_UNANSWERED
            && self.to_repeat.front().is_some_and(|(due, _)| *due <= Instant::now())
            && let Some((_, message)) = self.to_repeat.pop_front()
        {
            self.send(connected, message, false).await.ok()?;
        }
        let is_idle = connected.pending.is_empty() && self.to_repeat.is_empty();
        self.person.state.is_idle.store(is_idle, Ordering::Release);
        if phase == Phase::Load && connected.pending.len() < MAX_UNANSWERED {
            return self.act_freely(connected).await;
        }
        None
    }

    async fn act_freely(&mut self, connected: &mut Connected) -> Option<Left> {
        match self.person.rng.random_range(0..100) {
            0..55 => {
                let partner = self.person.rng.random_range(0..self.person.partners.len());
                self.burst(connected, To::User(self.person.partners[partner].id)).await
            }
            55..75 if !self.person.groups.is_empty() => {
                let group = self.person.rng.random_range(0..self.person.groups.len());
                let group = self.person.groups[group].clone();
                self.burst(connected, To::Group(group)).await
            }
            75..87 => self.edit(connected).await,
            87..95 => self.react(connected).await,
            95 => Some(Left::Away(Duration::from_millis(self.person.rng.random_range(50..3_000)))),
            96 => Some(Left::Lost),
            _ => None,
        }
    }

    /// A few messages at once, so that their order shows.
    async fn burst(&mut self, connected: &mut Connected, to: To) -> Option<Left> {
        for _ in 0..self.person.rng.random_range(1..=4) {
            self.numbers += 1;
            let message = Message { number: self.numbers, to: to.clone() };
            if self.send(connected, message, true).await.is_err() {
                return Some(Left::Lost);
            }
        }
        None
    }

    async fn send(
        &mut self,
        connected: &mut Connected,
        message: Message,
        is_first_try: bool,
    ) -> Result<(), client::Error> {
        let name = &self.person.user.name;
        let mut command = json!({
            "content": format!("{name} says {}", message.number), "clientMessageId": format!("n-{}", message.number),
        });
        match &message.to {
            To::User(user) => {
                command["type"] = json!("send_private_message");
                command["recipientId"] = json!(user);
            }
            To::Group(group) => {
                command["type"] = json!("send_group_message");
                command["groupId"] = json!(group);
            }
        }
        self.request(connected, command, Request::Message { message, is_first_try }).await
    }

    async fn edit(&mut self, connected: &mut Connected) -> Option<Left> {
        if self.own.is_empty() {
            return None;
        }
        let place = self.person.rng.random_range(0..self.own.len());
        let own = self.own.remove(place)?;
        self.numbers += 1;
        let kind = if own.is_group { "edit_group_message" } else { "edit_message" };
        let content = format!("{} corrects {}", self.person.user.name, self.numbers);
        let command = json!({"type": kind, "messageId": own.id, "content": content});
        self.request(connected, command, Request::Edit(own)).await.err().map(|_| Left::Lost)
    }

    async fn react(&mut self, connected: &mut Connected) -> Option<Left> {
        if self.received.is_empty() {
            return None;
        }
        let (id, is_group) = &self.received[self.person.rng.random_range(0..self.received.len())];
        let kind = if *is_group { "add_group_reaction" } else { "add_reaction" };
        let reaction = ["👍", "🎉", "❤️"][self.person.rng.random_range(0..3)];
        let command = json!({"type": kind, "messageId": id, "reaction": reaction});
        self.request(connected, command, Request::Reaction).await.err().map(|_| Left::Lost)
    }

    async fn request(
        &mut self,
        connected: &mut Connected,
        mut command: Value,
        request: Request,
    ) -> Result<(), client::Error> {
        self.requests += 1;
        let id = format!("q-{}", self.requests);
        command["requestId"] = json!(id);
        connected.pending.insert(id, (Instant::now(), request));
        connected.client.send(command).await
    }

    fn saw(&mut self, connected: &mut Connected, event: &Value) {
        let name = &self.person.user.name;
        self.person.shared.witness.lock().saw(name, event);
        if matches!(event_type(event), "new_message" | "new_group_message") && event["senderUsername"] != name.as_str()
        {
            let seq = event["seq"].as_i64().unwrap_or_default();
            let highest = connected.to_confirm.entry(text(event, "conversationId")).or_default();
            *highest = (*highest).max(seq);
            self.received.push_back((text(event, "messageId"), event["groupId"].is_string()));
            self.received.truncate(RECENT);
        }
        if let Some(event_id) = event["eventId"].as_str() {
            connected.events_to_confirm.push(event_id.to_owned());
        }
        let request = event["requestId"].as_str().and_then(|id| connected.pending.remove(id));
        if let Some((_, request)) = request {
            self.answered(connected, request, event);
        }
    }

    fn answered(&mut self, connected: &mut Connected, request: Request, answer: &Value) {
        let shared = &self.person.shared;
        let name = &self.person.user.name;
        let is_error = event_type(answer) == "error";
        if is_error {
            shared.count_refused();
            let transient = matches!(answer["code"].as_str(), Some("SERVICE_UNAVAILABLE" | "RATE_LIMIT_EXCEEDED"));
            if !transient {
                shared.violation(format!("{name}'s command was refused: {answer}"));
            } else if !answer["retryAfter"].is_u64() {
                shared.violation(format!("{name} was not told when to try again: {answer}"));
            }
        }
        match request {
            Request::Message { message, .. } if is_error => {
                self.to_repeat.push_back((Instant::now() + RETRY_PAUSE, message));
            }
            Request::Message { message, is_first_try } => {
                shared.witness.lock().acknowledged(answer);
                shared.count_acknowledged();
                let conversation = text(answer, "conversationId");
                if is_first_try {
                    let seq = answer["seq"].as_i64().unwrap_or_default();
                    let order = connected.order.entry(conversation.clone()).or_default();
                    order.insert(message.number, seq);
                    if !order.values().is_sorted() {
                        shared.violation(format!("{name} sent in one order, stored was another: {order:?}"));
                    }
                }
                let is_group = answer["groupId"].is_string();
                self.own.push_back(Own { id: text(answer, "messageId"), conversation, is_group });
                if self.own.len() > RECENT {
                    self.own.pop_front();
                }
            }
            Request::Edit(own) if is_error => shared.witness.lock().edit_is_uncertain(&own.id),
            Request::Edit(own) => {
                shared.witness.lock().edited(name, &own.conversation, answer);
                self.own.push_back(own);
            }
            Request::Reaction => {}
        }
    }
}

impl Connected {
    /// Confirms what was received.
    async fn confirm(&mut self) -> Result<(), client::Error> {
        if self.to_confirm.is_empty() && self.events_to_confirm.is_empty() {
            return Ok(());
        }
        let conversations = std::mem::take(&mut self.to_confirm);
        let events = std::mem::take(&mut self.events_to_confirm);
        for chunk in events.chunks(100) {
            self.client.send(json!({"type": "ack", "eventIds": chunk})).await?;
        }
        if conversations.is_empty() {
            return Ok(());
        }
        self.client.send(json!({"type": "ack", "conversations": conversations})).await
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
