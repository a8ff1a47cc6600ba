//! Sessions that could not be registered when they opened. `presence` registers them.

use std::collections::HashMap;

use parking_lot::Mutex;
use shared::ids::GatewayId;
use shared::redis::presence::UserSession;

/// No more than this many are kept: for others, their gateways register them, but nobody is notified.
const MAX_LATE: usize = 100_000;

/// Sessions that opened while the registry was out of reach, for example while a cluster moves its slot. They are
/// registered and announced once it is back.
#[derive(Default)]
pub struct LateSessions {
    sessions: Mutex<Vec<(GatewayId, UserSession)>>,
}

impl LateSessions {
    pub fn push(&self, gateway: GatewayId, late: &[UserSession]) {
        let mut sessions = self.sessions.lock();
        let room = MAX_LATE.saturating_sub(sessions.len());
        sessions.extend(late.iter().take(room).map(|session| (gateway, *session)));
    }

    pub fn take(&self) -> HashMap<GatewayId, Vec<UserSession>> {
        let mut by_gateway: HashMap<GatewayId, Vec<UserSession>> = HashMap::new();
        for (gateway, session) in std::mem::take(&mut *self.sessions.lock()) {
            by_gateway.entry(gateway).or_default().push(session);
        }
        by_gateway
    }
}
