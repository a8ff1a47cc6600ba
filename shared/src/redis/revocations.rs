//! Announces revoked tokens to all gateways, by hash, each once in the fleet.

use std::time::Duration;

use bytes::Bytes;
use fred::prelude::*;
use fred::types::scripts::Script;

use super::keys::Keys;
use super::run_script;
use crate::auth::TokenHash;
use crate::clock::Timestamp;
use crate::publication::Header;
use crate::wire::Wire;

/// Longer than workers look back, so that a revocation is announced once and not at each look.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The script that announces, ready to run.
#[derive(Clone)]
pub struct Revocations(Script);

impl Default for Revocations {
    fn default() -> Self {
        Revocations(Script::from_lua(include_str!("scripts/revocations.lua")))
    }
}

impl Revocations {
    /// Announces those of the tokens that have not been announced yet; returns how many.
    pub async fn announce(&self, redis: &Client, keys: &Keys, wire: &Wire, tokens: &[TokenHash]) -> Result<u64, Error> {
        let channel = keys.presence_channel();
        let mut arguments: Vec<Value> =
            vec![channel.as_str().into(), Timestamp::now().0.into(), (REMEMBERED.as_millis() as i64).into()];
        for token in tokens {
            arguments.push(token.to_string().into());
            arguments.push(Bytes::from(wire.publication(&channel, &Header::Revoked { token: *token }, &[])).into());
        }
        run_script(&self.0, redis, vec![keys.revoked_tokens()], arguments).await
    }
}
