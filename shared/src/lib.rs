//! What gateway and worker share: protocol types, envelopes, Redis keys and channels, configuration, tokens, encryption
//! and telemetry. It knows neither SQL nor HTTP nor WebSockets.

pub mod auth;
pub mod clock;
pub mod commands;
pub mod config;
pub mod crypto;
pub mod cursor;
pub mod dialects;
pub mod endpoints;
pub mod events;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod held_ids;
pub mod http;
pub mod ids;
pub mod lifecycle;
pub mod limits;
pub mod memory;
pub mod metadata;
pub mod metrics;
pub mod personal_data;
pub mod protocol;
pub mod publication;
pub mod redis;
pub mod role;
pub mod secret;
pub mod server_api;
pub mod service;
pub mod stream;
pub mod telemetry;
pub mod webhooks;
pub mod wire;
