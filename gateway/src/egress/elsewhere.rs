//! What reached a user through connections of other gateways and is not recorded yet. It is requested when a session
//! opens, so that a second device does not get again what the first has received.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use parking_lot::Mutex;
use shared::ids::{GatewayId, UserId};
use shared::publication::Header;
use shared::stream::Receipts;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::core::Core;

/// How long to wait for a gateway's answer; without it, some events are only repeated.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// Pending questions to other gateways.
pub struct Elsewhere {
    core: Arc<Core>,
    waiting: Mutex<HashMap<Uuid, mpsc::UnboundedSender<Vec<Receipts>>>>,
}

impl Elsewhere {
    pub fn new(core: Arc<Core>) -> Self {
        Elsewhere { core, waiting: Mutex::default() }
    }

    /// What the user's connections on other gateways received recently. The caller is subscribed to the user's channel.
    pub async fn ask(&self, user: UserId) -> Vec<Receipts> {
        let core = &self.core;
        let request = Uuid::new_v4();
        let (sender, mut answers) = mpsc::unbounded_channel();
        self.waiting.lock().insert(request, sender);
        let _forget = Forget { elsewhere: self, request };
        let channel = core.keys.user_channel(user);
        let header = Header::ReceiptsWanted { by: core.id, request };
        let question = Bytes::from(core.wire.publication(&channel, &header, &[]));
        let mut receipts = Vec::new();
        let asking = async {
            let listening: u32 = core.redis.publish(channel, question).await?;
            // This gateway also listens.
            for _ in 1..listening {
                receipts.extend(answers.recv().await.unwrap_or_default());
            }
            Ok::<(), Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(ANSWER_WITHIN, asking).await {
            tracing::debug!(%error, "other gateways could not be asked for receipts");
        }
        receipts
    }

    /// Answers another gateway's question.
    pub fn answer(&self, by: GatewayId, request: Uuid, receipts: &[Receipts]) {
        let channel = self.core.keys.gateway_channel(by);
        // Serialising plain values into memory cannot fail.
        let payload = postcard::to_stdvec(receipts).unwrap_or_default();
        let publication = self.core.wire.publication(&channel, &Header::ReceiptsGiven { request }, &payload);
        let redis = self.core.redis.clone();
        tokio::spawn(async move {
            if let Err(error) = redis.publish::<(), _, _>(channel, Bytes::from(publication)).await {
                tracing::debug!(%error, "another gateway's question was not answered");
            }
        });
    }

    /// Hands another gateway's answer to the waiting caller, if there still is one.
    pub fn answered(&self, request: Uuid, receipts: Vec<Receipts>) {
        if let Some(waiting) = self.waiting.lock().get(&request) {
            let _ = waiting.send(receipts);
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
