//! Where to connect to, and from which address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};

/// Servers limit connections per address; all of 127.0.0.0/8 can be connected from, so loopback targets see many.
const CONNECTIONS_PER_ADDRESS: usize = 8;

#[derive(Clone, Debug)]
pub struct Target {
    pub tls: bool,
    pub host: String,
    /// Host and port as they were given, for the `Host` header.
    pub authority: String,
    pub path: String,
    pub address: SocketAddr,
}

impl Target {
    /// Parses a URL with `ws://`, `wss://`, `http://` or `https://`, and resolves its name, which blocks.
    pub fn resolve(url: &str) -> Result<Self> {
        let (scheme, rest) = url.trim().split_once("://").with_context(|| format!("not a URL: {url}"))?;
        let tls = match scheme {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => bail!("not an http, https, ws or wss URL: {url}"),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().context("the port")?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.as_str(), port));
        let address = found.with_context(|| format!("resolving {host}"))?.next();
        let address = address.with_context(|| format!("{host} has no address"))?;
        Ok(Self { tls, host, authority: authority.to_owned(), path: format!("/{path}"), address })
    }

    /// True if the server there speaks Socket.IO.
    pub fn is_socket_io(&self) -> bool {
        self.path.starts_with("/socket.io/")
    }

    /// Returns the address that connection number `index` comes from; `None` leaves it to the system.
    pub fn source(&self, index: usize) -> Option<IpAddr> {
        if !self.address.is_ipv4() || !self.address.ip().is_loopback() {
            return None;
        }
        // From 127.1.0.1 on, leaving out last bytes of 0 and 255.
        let block = index / CONNECTIONS_PER_ADDRESS;
        let (high, low) = (block / 254, block % 254 + 1);
        let [second, third] = [(1 + high / 256).min(255) as u8, (high % 256) as u8];
        Some(IpAddr::V4(Ipv4Addr::new(127, second, third, low as u8)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::resolve("wss://127.0.0.1/ws").unwrap();
        assert!(target.tls);
        assert_eq!((target.address.port(), target.path.as_str()), (443, "/ws"));
        let target = Target::resolve("ws://[::1]:8080").unwrap();
        assert_eq!((target.host.as_str(), target.address.port(), target.path.as_str()), ("::1", 8080, "/"));
        assert!(Target::resolve("ftp://127.0.0.1").is_err());
    }

    #[test]
    fn loopback_connections_come_from_many_addresses() {
        let target = Target::resolve("ws://127.0.0.1:80").unwrap();
        let source = |index| target.source(index).unwrap().to_string();
        assert_eq!(source(0), "127.1.0.1");
        assert_eq!(source(CONNECTIONS_PER_ADDRESS - 1), source(0));
        assert_eq!(source(CONNECTIONS_PER_ADDRESS * 254), "127.1.1.1");
        assert_eq!(source(CONNECTIONS_PER_ADDRESS * 254 * 256), "127.2.0.1");
    }
}
