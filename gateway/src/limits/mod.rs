//! What keeps strangers within bounds, before a user is known: connections and requests by address (`addresses`), and
//! connections of the process (`places`).

pub mod addresses;
pub mod places;
