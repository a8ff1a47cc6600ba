//! What keeps strangers within bounds, before a user is known: connections and requests by address (`addresses`), connections of
//! the process (`places`), which HTTP connection gives up its place (`idle`), and proxies that hide addresses (`unnamed_proxy`).

pub mod addresses;
pub mod idle;
pub mod places;
pub mod unnamed_proxy;
