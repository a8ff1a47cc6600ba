//! `address_request.lua` and `address_connect.lua`: what one client address may do, over the whole fleet.

use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;

use super::run_script;
use crate::ids::GatewayId;

/// The precision of the sliding window of requests: this many slices.
const SLICES: u64 = 60;

/// The scripts, ready to run on any client.
#[derive(Clone)]
pub struct AddressScripts {
    request: Script,
    connect: Script,
}

impl Default for AddressScripts {
    fn default() -> Self {
        AddressScripts {
            request: Script::from_lua(include_str!("scripts/address_request.lua")),
            connect: Script::from_lua(include_str!("scripts/address_connect.lua")),
        }
    }
}

/// One gateway's request to hold `connections` connections of an address.
pub struct Connect<'a> {
    pub gateway: GatewayId,
    pub connections: u32,
    /// The limit for all live gateways together.
    pub limit: u32,
    /// The counts are forgotten after this time without a renewal.
    pub lifetime: Duration,
    /// The live gateways; counts of others are left over from dead ones.
    pub live: &'a [String],
}

impl AddressScripts {
    /// Counts a request; returns the seconds to wait if it is over `limit` in the sliding `window`.
    pub async fn request(
        &self,
        client: &Client,
        key: &str,
        limit: u32,
        window: Duration,
    ) -> Result<Option<u32>, Error> {
        let window_seconds = window.as_secs().max(1);
        let slice_seconds = (window_seconds / SLICES).max(1);
        let arguments: Vec<Value> = vec![limit.into(), (window_seconds as i64).into(), (slice_seconds as i64).into()];
        let retry_after: u32 = run_script(&self.request, client, vec![key.to_owned()], arguments).await?;
        Ok((retry_after > 0).then_some(retry_after))
    }

    /// Returns true if the gateway may hold that many.
    pub async fn connect(&self, client: &Client, key: &str, wish: &Connect<'_>) -> Result<bool, Error> {
        let gateway = wish.gateway.to_string();
        let mut arguments: Vec<Value> = vec![
            gateway.as_str().into(),
            wish.connections.into(),
            wish.limit.into(),
            (wish.lifetime.as_secs() as i64).into(),
        ];
        arguments.extend(wish.live.iter().filter(|other| **other != gateway).map(|other| Value::from(other.as_str())));
        let admitted: u32 = run_script(&self.connect, client, vec![key.to_owned()], arguments).await?;
        Ok(admitted == 1)
    }
}
