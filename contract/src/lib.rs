//! The wire contract as documents, generated from the types of `shared`: AsyncAPI for the WebSocket, OpenAPI for HTTP,
//! and a page for frontend developers; also as the TypeScript types of the SDK. With the feature `check`, what servers
//! send is compared with the checked-in documents.
//!
//! Nothing here is part of a server.

pub mod asyncapi;
#[cfg(feature = "check")]
pub mod check;
pub mod events;
pub mod examples;
pub mod json;
pub mod markdown;
mod meaning;
mod objects;
pub mod openapi;
pub mod schema;
mod server_api;
pub mod typescript;

pub use asyncapi::asyncapi;
pub use openapi::openapi;
pub use typescript::typescript;
