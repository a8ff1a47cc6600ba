//! Sessions: opening them (`authenticate`, `resume`) and recording what reached them (`receipts`) and where they are
//! signed in (`sign_ins`), each for many users at once, so that a thousand reconnecting clients cost a few queries.

pub mod authenticate;
mod deliveries;
pub mod held;
pub mod missing;
pub mod receipts;
pub mod replay;
pub mod resume;
pub mod sign_ins;

use shared::stream::{Envelope, Internal};

/// One gateway's request, as read.
pub struct Request {
    pub envelope: Envelope,
    pub internal: Internal,
}
