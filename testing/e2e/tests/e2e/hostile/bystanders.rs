//! Those who have nothing to do with an attack: pairs that talk, and others who sign in one after the other. What they
//! see is measured.

use std::time::Duration;

use anyhow::Result;
use client::{Client, Connect, event_type};
use e2e::User;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::stage::{self, Stage};

/// Between two messages of one bystander, within `MESSAGE_RATE_LIMIT`, and between two sign-ins.
const PACE: Duration = Duration::from_millis(300);
/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What bystanders saw of one kind of thing.
#[derive(Default)]
pub struct Measured {
    latencies: Vec<Duration>,
    pub refused: Vec<Value>,
}

impl Measured {
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(Duration::MAX)
    }
}

#[derive(Default)]
pub struct Seen {
    pub messages: Measured,
    pub sign_ins: Measured,
}

impl Seen {
    pub fn print(&self, when: &str) {
        for (what, seen) in [("messages", &self.messages), ("sign-ins", &self.sign_ins)] {
            let (p50, p95) = (seen.percentile(50), seen.percentile(95));
            let (done, refused) = (seen.latencies.len(), seen.refused.len());
            println!("{when}: {done} {what}, p50 {p50:?}, p95 {p95:?}, {refused} refused");
        }
    }
}

pub struct Bystanders {
    /// Each with the other one of the pair.
    talking: Vec<(Client, User)>,
    /// Who sign in, in turns: how each connects, and the token.
    visitors: Vec<(Connect, String)>,
}

impl Bystanders {
    pub async fn enter(stage: &Stage) -> Result<Self> {
        let mut talking = Vec::new();
        for pair in stage.bystanders.chunks(2) {
            let [one, other] = pair else { continue };
            talking.push((stage::login(&stage.deployment, one).await?, other.clone()));
            talking.push((stage::login(&stage.deployment, other).await?, one.clone()));
        }
        let visitor = |user: &User| (stage::connect(&stage.deployment, user), user.token.clone());
        Ok(Bystanders { talking, visitors: stage.visitors.iter().map(visitor).collect() })
    }

    /// What they see for so long.
    pub async fn watch(&mut self, lasting: Duration) -> Result<Seen> {
        let ends_at = Instant::now() + lasting;
        let mut talking = JoinSet::new();
        for (client, other) in self.talking.drain(..) {
            talking.spawn(talk(client, other, ends_at));
        }
        let mut seen = Seen { sign_ins: sign_in(&mut self.visitors, ends_at).await, ..Seen::default() };
        while let Some(talked) = talking.join_next().await {
            let (client, other, measured) = talked??;
            seen.messages.latencies.extend(measured.latencies);
            seen.messages.refused.extend(measured.refused);
            self.talking.push((client, other));
        }
        Ok(seen)
    }
}

async fn talk(mut client: Client, other: User, ends_at: Instant) -> Result<(Client, User, Measured)> {
    let mut measured = Measured::default();
    while Instant::now() < ends_at {
        let started = Instant::now();
        let message = json!({"type": "send_private_message", "recipientId": other.id, "content": "hello"});
        let answer = client.request_within(message, PATIENCE).await?;
        match event_type(&answer) {
            "message_sent" => measured.latencies.push(started.elapsed()),
            _ => measured.refused.push(answer),
        }
        client.drain();
        tokio::time::sleep_until(started + PACE).await;
    }
    Ok((client, other, measured))
}

async fn sign_in(visitors: &mut [(Connect, String)], ends_at: Instant) -> Measured {
    let mut measured = Measured::default();
    while Instant::now() < ends_at {
        let started = Instant::now();
        visitors.rotate_left(1);
        let (connect, token) = &visitors[0];
        let login = async {
            let mut client = connect.clone().open().await?;
            client.authenticate(token).await?;
            Ok::<_, client::Error>(client)
        };
        match tokio::time::timeout(PATIENCE, login).await {
            Ok(Ok(mut client)) => {
                measured.latencies.push(started.elapsed());
                // What a client asks for next.
                match client.request_within(json!({"type": "get_inbox"}), PATIENCE).await {
                    Ok(answer) if event_type(&answer) == "inbox" => {}
                    Ok(answer) => measured.refused.push(answer),
                    Err(error) => measured.refused.push(json!(error.to_string())),
                }
                client.close().await;
            }
            Ok(Err(error)) => measured.refused.push(json!(error.to_string())),
            Err(_) => measured.refused.push(json!("no answer")),
        }
        tokio::time::sleep_until(started + PACE).await;
    }
    measured
}
