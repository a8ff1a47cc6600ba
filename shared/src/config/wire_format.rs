//! The formats of the wire that a process writes and reads.

/// What a process writes and reads: `WIRE_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireFormat {
    /// Writes what release 0.1 reads; reads both.
    One,
    /// Writes format 2; reads both.
    Both,
    /// Writes and reads format 2 only.
    Two,
}
