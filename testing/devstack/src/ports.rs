//! Free TCP ports on the loopback address, reserved while this process lives.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use socket2::{Domain, Socket, Type};

/// Below the kernel's ephemeral range (32768 and up on Linux), so that no outgoing connection takes the port of a
/// server while it is down for a restart; away from the default ports of PostgreSQL and Redis.
const RANGE: Range<u16> = 18_000..32_000;

/// The ports that [`free`] has returned. Tests of several programs ask for ports at the same time, and a server binds
/// its port only moments after it was chosen.
static RESERVED: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// Returns `count` different ports that are neither used nor reserved. They stay reserved until this process ends.
pub fn free(count: usize) -> Result<Vec<u16>> {
    let mut ports = Vec::with_capacity(count);
    // Random probing keeps programs that run at the same time apart, and meets few ports in use.
    for _ in 0..20_000 {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = RANGE.start + u16::from_le_bytes(crate::secrets::random()?) % (RANGE.end - RANGE.start);
        if let Ok(reservation) = reserve(port) {
            RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(reservation);
            ports.push(port);
        }
    }
    bail!("no {count} free ports between {} and {}", RANGE.start, RANGE.end)
}

pub fn free_one() -> Result<u16> {
    free(1)?.pop().ok_or_else(|| anyhow::anyhow!("no free port"))
}

/// Returns true if a server could listen there. Ports that we reserved ourselves count as free.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A bound socket that never listens. Bound without `SO_REUSEADDR`, it conflicts with every other user of the port;
/// with the option set afterwards, Linux lets a server that sets it, as all of ours do, bind and listen beside it.
fn reserve(port: u16) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_differ_and_a_server_can_use_them_again_and_again() {
        let ports = free(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        for _ in 0..2 {
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[0])).unwrap();
            assert!(!is_free(held.local_addr().unwrap().port()));
            let connection = std::net::TcpStream::connect(held.local_addr().unwrap()).unwrap();
            drop((held.accept().unwrap(), connection));
        }
    }

    #[test]
    fn nobody_is_given_a_port_that_is_reserved_or_in_use() {
        let port = free_one().unwrap();
        assert!(reserve(port).is_err());
        let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(reserve(port).is_err());
        drop(listening);
        assert!(reserve(port).is_err());
    }
}
