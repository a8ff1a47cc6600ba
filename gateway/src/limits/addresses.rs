//! What one client address may do: requests in a sliding window, and concurrent connections, counted over the whole
//! fleet in Redis. While Redis is away, each gateway counts for itself.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use futures_util::future::try_join_all;
use http::HeaderMap;
use parking_lot::Mutex;
use shared::config::TrustedProxies;
use shared::redis::address::{AddressScripts, Connect};
use shared::redis::redirect::keyed;
use tokio::sync::Notify;

use crate::core::Core;
use crate::limits::idle::{HttpConnection, HttpConnections};
use crate::limits::pace::Pace;
use crate::limits::places::{Kind, Place, Places};

/// How long this gateway's counts live in Redis unless they are renewed.
const LIFETIME: Duration = Duration::from_secs(180);
const RENEW_PERIOD: Duration = Duration::from_secs(60);
/// The number of addresses whose requests are counted here while Redis is away; above it, counting starts again.
const MAX_LOCAL_ADDRESSES: usize = 100_000;
const PIPELINE: usize = 512;
/// TCP connections of an address in addition to its WebSockets: those that browsers keep open, and upgrades in
/// progress.
const MAX_HTTP: u32 = 54;
/// How many seconds of requests at the greatest pace use up `IP_RATE_LIMIT`.
const SECONDS_TO_LIMIT: u32 = 60;
/// The pace, however low that limit is.
const MIN_PER_SECOND: u32 = 10;
/// How long a request may wait because of others from its address.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where a request came from; every request has it as an extension.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What limits apply to: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// The peer's address, or, behind a trusted proxy, the last untrusted one in `X-Forwarded-For`.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let mut address = peer.to_canonical();
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let mut hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).collect();
        // A list may end with a comma.
        hops.retain(|hop| !hop.trim().is_empty());
        while trusted.contains(address) {
            let Some(hop) = hops.pop().and_then(parse_hop) else { break };
            address = hop.to_canonical();
        }
        Self::from_ip(address)
    }

    fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Address(address),
            IpAddr::V6(v6) => Address(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()),
        }
    }
}

/// Parses one entry of `X-Forwarded-For` as proxies write them: with or without a port, IPv6 with or without brackets,
/// quoted or not.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim().trim_matches('"');
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|hop| hop.ip())).or_else(bracketed)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is counted per address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Upgrades and HTTP requests.
    Requests,
    /// Tokens that were not accepted.
    AuthFailures,
    /// Attempts to register an account.
    Registrations,
}

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum OverLimit {
    TooManyRequests { retry_after: u32 },
    TooManyConnections,
}

pub struct Addresses {
    core: Arc<Core>,
    places: Arc<Places>,
    http: Arc<HttpConnections>,
    requests: Pace<Address>,
    pub scripts: AddressScripts,
    local: Mutex<Local>,
    changed: Notify,
}

#[derive(Default)]
struct Local {
    connections: HashMap<Address, u32>,
    /// TCP connections that have not upgraded (and may never).
    http: HashMap<Address, u32>,
    /// Addresses whose counts have not been written to Redis yet.
    changed: HashSet<Address>,
    /// What was counted in the current window while Redis is away.
    counted: HashMap<(Counted, Address), u32>,
    window_started_ms: u64,
}

/// One connection of an address; released when dropped.
pub struct AddressPlace {
    addresses: Arc<Addresses>,
    address: Address,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut local = self.addresses.local.lock();
        if let Some(count) = local.connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                local.connections.remove(&self.address);
            }
        }
        local.changed.insert(self.address);
        drop(local);
        self.addresses.changed.notify_one();
    }
}

/// A place for one TCP connection; released when dropped.
struct HttpPlace {
    addresses: Arc<Addresses>,
    /// `None` for a proxy, which stands for many addresses.
    address: Option<Address>,
    _place: Place,
}

impl Drop for HttpPlace {
    fn drop(&mut self) {
        self.addresses.give_back_http(self.address);
    }
}

impl Addresses {
    pub fn new(core: Arc<Core>, places: Arc<Places>) -> Arc<Self> {
        let (scripts, local) = (AddressScripts::default(), Mutex::default());
        let per_second = (core.settings.ip_rate_limit / SECONDS_TO_LIMIT).max(MIN_PER_SECOND) as usize;
        let requests = Pace::new(per_second, per_second, LONGEST_WAIT);
        Arc::new(Addresses { core, places, http: Arc::default(), requests, scripts, local, changed: Notify::new() })
    }

