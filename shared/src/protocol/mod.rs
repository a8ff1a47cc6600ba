//! The wire contract's common parts: frames as JSON objects, the table of error codes, the table of close codes, and the
//! form in which commands are described as data.
//! `commands` and `events` define each command and event.

pub mod close;
pub mod error;
pub mod fields;
pub mod frame;
pub mod spec;

pub use close::CloseCode;
pub use error::{ErrorCode, Rejection};
pub use fields::{Fields, Invalid};
pub use frame::{Frame, RequestId};
pub use spec::{Field, Kind, Spec};
