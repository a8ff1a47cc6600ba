//! What is in front of the gateways, as a client sees it: does the client's address arrive, and does a quiet connection
//! survive?

use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result};
use client::Client;
use tokio::time::{Instant, timeout_at};

use super::{Findings, value_here};
use crate::access::{Access, leave};
use crate::duration;
use crate::fleet::{FleetClient, within};

/// Gateways record connections immediately; this allows for slow ones.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
/// The time allowed after the second ping.
const MARGIN: Duration = Duration::from_secs(5);

/// Logs in through the public address, and stays for two pings without sending anything.
pub async fn check(findings: &mut Findings, access: &mut Access, fleet: Option<&FleetClient>) -> Result<()> {
    let url = access.url().to_owned();
    let mut client = match access.login_quietly().await {
        Ok(client) => client,
        Err(error) => {
            return findings.problem(
                format!("{url}: {error}"),
                "Check the address, the certificate, and what stands in front of the gateways: it has to forward WebSockets.",
            );
        }
    };
    findings.check(true, format!("{url} leads to a gateway"), "")?;
    if let Some(fleet) = fleet {
        address(findings, &url, fleet).await?;
    }
    quiet(findings, &url, &mut client).await?;
    leave(client).await;
    Ok(())
}

/// Checks that gateways count the connection for this machine: behind an untrusted proxy it counts for the proxy.
async fn address(findings: &mut Findings, url: &str, fleet: &FleetClient) -> Result<()> {
    let Some(address) = own_address(url) else { return Ok(()) };
    let arrives = within(COUNTED_WITHIN, async || fleet.counts_address(address).await).await?;
    let what = if arrives {
        format!("{url}: the gateways count {address}, the address of this machine")
    } else {
        format!("{url}: the gateways do not count {address}, the address of this machine, but another one")
    };
    findings.advise(
        arrives,
        what,
        "If this machine's traffic does not leave through a NAT, the proxy hides its clients: name it in TRUSTED_PROXIES of the gateways, \
         and let it set X-Forwarded-For.",
    )
}

/// The address that packets to a server are sent from, as limits count it: for IPv6 the network of 64 bits.
fn own_address(url: &str) -> Option<IpAddr> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?']).next()?;
    let port = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    let connect = |from: &str| {
        let socket = UdpSocket::bind(from).ok()?;
        // Sends nothing.
        socket.connect(&host).ok()?;
        Some(socket.local_addr().ok()?.ip().to_canonical())
    };
    match connect("0.0.0.0:0").or_else(|| connect("[::]:0"))? {
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()),
        v4 => Some(v4),
    }
}

async fn quiet(findings: &mut Findings, url: &str, client: &mut Client) -> Result<()> {
    let interval = value_here("PING_INTERVAL").and_then(|text| duration::parse(&text).ok()).context("PING_INTERVAL")?;
    let stay = interval * 2 + MARGIN;
    eprintln!("chatctl: stays connected for {} s and sends nothing", stay.as_secs());
    let (since, deadline) = (Instant::now(), Instant::now() + stay);
    let ended = loop {
        match timeout_at(deadline, client.recv()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => break Some(error),
            Err(_) => break None,
        }
    };
    let lives = ended.is_none();
    let what = match ended {
        None => format!(
            "{url}: a quiet connection outlives two pings of the gateway, one every {} s",
            interval.as_secs_f64()
        ),
        Some(error) => format!("{url}: a quiet connection ended after {:.0} s: {error}", since.elapsed().as_secs_f64()),
    };
    findings.check(
        lives,
        what,
        "Let the idle timeouts of everything in front of the gateways exceed PING_INTERVAL, or set PING_INTERVAL of the gateways lower.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_is_the_one_that_a_server_sees() {
        for url in ["wss://127.0.0.1:8443/ws", "http://127.0.0.1", "https://localhost/ws?a=b"] {
            assert!(own_address(url).is_some_and(|address| address.is_loopback()), "{url}");
        }
        assert_eq!(own_address("nonsense"), None);
    }
}
