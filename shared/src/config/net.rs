//! Settings made of network addresses and origins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address with a prefix length, such as `10.0.0.0/8`. A single address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    address: IpAddr,
    prefix_bits: u8,
}

impl IpNet {
    /// IPv4 addresses mapped into IPv6 (`::ffff:10.0.0.1`) count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = mask(self.prefix_bits, 32);
                u128::from(net.to_bits()) & mask == u128::from(address.to_bits()) & mask
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = mask(self.prefix_bits, 128);
                net.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The mask that keeps the upper `prefix_bits` of an address of `width` bits.
fn mask(prefix_bits: u8, width: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(width - prefix_bits)).unwrap_or(0)
}

impl FromStr for IpNet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("\"{text}\" is neither an IP address nor a network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width: u8 = match address {
            IpAddr::V4(Ipv4Addr { .. }) => 32,
            IpAddr::V6(Ipv6Addr { .. }) => 128,
        };
        let prefix_bits = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
            None => width,
        };
        if prefix_bits > width {
            return Err(bad());
        }
        Ok(Self { address, prefix_bits })
    }
}

/// The peers whose `X-Forwarded-For` is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(address))
    }
}

/// The origins from which browsers may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    Any,
    /// In lower case, without a trailing slash.
    List(Vec<String>),
}

impl AllowedOrigins {
    /// True if a request with this `Origin` header is allowed. A request without the header does not come from a browser page and need not be checked.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(origins) => origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        }
    }
}

/// One entry of a list of origins.
pub(super) fn parse_origin(text: &str) -> Result<String, String> {
    let origin = text.trim_end_matches('/').to_ascii_lowercase();
    match origin.split_once("://") {
        Some(("http" | "https", host)) if !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']) => {
            Ok(origin)
        }
        _ => Err(format!("\"{text}\" is not an origin such as https://chat.example.org")),
    }
}
