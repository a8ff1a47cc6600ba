//! A running conversation, which survives what happens to the servers and is checked at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::{Client, Connect, event_type};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Deployment, User, Witness};

const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// A running conversation: one user sends until stopped, repeating what was not acknowledged; one listens,
/// reconnecting.
pub struct Talk {
    stop: Arc<AtomicBool>,
    witness: Arc<Mutex<Witness>>,
    conversation: String,
    recipient: User,
    sender: JoinHandle<Result<()>>,
    listener: JoinHandle<()>,
}

impl Talk {
    /// A user who loses the connection uses the next URL.
    pub fn start<C: Into<Connect>>(from: User, to: User, from_urls: Vec<C>, to_urls: Vec<C>) -> Talk {
        let connects = |urls: Vec<C>| urls.into_iter().map(Into::into).collect();
        let witness = Arc::new(Mutex::new(Witness::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let conversation = client::conversation_id(from.id, to.id);
        let listener = tokio::spawn(listen(connects(to_urls), to.clone(), witness.clone()));
        let sender = tokio::spawn(send(connects(from_urls), from, to.id, witness.clone(), stop.clone()));
        Talk { stop, witness, conversation, recipient: to, sender, listener }
    }

    async fn acknowledged(&self) -> usize {
        self.witness.lock().await.acknowledged_count()
    }

    /// Waits until this number of further messages was acknowledged.
    pub async fn progress(&self, more: usize) -> Result<()> {
        let target = self.acknowledged().await + more;
        let deadline = Instant::now() + ARRIVES_WITHIN;
        while self.acknowledged().await < target {
            if Instant::now() > deadline {
                bail!("no progress: {} of {target} acknowledged", self.acknowledged().await);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Stops sending, waits until everything arrived, and checks the history.
    pub async fn finish(self, deployment: &Deployment) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.await??;
        let deadline = Instant::now() + ARRIVES_WITHIN;
        loop {
            let stored = deployment.stored(&self.conversation)?.len();
            if self.witness.lock().await.seen_count(&self.recipient.name, &self.conversation) >= stored {
                break;
            }
            if Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.listener.abort();
        let witness = self.witness.lock().await;
        witness.check(deployment, true)?;
        Ok(witness.acknowledged_count())
    }
}

async fn send(
    connects: Vec<Connect>,
    from: User,
    to: i64,
    witness: Arc<Mutex<Witness>>,
    stop: Arc<AtomicBool>,
) -> Result<()> {
    let mut client: Option<Client> = None;
    let mut number = 0_u64;
    let mut connects = connects.iter().cycle();
    let mut connect = connects.next().context("a URL")?;
    let gives_up = Instant::now() + Duration::from_secs(240);
    while !stop.load(Ordering::Relaxed) {
        let message = json!({
            "type": "send_private_message", "recipientId": to, "content": format!("number {number}"),
            "clientMessageId": format!("n-{number}"),
        });
        // The same message until it is acknowledged: that is what `clientMessageId` is for.
        loop {
            if Instant::now() > gives_up {
                bail!("message {number} was never acknowledged");
            }
            match attempt(connect, &from, &mut client, message.clone()).await {
                Ok(answer) if event_type(&answer) == "message_sent" => {
                    witness.lock().await.acknowledged(&answer);
                    break;
                }
                Ok(_refused) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(_gone) => {
                    client = None;
                    connect = connects.next().context("a URL")?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        number += 1;
    }
    Ok(())
}

/// Sends on the present connection, or opens a new one.
async fn attempt(
    connect: &Connect,
    from: &User,
    client: &mut Option<Client>,
    message: Value,
) -> Result<Value, client::Error> {
    let client = match client {
        Some(client) => client,
        None => client.insert(login(connect, from).await?),
    };
    client.drain();
    client.request_within(message, Duration::from_secs(15)).await
}

async fn login(connect: &Connect, user: &User) -> Result<Client, client::Error> {
    let mut client = connect.clone().open().await?;
    client.authenticate(&user.token).await?;
    Ok(client)
}

async fn listen(connects: Vec<Connect>, user: User, witness: Arc<Mutex<Witness>>) {
    for connect in connects.iter().cycle() {
        if let Ok(mut client) = connect.clone().open().await
            // Otherwise messages in flight on a connection that breaks would count as delivered.
            && client.authenticate_with(json!({"token": user.token, "acks": true})).await.is_ok()
        {
            while let Ok(event) = client.recv().await {
                witness.lock().await.saw(&user.name, &event);
                if let (Some(conversation), Some(seq)) = (event["conversationId"].as_str(), event["seq"].as_i64()) {
                    let _ = client.send(json!({"type": "ack", "conversations": {conversation: seq}})).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
