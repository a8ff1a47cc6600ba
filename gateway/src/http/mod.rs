//! HTTP: the accept loop (`accept`), the operators' listener (`admin`), unread bodies (`drained`), the paths
//! (`routes`), the form of answers (`reply`), the probes and TLS. Endpoints that need a worker are in `api`.

pub mod accept;
pub mod admin;
mod drained;
pub mod probes;
pub mod reply;
pub mod routes;
pub mod tls;
pub mod web;
