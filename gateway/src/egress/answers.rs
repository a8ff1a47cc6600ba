//! Large answers, which come over their own subscription connection: if Redis cuts it because too many are waiting, no
//! event is lost. A client's query is then answered with `SERVICE_UNAVAILABLE` in time, and the requests of sessions
//! are repeated.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::SubscriberClient;
use tokio::sync::broadcast::error::RecvError;

use crate::egress::deliver::Deliverer;
use crate::egress::subscriber::{Closed, Events, deliver_batch};
use crate::egress::subscriptions::subscribe;
use crate::gateway::Gateway;

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Delivers until the process stops.
///
/// # Errors
/// When answers can no longer be received.
pub async fn run(gateway: Arc<Gateway>, client: SubscriberClient, mut events: Events) -> Result<(), Closed> {
    let stopped = gateway.lifecycle.stopped();
    let mut deliverer = Deliverer::new(gateway.clone());
    follow(&gateway, &client);
    loop {
        tokio::select! {
            biased;
            () = stopped.cancelled() => return Ok(()),
            reconnected = events.reconnects.recv() => match reconnected {
                Ok(_) | Err(RecvError::Lagged(_)) => follow(&gateway, &client),
                Err(RecvError::Closed) => return Err(Closed),
            },
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

/// Subscribes, and tells the workers once Redis has confirmed it.
fn follow(gateway: &Arc<Gateway>, client: &SubscriberClient) {
    gateway.liveness.set_follows_answers(false);
    let (follower, client) = (gateway.clone(), client.clone());
    let following = async move {
        let channels = [follower.keys.answer_channel(follower.id)];
        while let Err(error) = subscribe(&client, &channels).await {
            tracing::debug!(%error, "cannot subscribe to large answers");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        follower.liveness.set_follows_answers(true);
        follower.requests.repeat();
        Ok::<(), Infallible>(())
    };
    gateway.lifecycle.spawn_until_stopped("follow-answers", following);
}
