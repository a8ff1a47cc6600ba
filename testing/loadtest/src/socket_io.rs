//! Socket.IO over its WebSocket transport, for comparisons: each JSON object is the only argument of an event named `m`.
//! <https://socket.io/docs/v4/engine-io-protocol/> and <https://socket.io/docs/v4/socket-io-protocol/> define the packets.

/// Connects to the namespace; what the server sends before is of no interest.
pub const CONNECT: &[u8] = b"40";
pub const PONG: &[u8] = b"3";
const BEFORE: &[u8] = b"42[\"m\",";
const AFTER: &[u8] = b"]";

/// A received packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Event(&'a [u8]),
    Ping,
    Other,
}

impl<'a> Packet<'a> {
    pub fn parse(text: &'a [u8]) -> Self {
        if let Some(json) = text.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix(AFTER)) {
            return Self::Event(json);
        }
        match text {
            b"2" => Self::Ping,
            _ => Self::Other,
        }
    }
}

/// Returns the packet that sends this JSON.
pub fn event(json: &[u8]) -> Vec<u8> {
    [BEFORE, json, AFTER].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_recognised() {
        assert_eq!(Packet::parse(&event(b"{\"type\":\"x\"}")), Packet::Event(b"{\"type\":\"x\"}"));
        assert_eq!(Packet::parse(b"0{\"sid\":\"a\"}"), Packet::Other);
        assert_eq!(Packet::parse(b"2"), Packet::Ping);
        assert_eq!(Packet::parse(b"40{\"sid\":\"b\"}"), Packet::Other);
    }
}
