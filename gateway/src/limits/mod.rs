//! Limits that apply before a user is known: connections and requests per address (`addresses`), connections of the
//! process (`places`), which HTTP connection loses its place (`idle`), proxies that hide addresses (`unnamed_proxy`), and
//! API keys that a worker accepted recently (`known_keys`). `pace` also spreads the sessions that one user opens, and the members of new groups.

pub mod addresses;
pub mod idle;
pub mod known_keys;
pub mod pace;
pub mod places;
pub mod unnamed_proxy;
