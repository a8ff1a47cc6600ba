//! What reached a user through connections of other gateways and is not recorded yet. It is requested when a session
//! opens, so that a second device does not get again what the first has received.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::Error;
use parking_lot::Mutex;
use shared::ids::{Epoch, GatewayId, UserId};
use shared::publication::Header;
use shared::stream::Receipts;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::core::Core;

/// How long to wait for a gateway's answer; without it, some events are only repeated.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// In which epoch of the database another gateway's sessions are, and what they received in it.
type Answer = (Option<Epoch>, Vec<Receipts>);

/// Questions to other gateways under way.
pub struct Elsewhere {
    core: Arc<Core>,
    waiting: Mutex<HashMap<Uuid, mpsc::UnboundedSender<Answer>>>,
}

impl Elsewhere {
    pub fn new(core: Arc<Core>) -> Self {
        Elsewhere { core, waiting: Mutex::default() }
    }

    /// What the user's connections on other gateways received recently. The caller must be subscribed to the user's channel.
    pub async fn ask(&self, user: UserId) -> Vec<Answer> {
        let core = &self.core;
        let request = Uuid::new_v4();
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.waiting.lock().insert(request, sender);
        let _forget = Forget { elsewhere: self, request };
        let channel = core.keys.user_channel(user);
        let question = Header::ReceiptsWanted { by: core.id, request };
        let mut received = Vec::new();
        let asking = async {
            let listening = core.tell(channel, &question, &[]).await?;
            // This gateway also listens.
            for _ in 1..listening {
                received.extend(answers.recv().await);
            }
            Ok::<(), Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(ANSWER_WITHIN, asking).await {
            tracing::debug!(%error, "other gateways could not be asked for receipts");
        }
        received
    }

    /// Answers another gateway's question.
    pub fn answer(&self, by: GatewayId, request: Uuid, epoch: Option<Epoch>, receipts: &[Receipts]) {
        let channel = self.core.keys.gateway_channel(by);
        // Serialising plain values into memory cannot fail. A gateway of release 0.1 reads the receipts and leaves the rest.
        let payload = postcard::to_stdvec(&(receipts, epoch)).unwrap_or_default();
        let core = self.core.clone();
        tokio::spawn(async move {
            if let Err(error) = core.tell(channel, &Header::ReceiptsGiven { request }, &payload).await {
                tracing::debug!(%error, "another gateway's question was not answered");
            }
        });
    }

    /// Hands another gateway's answer to the task that waits for it, if it still does. An answer of release 0.1 names no epoch.
    pub fn answered(&self, request: Uuid, payload: &[u8]) {
        if let Some(waiting) = self.waiting.lock().get(&request) {
            let answer = postcard::take_from_bytes(payload).map(|(receipts, rest)| {
                let epoch = postcard::from_bytes(rest).unwrap_or_else(|_| self.core.liveness.epoch());
                (epoch, receipts)
            });
            let _ = waiting.send(answer.unwrap_or_default());
        }
    }
}

/// Removes a question from the list, however its wait ends.
struct Forget<'a> {
    elsewhere: &'a Elsewhere,
    request: Uuid,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.elsewhere.waiting.lock().remove(&self.request);
    }
}
