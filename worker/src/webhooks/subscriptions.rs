//! The events that have subscribers, as far as this worker knows: it looks every [`REFRESH`]. Without subscribers
//! nothing is stored, and storing a message costs what it costs without webhooks. Who subscribes to what is queried
//! again where deliveries are stored.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared::webhooks::WebhookEvent;
use tokio::sync::watch;

/// How long a worker may take to learn of a subscription.
pub const REFRESH: Duration = Duration::from_secs(2);

pub struct Subscriptions {
    /// One bit per event.
    wanted: AtomicU32,
    news: watch::Sender<()>,
}

impl Default for Subscriptions {
    fn default() -> Self {
        Subscriptions { wanted: AtomicU32::new(0), news: watch::Sender::new(()) }
    }
}

impl Subscriptions {
    pub fn set(&self, events: impl Iterator<Item = WebhookEvent>) {
        self.wanted.store(events.fold(0, |mask, event| mask | event.bit()), Ordering::Relaxed);
    }

    pub fn is_wanted(&self, event: WebhookEvent) -> bool {
        self.wanted.load(Ordering::Relaxed) & event.bit() != 0
    }

    pub fn is_anything_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Announces that deliveries were committed.
    pub fn announce(&self) {
        self.news.send_replace(());
    }

    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }
}