    /// A place for a TCP connection of `peer`, if its address may have another one. If all are taken, another
    /// connection loses its place.
    pub fn take_http(self: &Arc<Self>, peer: IpAddr) -> Option<HttpConnection> {
        let address = self.count_http(peer.to_canonical())?;
        let place = self.places.take(Kind::Http).or_else(|| {
            if self.http.end_one() {
                self.core.metrics.http_evicted.increment(1);
            }
            self.places.take(Kind::Http)
        });
        match place {
            Some(place) => {
                let place = HttpPlace { addresses: self.clone(), address, _place: place };
                Some(HttpConnection::new(self.http.clone(), Box::new(place)))
            }
            None => {
                self.give_back_http(address);
                None
            }
        }
    }

    /// Counts a connection of an address: `None` if it has too many, `Some(None)` for a proxy, which stands for many.
    fn count_http(&self, peer: IpAddr) -> Option<Option<Address>> {
        let address = (!self.core.settings.trusted_proxies.contains(peer)).then(|| Address::from_ip(peer));
        if let Some(address) = address {
            let most = self.core.settings.max_connections_per_ip.saturating_add(MAX_HTTP);
            let mut local = self.local.lock();
            let count = local.http.entry(address).or_insert(0);
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        Some(address)
    }

    fn give_back_http(&self, address: Option<Address>) {
        let Some(address) = address else { return };
        let mut local = self.local.lock();
        if let Some(count) = local.http.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                local.http.remove(&address);
            }
        }
    }

    /// Counts a request of an address after it waited for its turn, or a failed token, or a registration.
    pub async fn count(&self, counted: Counted, address: Address) -> Result<(), OverLimit> {
        if counted == Counted::Requests {
            let wait = self.requests.take(address, self.core.clock.now_ms());
            let wait = wait.ok_or(OverLimit::TooManyRequests { retry_after: 1 })?;
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        let window = self.core.settings.ip_rate_window;
        let (key, limit) = match counted {
            Counted::Requests => (self.core.keys.address_requests(address), self.core.settings.ip_rate_limit),
            Counted::AuthFailures => {
                (self.core.keys.address_auth_failures(address), self.core.settings.ip_auth_failure_limit)
            }
            Counted::Registrations => {
                (self.core.keys.address_registrations(address), self.core.settings.ip_registration_limit)
            }
        };
        if self.core.liveness.redis_is_up() {
            match self.scripts.request(&self.core.redis, &key, limit, window).await {
                Ok(None) => return Ok(()),
                Ok(Some(retry_after)) => return Err(OverLimit::TooManyRequests { retry_after }),
                Err(error) => tracing::debug!(%error, "requests are counted locally"),
            }
        }
        let window_ms = window.as_millis() as u64;
        let now_ms = self.core.clock.now_ms();
        let mut local = self.local.lock();
        if now_ms >= local.window_started_ms + window_ms || local.counted.len() >= MAX_LOCAL_ADDRESSES {
            local.counted.clear();
            local.window_started_ms = now_ms;
        }
        let started_ms = local.window_started_ms;
        let count = local.counted.entry((counted, address)).or_insert(0);
        *count += 1;
        if *count > limit {
            let left_ms = (started_ms + window_ms).saturating_sub(now_ms);
            return Err(OverLimit::TooManyRequests { retry_after: left_ms.div_ceil(1000).max(1) as u32 });
        }
        Ok(())
    }

    /// Counts a connection of an address, until the place is dropped.
    pub async fn count_connection(self: &Arc<Self>, address: Address) -> Result<AddressPlace, OverLimit> {
        let limit = self.core.settings.max_connections_per_ip;
        let connections = {
            let mut local = self.local.lock();
            let count = local.connections.entry(address).or_insert(0);
            *count += 1;
            *count
        };
        // From here on, every return path releases it.
        let place = AddressPlace { addresses: self.clone(), address };
        if connections > limit {
            return Err(OverLimit::TooManyConnections);
        }
        if self.core.liveness.redis_is_up() {
            let key = self.core.keys.address_connections(address);
            let live = self.core.liveness.live_gateways();
            let wish = Connect { gateway: self.core.id, connections, limit, lifetime: LIFETIME, live: &live };
            match self.scripts.connect(&self.core.redis, &key, &wish).await {
                Ok(true) => {}
                Ok(false) => return Err(OverLimit::TooManyConnections),
                Err(error) => tracing::debug!(%error, "connections are counted locally"),
            }
        }
        Ok(place)
    }
}

