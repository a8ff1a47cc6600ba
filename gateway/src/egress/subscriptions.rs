//! The handle to the channels that this process is subscribed to; `channels` does the work.

use std::future::Future;

use tokio::sync::{mpsc, oneshot};

pub enum Change {
    Subscribe {
        channels: Vec<String>,
        done: oneshot::Sender<()>,
    },
    Unsubscribe {
        channels: Vec<String>,
    },
    /// The connection to Redis is new: subscribe to everything again.
    Resubscribe {
        done: oneshot::Sender<()>,
    },
}

/// A handle that all parts share. The queue needs no bound: it holds at most one entry to subscribe and one to
/// unsubscribe per connection and group, and those are bounded.
#[derive(Clone)]
pub struct Subscriptions {
    changes: mpsc::UnboundedSender<Change>,
}

/// Redis did not confirm.
#[derive(Debug)]
pub struct NotSubscribed;

impl Subscriptions {
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Change>) {
        let (changes, receiver) = mpsc::unbounded_channel();
        (Subscriptions { changes }, receiver)
    }

    /// Increments the channels' counts now, and returns a future that waits until Redis has confirmed them. Whatever
    /// the outcome, each call must be matched by one [`Self::unsubscribe`].
    pub fn subscribe(&self, channels: Vec<String>) -> impl Future<Output = Result<(), NotSubscribed>> + Send + 'static {
        let (done, confirmed) = oneshot::channel();
        // The receiver is gone when the process ends; then nothing will be confirmed.
        let _ = self.changes.send(Change::Subscribe { channels, done });
        async { confirmed.await.map_err(|_| NotSubscribed) }
    }

    /// Decrements the channels' counts.
    pub fn unsubscribe(&self, channels: Vec<String>) {
        if !channels.is_empty() {
            let _ = self.changes.send(Change::Unsubscribe { channels });
        }
    }

    /// Subscribes to everything again and waits until it is confirmed, however long that takes.
    pub async fn resubscribe(&self) {
        let (done, confirmed) = oneshot::channel();
        if self.changes.send(Change::Resubscribe { done }).is_ok() {
            let _ = confirmed.await;
        }
    }
}
