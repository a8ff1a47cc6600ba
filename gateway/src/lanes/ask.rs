//! The gateway's own requests to workers, and the answers they wait for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::protocol::RequestId;
use shared::stream::{Internal, InternalReply};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::core::Core;
use crate::lanes::admit::Admitted;
use crate::lanes::enqueue::Enqueue;

/// Without an answer in this time the fleet counts as unavailable.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER_SECONDS: u32 = 2;

/// Requests under way: at most one per connection.
pub struct Requests {
    core: Arc<Core>,
    enqueue: Enqueue,
    waiting: Mutex<HashMap<Uuid, oneshot::Sender<InternalReply>>>,
}

impl Requests {
    pub fn new(core: Arc<Core>, enqueue: Enqueue) -> Self {
        Requests { core, enqueue, waiting: Mutex::default() }
    }

    /// Hands an answer to whoever waits for it, if anybody still does.
    pub fn answer(&self, command: Uuid, reply: InternalReply) {
        if let Some(waiting) = self.waiting.lock().remove(&command) {
            let _ = waiting.send(reply);
        }
    }

    /// The request could not be passed on.
    pub fn fail(&self, command: Uuid) {
        self.answer(command, InternalReply::Unavailable { retry_after: RETRY_AFTER_SECONDS });
    }

    /// Asks a worker; returns [`InternalReply::Unavailable`] when no answer comes in time. `request_id` is echoed in the events
    /// that the worker makes.
    pub async fn ask(&self, user: UserId, request: &Internal, request_id: Option<&RequestId>) -> InternalReply {
        let deadline = Timestamp::now().plus(ANSWER_WITHIN);
        let admitted = Admitted::internal(&self.core, user, request, request_id.cloned(), deadline);
        let command = admitted.command();
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(command, sender);
        let _forget = Forget { requests: self, command };
        let unavailable = InternalReply::Unavailable { retry_after: RETRY_AFTER_SECONDS };
        if self.enqueue.submit(admitted).is_err() {
            return unavailable;
        }
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => unavailable,
        }
    }
}

/// Takes a request off the list however its wait ends.
struct Forget<'a> {
    requests: &'a Requests,
    command: Uuid,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.requests.waiting.lock().remove(&self.command);
    }
}