/// Keeps Redis' counts of this gateway's connections correct until the process stops.
pub async fn run(addresses: Arc<Addresses>) -> Result<(), Infallible> {
    let mut ticks = addresses.core.lifecycle.every_until_stopped(RENEW_PERIOD);
    loop {
        tokio::select! {
            is_due = ticks.next() => {
                if !is_due {
                    return Ok(());
                }
                // Sends all of them, because Redis may have lost everything.
                let mut local = addresses.local.lock();
                let all: Vec<Address> = local.connections.keys().copied().collect();
                local.changed.extend(all);
            }
            () = addresses.changed.notified() => {}
        }
        if let Err(error) = write_counts(&addresses).await {
            tracing::debug!(%error, "the counts of connections per address could not be written");
        }
    }
}

async fn write_counts(addresses: &Addresses) -> Result<(), Error> {
    let core = &addresses.core;
    let counts: Vec<(Address, u32)> = {
        let mut local = addresses.local.lock();
        let changed = std::mem::take(&mut local.changed);
        changed.into_iter().map(|address| (address, local.connections.get(&address).copied().unwrap_or(0))).collect()
    };
    let gateway_id = core.id.to_string();
    for chunk in counts.chunks(PIPELINE) {
        try_join_all(chunk.iter().map(|(address, count)| write_count(core, &gateway_id, address, *count))).await?;
    }
    Ok(())
}

async fn write_count(core: &Core, gateway_id: &str, address: &Address, count: u32) -> Result<(), Error> {
    let key = core.keys.address_connections(address);
    if count == 0 {
        return keyed!(&core.redis, &key, |sender, key| async move { sender.hdel(key, gateway_id).await }).await;
    }
    let () =
        keyed!(&core.redis, &key, |sender, key| async move { sender.hset(key, (gateway_id, count)).await }).await?;
    let seconds = LIFETIME.as_secs() as i64;
    keyed!(&core.redis, &key, |sender, key| async move { sender.expire(key, seconds, None).await }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = TrustedProxies(trusted.iter().map(|net| net.parse().unwrap()).collect());
        Address::of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_behind_trusted_proxies() {
        assert_eq!(address("1.2.3.4", &["9.9.9.9"], &[]), "1.2.3.4");
        assert_eq!(address("10.0.0.1", &["9.9.9.9"], &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.0.0.2"], &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(address("10.0.0.1", &["6.6.6.6", "9.9.9.9"], &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(address("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }

    #[test]
    fn entries_count_however_a_proxy_writes_them() {
        for (hop, expected) in [
            ("9.9.9.9:51234", "9.9.9.9"),
            ("\"9.9.9.9\"", "9.9.9.9"),
            ("9.9.9.9, ", "9.9.9.9"),
            ("9.9.9.9:51234,", "9.9.9.9"),
            ("[2001:db8::1]:443", "2001:db8::"),
            ("\"[2001:db8::1]:443\"", "2001:db8::"),
            ("[2001:db8::1]", "2001:db8::"),
            ("2001:db8::1", "2001:db8::"),
            ("::ffff:9.9.9.9", "9.9.9.9"),
            // Not an address: nothing before it can be trusted either.
            ("9.9.9.9, unknown", "10.0.0.1"),
            ("9.9.9.9:port", "10.0.0.1"),
        ] {
            assert_eq!(address("10.0.0.1", &[hop], &["10.0.0.0/8"]), expected, "{hop}");
        }
    }

    #[test]
    fn ipv6_counts_by_64_bits_and_mapped_ipv4_as_ipv4() {
        assert_eq!(address("2001:db8:1:2:3:4:5:6", &[], &[]), "2001:db8:1:2::");
        assert_eq!(address("::ffff:1.2.3.4", &[], &[]), "1.2.3.4");
    }
}
