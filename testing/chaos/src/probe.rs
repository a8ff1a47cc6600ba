//! Finds out when each gateway serves again after a fault: a user on it keeps sending messages.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Connect, event_type};
use e2e::User;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::shared::{Phase, Shared};

const PERIOD: Duration = Duration::from_millis(100);
const ANSWERED_WITHIN: Duration = Duration::from_millis(1_500);

pub struct Probe {
    pub gateway: usize,
    pub url: String,
    pub user: User,
    pub to: i64,
    pub shared: Arc<Shared>,
}

impl Probe {
    /// Sends until the calm phase begins.
    pub async fn run(self, phase: watch::Receiver<Phase>) {
        let mut client = None;
        let mut number = 0;
        while matches!(*phase.borrow(), Phase::Load | Phase::Finish | Phase::Reconnect) {
            number += 1;
            let began = Instant::now();
            match self.send(&mut client, number).await {
                Ok(true) => self.shared.served(self.gateway, began),
                Ok(false) => {}
                Err(_) => client = None,
            }
            sleep(PERIOD).await;
        }
        if let Some(mut client) = client {
            client.close().await;
        }
    }

    /// Returns true if the message was acknowledged.
    async fn send(&self, client: &mut Option<Client>, number: u64) -> Result<bool, client::Error> {
        let client = match client {
            Some(client) => client,
            None => {
                let mut new =
                    Connect::new(&self.url).open_within(ANSWERED_WITHIN).answer_within(ANSWERED_WITHIN).open().await?;
                new.authenticate(&self.user.token).await?;
                client.insert(new)
            }
        };
        client.drain();
        let message = json!({
            "type": "send_private_message", "recipientId": self.to, "content": format!("probe {number}"),
            "clientMessageId": format!("p-{number}"),
        });
        let answer = client.request_within(message, ANSWERED_WITHIN).await?;
        let is_acknowledged = event_type(&answer) == "message_sent";
        if is_acknowledged {
            self.shared.witness.lock().acknowledged(&answer);
        }
        Ok(is_acknowledged)
    }
}
