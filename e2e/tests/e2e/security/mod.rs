//! What attackers and operators meet: rights in the stores, plaintext at rest, limits, erasure.

mod audit;
mod limits;
mod stores;
