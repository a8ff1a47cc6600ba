//! What keeps strangers within bounds, before a user is known: connections and requests by address (`addresses`), connections of
//! the process (`places`), and which HTTP connection gives up its place (`idle`).

pub mod addresses;
pub mod idle;
pub mod places;
