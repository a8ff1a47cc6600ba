//! Sessions that could not be registered when they opened. How they are registered is known to `presence`.

use std::collections::HashMap;

use parking_lot::Mutex;
use shared::ids::GatewayId;
use shared::redis::presence::UserSession;

/// More than these are not kept: their gateways register them themselves, but nobody is told.
const MAX_LATE: usize = 100_000;

/// Sessions that opened while the registry was out of reach, as while a cluster moves its slot. They are registered and announced once
/// it is back.
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
