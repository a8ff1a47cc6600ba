//! Large answers, which come over their own subscription connection: if Redis cuts it because too many are waiting, no
//! event is lost. A client's query is then answered with `SERVICE_UNAVAILABLE` in time, and the requests of sessions
//! are repeated.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::SubscriberClient;
use shared::redis::shard::ShardOptions;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::egress::channels::Subscriber;
use crate::egress::deliver::Deliverer;
use crate::egress::shards::{Listener, Shards};
use crate::egress::subscriber::{Closed, Events, deliver_batch};
use crate::gateway::Gateway;

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Delivers until the process stops.
///
/// # Errors
/// When answers can no longer be received.
pub async fn run(
    gateway: Arc<Gateway>,
    client: SubscriberClient,
    shards: ShardOptions,
    mut events: Events,
) -> Result<(), Closed> {
    let stopped = gateway.lifecycle.stopped();
    let Some(has_shards) = stopped.run_until_cancelled(gateway.liveness.has_shards()).await else { return Ok(()) };
    let (regained, mut regains) = mpsc::unbounded_channel();
    let listener = Arc::new(AnswerListener { gateway: gateway.clone(), regained });
    let shards = has_shards.then(|| Shards::start(gateway.clone(), shards, listener));
    let subscriber = Subscriber { client, keys: gateway.keys.clone(), shards };
    let mut deliverer = Deliverer::new(gateway.clone());
    follow(&gateway, &subscriber);
    loop {
        tokio::select! {
            biased;
            () = stopped.cancelled() => return Ok(()),
            reconnected = events.reconnects.recv() => match reconnected {
                Ok(_) | Err(RecvError::Lagged(_)) => follow(&gateway, &subscriber),
                Err(RecvError::Closed) => return Err(Closed),
            },
            Some(()) = regains.recv() => follow(&gateway, &subscriber),
            message = events.messages.recv() => match message {
                Ok(message) => {
                    if let Some(lost) = deliver_batch(&mut deliverer, message, &mut events.messages)? {
                        too_fast(lost);
                    }
                }
                Err(RecvError::Lagged(lost)) => too_fast(lost),
                Err(RecvError::Closed) => return Err(Closed),
            },
        }
    }
}

fn too_fast(lost: u64) {
    tracing::warn!(lost, "large answers were lost because they came faster than they could be delivered");
}

/// Until the answers' shard is followed again, answers come over the channel for events.
struct AnswerListener {
    gateway: Arc<Gateway>,
    regained: mpsc::UnboundedSender<()>,
}

impl Listener for AnswerListener {
    fn lost(&self, _channels: usize) {
        self.gateway.liveness.set_follows_answers(false);
    }

    fn regained(&self, _channel: &str) {
        let _ = self.regained.send(());
    }
}

/// Subscribes, and tells the workers once Redis has confirmed it.
fn follow(gateway: &Arc<Gateway>, subscriber: &Subscriber) {
    gateway.liveness.set_follows_answers(false);
    let (follower, subscriber) = (gateway.clone(), subscriber.clone());
    let following = async move {
        let channels = [follower.keys.answer_channel(follower.id)];
        while subscriber.subscribe(&channels).await.is_err() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        follower.liveness.set_follows_answers(true);
        follower.requests.repeat();
        Ok::<(), Infallible>(())
    };
    gateway.lifecycle.spawn_until_stopped("follow-answers", following);
}
