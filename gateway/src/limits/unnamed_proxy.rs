//! Notices a proxy that `TRUSTED_PROXIES` does not name: all of its clients share one address, so that soon all are
//! refused.

use std::collections::HashMap;
use std::net::IpAddr;

use fred::prelude::*;
use http::HeaderMap;
use parking_lot::Mutex;
use shared::config::TrustedProxies;
use shared::redis::redirect::keyed;

use crate::core::Core;

const WINDOW_MS: u64 = 60_000;
/// A peer is reported from this many refusals within the window on.
const REFUSALS: u32 = 10;
/// How many peers are counted at a time.
const MAX_PEERS: usize = 1_000;
/// How long `chatctl doctor` reports it.
const TOLD_SECONDS: i64 = 24 * 3600;

/// The peer, if it says that it forwards for others and is in a private network, but is not trusted.
pub fn suspect(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    let is_private = match peer {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    };
    (is_private && headers.contains_key("x-forwarded-for") && !trusted.contains(peer)).then_some(peer)
}

/// Counts how often clients behind such peers were refused because of their address.
#[derive(Default)]
pub struct UnnamedProxies {
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    started_ms: u64,
    refused: HashMap<IpAddr, u32>,
}

impl UnnamedProxies {
    /// Counts a refusal. If there are many, reports it in the log (once a minute) and in Redis for `chatctl doctor`.
    pub async fn refused(&self, core: &Core, peer: IpAddr) {
        if !self.is_worth_a_warning(peer, core.clock.now_ms()) {
            return;
        }
        tracing::warn!(
            %peer,
            "clients are refused because of their address, which is a proxy's: if the proxy is yours, name it in TRUSTED_PROXIES"
        );
        let key = core.keys.unnamed_proxy();
        let expires = Some(Expiration::EX(TOLD_SECONDS));
        let noted: Result<(), Error> = keyed!(&core.redis, key, |sender, key| {
            let expires = expires.clone();
            async move { sender.set(key, peer.to_string(), expires, None, false).await }
        })
        .await;
        if let Err(error) = noted {
            tracing::debug!(%error, "an unnamed proxy could not be recorded");
        }
    }

    fn is_worth_a_warning(&self, peer: IpAddr, now_ms: u64) -> bool {
        let mut window = self.window.lock();
        if now_ms >= window.started_ms + WINDOW_MS || window.refused.len() >= MAX_PEERS {
            window.started_ms = now_ms;
            window.refused.clear();
        }
        let refused = window.refused.entry(peer).or_insert(0);
        *refused += 1;
        *refused == REFUSALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_peers_that_forward_unasked_are_suspected() {
        let trusted = TrustedProxies(vec!["10.1.0.0/16".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        let is_suspected =
            |peer: &str, headers: &HeaderMap| suspect(peer.parse().unwrap(), headers, &trusted).is_some();
        assert!(!is_suspected("10.0.0.1", &headers));
        headers.insert("x-forwarded-for", "9.9.9.9".parse().unwrap());
        for peer in ["10.0.0.1", "::ffff:172.28.64.2", "192.168.1.1", "127.0.0.1", "fd00::1"] {
            assert!(is_suspected(peer, &headers), "{peer}");
        }
        for peer in ["10.1.2.3", "1.2.3.4", "2001:db8::1"] {
            assert!(!is_suspected(peer, &headers), "{peer}");
        }
    }

    #[test]
    fn many_refusals_are_logged_once_a_minute() {
        let (proxies, peer) = (UnnamedProxies::default(), "10.0.0.1".parse().unwrap());
        let told = |now_ms| (0..100).filter(|_| proxies.is_worth_a_warning(peer, now_ms)).count();
        assert_eq!([told(70_000), told(100_000), told(130_000)], [1, 0, 1]);
        assert!(!proxies.is_worth_a_warning("10.0.0.2".parse().unwrap(), 130_000), "one refusal is not enough");
    }
}
