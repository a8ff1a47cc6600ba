//! Free TCP ports on the loopback address.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Result, bail};

/// Below the kernel's ephemeral range (32768 and up on Linux), so that no outgoing connection takes the port of a
/// server while it is down for a restart; away from the default ports of PostgreSQL and Redis.
const RANGE: Range<u16> = 18_000..32_000;

/// `count` different ports nobody listens on now.
pub fn free(count: usize) -> Result<Vec<u16>> {
    let mut taken = BTreeSet::new();
    let mut ports = Vec::with_capacity(count);
    // Random probing keeps test programs that run at the same time apart.
    for _ in 0..20_000 {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = RANGE.start + u16::from_le_bytes(crate::secrets::random()?) % (RANGE.end - RANGE.start);
        if taken.insert(port) && is_free(port) {
            ports.push(port);
        }
    }
    bail!("no {count} free ports between {} and {}", RANGE.start, RANGE.end)
}

pub fn free_one() -> Result<u16> {
    free(1)?.pop().ok_or_else(|| anyhow::anyhow!("no free port"))
}

pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
        assert!(!is_free(held.local_addr().unwrap().port()));
    }
}
