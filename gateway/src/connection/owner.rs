//! The owner of a connection: the user, the user's groups, and what has reached the user through it.

use std::sync::atomic::Ordering;

use shared::auth::TokenHash;
use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::ids::{ConversationId, GroupId, UserId};
use shared::stream::Receipts;
use uuid::Uuid;

use crate::connection::{Connection, Wants};

impl Connection {
    pub fn user(&self) -> Option<UserId> {
        match self.user.load(Ordering::Acquire) {
            0 => None,
            user => Some(UserId(user)),
        }
    }

    /// The session will use this token once a worker accepts it. Recorded before the worker is asked, so that a
    /// revocation which the answer does not know about yet still finds the connection.
    pub fn expect_token(&self, token: TokenHash) {
        let tokens = &mut self.inner.lock().tokens;
        let next = usize::from(tokens[0].is_some());
        tokens[next] = Some(token);
    }

    /// Ends a renewal: the session uses the next token, or keeps the old one.
    pub fn end_renewal(&self, renewed: bool) {
        let tokens = &mut self.inner.lock().tokens;
        let next = tokens[1].take();
        if renewed && next.is_some() {
            tokens[0] = next;
        }
    }

    pub fn lives_by(&self, is_revoked: impl Fn(&TokenHash) -> bool) -> bool {
        self.inner.lock().tokens.iter().flatten().any(is_revoked)
    }

    /// When its session opened.
    pub fn opened_at(&self) -> Option<Timestamp> {
        match self.timers.opened_at_ms.load(Ordering::Relaxed) {
            0 => None,
            at_ms => Some(Timestamp(at_ms)),
        }
    }

    /// True if its session is open, and not still opening.
    pub fn is_open(&self) -> bool {
        self.opened_at().is_some()
    }

    pub fn set_user(&self, user: Option<UserId>) {
        self.user.store(user.map_or(0, |user| user.0), Ordering::Release);
    }

    /// Adds a group; false if it is present already or the user has left it meanwhile.
    pub fn add_group(&self, group: GroupId) -> bool {
        let mut inner = self.inner.lock();
        let left = inner.held.as_ref().is_some_and(|held| held.has_left(group));
        !left && inner.groups.insert(group)
    }

    /// Records that the user joined: an earlier leave no longer matters.
    pub fn note_joined(&self, group: GroupId) {
        if let Some(held) = &mut self.inner.lock().held {
            held.note_joined(group);
        }
    }

    /// Removes a group; false if it was not present.
    pub fn remove_group(&self, group: GroupId) -> bool {
        let mut inner = self.inner.lock();
        if let Some(held) = &mut inner.held {
            held.note_left(group);
        }
        inner.groups.remove(&group)
    }

    pub fn is_in(&self, group: GroupId) -> bool {
        self.inner.lock().groups.contains(&group)
    }

    pub fn groups(&self) -> Vec<GroupId> {
        self.inner.lock().groups.iter().copied().collect()
    }

    pub fn set_wants(&self, wants: Wants) {
        self.inner.lock().wants = wants;
    }

    /// True if it gets comings and goings in batches.
    pub fn wants_presence_batches(&self) -> bool {
        self.dialect == Dialect::ChatV1 && self.inner.lock().wants.presence_batches
    }

    /// Records what the client confirms to have received.
    pub fn acknowledge(&self, conversations: Vec<(ConversationId, i64)>, events: Vec<Uuid>) {
        let Some(user) = self.user() else { return };
        let mut inner = self.inner.lock();
        for receipt in inner.received.confirm(&conversations) {
            self.deliveries.note(&receipt, user);
        }
        inner.received.confirm_events(events);
    }

    pub fn take_receipts(&self) -> Option<Receipts> {
        let user = self.user()?;
        self.inner.lock().received.take(user)
    }

    /// What was received and may not be recorded yet.
    pub fn unrecorded(&self) -> Vec<Receipts> {
        let Some(user) = self.user() else { return Vec::new() };
        self.inner.lock().received.unrecorded(user)
    }
}
