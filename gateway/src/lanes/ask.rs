//! The gateway's own requests to workers, and the wait for their answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::protocol::RequestId;
use shared::stream::{Internal, InternalReply};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::core::Core;
use crate::lanes::admit::Admitted;
use crate::lanes::enqueue::Enqueue;

/// Without an answer in this time, the fleet counts as unavailable.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// One for each connection over which answers arrive. Answers that are too large for Redis are not requested again and
/// again.
const REPETITIONS: u32 = 2;
const RETRY_AFTER_SECONDS: u32 = 2;
const UNAVAILABLE: InternalReply = InternalReply::Unavailable { retry_after: RETRY_AFTER_SECONDS };

/// Pending requests: at most two per connection, and those of backends.
pub struct Requests {
    core: Arc<Core>,
    enqueue: Enqueue,
    waiting: Mutex<HashMap<Uuid, Vec<oneshot::Sender<InternalReply>>>>,
    /// Notified when answers may have been lost.
    interrupted: watch::Sender<()>,
}

impl Requests {
    pub fn new(core: Arc<Core>, enqueue: Enqueue) -> Self {
        Requests { core, enqueue, waiting: Mutex::default(), interrupted: watch::Sender::new(()) }
    }

    /// Hands an answer to the waiting caller, if there still is one.
    pub fn answer(&self, command: Uuid, reply: InternalReply) {
        // A backend's repeated request may wait for the same command.
        for waiting in self.waiting.lock().remove(&command).unwrap_or_default() {
            let _ = waiting.send(reply.clone());
        }
    }

    /// Reports that the request could not be passed on.
    pub fn fail(&self, command: Uuid) {
        self.answer(command, UNAVAILABLE);
    }

    /// Called when answers may have been lost: what sessions wait for is requested again now. A session that waited for
    /// its deadline would hold back all new events until then.
    pub fn repeat(&self) {
        self.interrupted.send_replace(());
    }

    /// Asks a worker; returns [`InternalReply::Unavailable`] if no answer arrives in time. `request_id` is echoed in
    /// the events that the worker makes.
    pub async fn ask(&self, user: UserId, request: &Internal, request_id: Option<&RequestId>) -> InternalReply {
        self.ask_as(None, user, request, request_id).await
    }

    /// Like [`Self::ask`], under the id of an earlier request, which this one may repeat.
    pub async fn ask_as(
        &self,
        id: Option<Uuid>,
        user: UserId,
        request: &Internal,
        request_id: Option<&RequestId>,
    ) -> InternalReply {
        let deadline = Timestamp::now().plus(ANSWER_WITHIN);
        let give_up = Instant::now() + ANSWER_WITHIN;
        let mut interrupted = self.interrupted.subscribe();
        let admit = |id| Admitted::internal(&self.core, id, user, request, request_id.cloned(), deadline);
        let mut admitted = admit(id);
        let mut answer = self.expect(admitted.command());
        // A request that may change something is repeated only by the caller.
        let mut repetitions = if matches!(request, Internal::Http(_)) { 0 } else { REPETITIONS };
        loop {
            if self.enqueue.submit(admitted).is_err() {
                return UNAVAILABLE;
            }
            tokio::select! {
                biased;
                reply = &mut answer.answer => return reply.unwrap_or(UNAVAILABLE),
                Ok(()) = interrupted.changed(), if repetitions > 0 => {
                    repetitions -= 1;
                    admitted = admit(Some(answer.command));
                }
                () = tokio::time::sleep_until(give_up) => return UNAVAILABLE,
            }
        }
    }

    /// Tells the workers something that has no answer; it may be lost.
    pub fn tell(&self, user: UserId, request: &Internal, within: Duration) {
        let deadline = Timestamp::now().plus(within);
        let admitted = Admitted::internal(&self.core, None, user, request, None, deadline);
        if self.enqueue.submit(admitted).is_err() {
            tracing::debug!(request = request.name(), "something was not told to the workers");
        }
    }

    /// Appends an entry whose answer comes to this gateway, and waits for it; returns [`InternalReply::Unavailable`] when none comes
    /// in time.
    pub async fn wait_for(&self, admitted: Admitted, within: Duration) -> InternalReply {
        let mut answer = self.expect(admitted.command());
        if self.enqueue.submit(admitted).is_err() {
            return UNAVAILABLE;
        }
        match tokio::time::timeout(within, &mut answer.answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) | Err(_) => UNAVAILABLE,
        }
    }

    fn expect(&self, command: Uuid) -> PendingReply<'_> {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().entry(command).or_default().push(sender);
        PendingReply { requests: self, command, answer }
    }
}

/// A pending answer. Takes the request off the list however the wait ends.
struct PendingReply<'a> {
    requests: &'a Requests,
    command: Uuid,
    answer: oneshot::Receiver<InternalReply>,
}

impl Drop for PendingReply<'_> {
    fn drop(&mut self) {
        self.answer.close();
        let mut waiting = self.requests.waiting.lock();
        if let Some(senders) = waiting.get_mut(&self.command) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(&self.command);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::egress::subscriber::interrupted;
    use crate::egress::subscriptions::Change;
    use crate::testing::gateway;
    use shared::ids::TokenId;

    #[tokio::test]
    async fn a_session_asks_again_when_its_answer_may_be_lost() {
        let (gateway, mut queues) = gateway(&[]);
        let asking = tokio::spawn({
            let gateway = gateway.clone();
            async move {
                let request = Internal::Authenticate { token_id: TokenId("jti".to_owned()) };
                gateway.requests.ask(UserId(1), &request, None).await
            }
        });
        let first = queues.admitted.recv().await.unwrap().command();
        interrupted(&gateway);
        let Some(Change::Resubscribe { done }) = queues.changes.recv().await else { panic!("not subscribed again") };
        done.send(()).unwrap();
        let again = tokio::time::timeout(ANSWER_WITHIN / 2, queues.admitted.recv()).await;
        let again = again.expect("asked again before its time is over").unwrap().command();
        assert_eq!(first, again);
        let reply = InternalReply::Authenticated { groups: Vec::new() };
        gateway.requests.answer(first, reply.clone());
        assert_eq!(asking.await.unwrap(), reply);
    }
}
