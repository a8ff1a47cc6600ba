//! Limits that apply before a user is known: connections and requests per address (`addresses`), connections of the
//! process (`places`), which HTTP connection loses its place (`idle`), proxies that hide addresses (`unnamed_proxy`), and
//! API keys that a worker accepted recently (`known_keys`). `pace` also spreads what a known user does: sessions opened,
//! members put into new groups, and other changes; `spent` knows who is over the rate limit.

pub mod addresses;
pub mod idle;
pub mod known_keys;
pub mod pace;
pub mod places;
pub mod spent;
pub mod unnamed_proxy;
