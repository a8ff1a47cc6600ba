//! Users for whom more events wait than are kept. Deleting all that waits for one of them would hold up others for long:
//! `jobs::crowded` deletes the surplus first, in parts, and the command that wants to is tried again.

use std::collections::HashSet;

use parking_lot::Mutex;
use shared::ids::UserId;
use tokio::sync::Notify;

#[derive(Default)]
pub struct CrowdedUsers {
    users: Mutex<HashSet<UserId>>,
    added: Notify,
}

impl CrowdedUsers {
    pub fn push(&self, users: &[UserId]) {
        self.users.lock().extend(users);
        self.added.notify_one();
    }

    /// Waits until there are some. Cancel safe.
    pub async fn take(&self) -> HashSet<UserId> {
        self.added.notified().await;
        std::mem::take(&mut self.users.lock())
    }
}
