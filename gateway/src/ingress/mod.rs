//! From sockets to streams: handshake → session → decode → handler → admit → enqueue, and what keeps strangers within bounds
//! (`limits`, `places`, `lanes` with `backlog`). Nothing here looks at what workers publish.

pub mod admit;
pub mod authenticate;
pub mod backlog;
pub mod decode;
pub mod enqueue;
pub mod handler;
pub mod handshake;
pub mod io;
pub mod lanes;
pub mod limits;
pub mod places;
pub mod session;
pub mod sweep;
