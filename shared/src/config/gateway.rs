//! Settings of the gateway.

use std::net::SocketAddr;
use std::time::Duration;

use super::ConfigError;
use super::common::CommonSettings;
use super::macros::{Reader, settings};
use super::net::{AllowedOrigins, TrustedProxies};
use super::original;
use super::parse::{
    Parser, allowed_origins, boolean, byte_size, checked_secret, dialect, duration, integer, origins, secret,
    socket_address, text, trusted_proxies, web_address,
};
use crate::auth::TokenVerifier;
use crate::dialects::Dialect;
use crate::secret::Secret;

settings! {
    /// The settings of the gateway.
    pub struct GatewaySettings {
        ..common: CommonSettings;

        /// Address on which it listens for WebSockets and HTTP.
        bind_addr: SocketAddr = "BIND_ADDR", socket_address(), default("0.0.0.0:8080");
        /// A separate listener for `/live`, `/ready`, `/health` and `/metrics`, on which clients cannot crowd out probes. `/metrics` is then served only there. Without it they are served on `BIND_ADDR`.
        admin_addr: Option<SocketAddr> = "ADMIN_ADDR", socket_address(), optional;
        /// Certificate chain for TLS at the gateway itself, a PEM file, with `TLS_KEY`; a replaced file is loaded within seconds. The gateway then accepts only TLS.
        tls_cert: Option<String> = "TLS_CERT", text("path of a file", |path| !path.is_empty()), optional;
        /// The certificate's private key, a PEM file.
        tls_key: Option<String> = "TLS_KEY", text("path of a file", |path| !path.is_empty()), optional;
        /// Key of the HS256 tokens, the same as the main backend's. Not required with `JWKS_URL`; tokens are then accepted from either.
        jwt_secret: Option<Secret> = "JWT_SECRET", token_secret(), unless("JWKS_URL");
        /// The previous key, while the main backend changes it: tokens signed with either are accepted.
        jwt_secret_previous: Option<Secret> = "JWT_SECRET_PREVIOUS", token_secret(), optional;
        /// Where an issuer publishes the public keys of its tokens (a JWK Set): RS256, ES256 and EdDSA, chosen by `kid`. Read at the start, every 5 minutes, and when a token names an unknown key; kept if the issuer does not answer. `http` only outside production.
        jwks_url: Option<String> = "JWKS_URL", web_address(), optional;
        /// The `iss` of the tokens under `JWKS_URL`, which needs it.
        token_issuer: Option<String> = "TOKEN_ISSUER", text("text", |text| !text.is_empty()), optional;
        /// What the tokens under `JWKS_URL` must name in `aud`. Set it wherever the issuer signs tokens for other services, too.
        token_audience: Option<String> = "TOKEN_AUDIENCE", text("text", |text| !text.is_empty()), optional;
        /// The claim of the tokens under `JWKS_URL` that holds the user id, as a number or its digits.
        token_user_claim: String = "TOKEN_USER_CLAIM", text("name of a claim", |text| !text.is_empty()), default("sub");
        /// Bearer token of `POST /community/progression`; without it the endpoint does not exist.
        community_sync_token: Option<Secret> = "COMMUNITY_SYNC_TOKEN", secret("text; 32 bytes or more in production").strong(), optional;
        /// Largest body of `POST /community/progression`.
        community_sync_max_payload_bytes: usize = "COMMUNITY_SYNC_MAX_PAYLOAD", byte_size("1KiB", "16MiB"), default("256KiB");
        /// Origins from which browser pages may connect.
        allowed_origins: AllowedOrigins = "ALLOWED_ORIGINS", allowed_origins(), default("*");
        /// Folder with the built web client, read once at the start; without it `GET /` answers 426.
        web_root: Option<String> = "WEB_ROOT", text("path of a folder", |path| !path.is_empty()), optional;
        /// Origins of the pages that may embed the web client and give it a token.
        frame_ancestors: Vec<String> = "FRAME_ANCESTORS", origins(), default("");
        /// Peers whose `X-Forwarded-For` is trusted.
        trusted_proxies: TrustedProxies = "TRUSTED_PROXIES", trusted_proxies(), default("");

        /// Maximum number of connections of this process.
        max_connections: usize = "MAX_CONNECTIONS", integer(1, 10_000_000), default("50000");
        /// Connections of an address, over all gateways. On each gateway it may have 54 more TCP connections for HTTP; trusted proxies have no such limit.
        max_connections_per_ip: u32 = "MAX_CONNECTIONS_PER_IP", integer(1, 10_000_000), default("10");
        /// Connections of a user on this gateway. Twice as many may be opened at once, and then a tenth of them in a second; further ones wait.
        max_connections_per_user: usize = "MAX_CONNECTIONS_PER_USER", integer(1, 10_000), default("20");
        /// Connections of this process that are not yet authenticated.
        max_pending: usize = "MAX_PENDING", integer(1, 10_000_000), default("5000");
        /// Upgrades and HTTP requests of an address within `IP_RATE_WINDOW`, over all gateways. A sixtieth of them, but at least 10, may come to a gateway at once, and as many in each second; further ones wait.
        ip_rate_limit: u32 = "IP_RATE_LIMIT", integer(1, 1_000_000_000), default("3000");
        /// Failed tokens of an address within `IP_RATE_WINDOW`, over all gateways; after that a failed token closes the connection.
        ip_auth_failure_limit: u32 = "IP_AUTH_FAILURE_LIMIT", integer(1, 1_000_000_000), default("100");
        /// Accounts that an address may register within `IP_RATE_WINDOW`, over all gateways (`BUILTIN_AUTH`).
        ip_registration_limit: u32 = "IP_REGISTRATION_LIMIT", integer(1, 1_000_000_000), default("500");
        /// The sliding window of `IP_RATE_LIMIT`, `IP_AUTH_FAILURE_LIMIT` and `IP_REGISTRATION_LIMIT`.
        ip_rate_window: Duration = "IP_RATE_WINDOW", duration("1s", "1d"), default("15m");
        /// Messages of a user within a sliding window of 60 seconds, over all gateways; the limit for all other commands is ten times as high.
        message_rate_limit: u32 = "MESSAGE_RATE_LIMIT", integer(1, 1_000_000_000), default("240");
        /// Requests of an API key within a minute, over all gateways.
        api_key_rate_limit: u32 = "API_KEY_RATE_LIMIT", integer(1, 1_000_000_000), default("6000");
        /// Largest message from a client, over all its frames and decompressed.
        max_payload_bytes: usize = "MAX_PAYLOAD_SIZE", byte_size("1KiB", "64MiB"), default("1MiB");
        /// Bytes that one connection may send in a second, decompressed, each frame counting as 256 more; a quiet one may send four times as many at once. The rest is read later.
        inbound_rate_bytes: usize = "INBOUND_RATE", byte_size("16KiB", "1GiB"), default("1MiB");
        /// Bytes that may wait for one client, plus 128 for each waiting frame; above it the client is closed as too slow. For one second three times as many may wait, and large answers do not count.
        outbox_limit_bytes: usize = "OUTBOX_LIMIT", byte_size("64KiB", "256MiB"), default("2MiB");
        /// Commands of one connection that are not yet answered.
        max_in_flight: usize = "MAX_IN_FLIGHT", integer(1, 100_000), default("256");

        /// Time to authenticate after connecting.
        auth_timeout: Duration = "AUTH_TIMEOUT", duration("1s", "10m"), default("30s");
        /// A connection without a text message for this long is closed; 0 turns this off.
        connection_timeout: Duration = "CONNECTION_TIMEOUT", duration("0", "7d"), default("300s");
        /// A connection that receives no frame, not even a pong, for this long is closed.
        keep_alive_timeout: Duration = "KEEP_ALIVE_TIMEOUT", duration("1s", "1h"), default("60s");
        /// How often a connection is pinged.
        ping_interval: Duration = "PING_INTERVAL", duration("500ms", "1h"), default("30s");
        /// Time over which connections are closed at a shutdown, so that clients do not all reconnect at once.
        drain_window: Duration = "DRAIN_WINDOW", duration("0", "10m"), default("20s");
        /// Follows the `traceparent` header of the request that opens a connection, if it is sampled. Anyone who connects can send one.
        follow_traceparent: bool = "FOLLOW_TRACEPARENT", boolean(), default("false");
        /// A new connection of a user replaces the older one.
        single_connection_per_user: bool = "SINGLE_CONNECTION_PER_USER", boolean(), default("false");
        /// The dialect of HTTP, and of connections without a WebSocket subprotocol: `chat.v1`, or `original`, which the clients of the replaced server speak.
        default_dialect: Dialect = "DEFAULT_DIALECT", dialect(), default("chat.v1");
        /// How often the positions up to which users received messages are passed on to workers.
        cursor_flush_interval: Duration = "CURSOR_FLUSH_INTERVAL", duration("100ms", "5m"), default("5s");
    }
}

impl GatewaySettings {
    /// Reads the process environment and the files it names. Blocks on those; call it before the runtime starts.
    ///
    /// # Errors
    /// With everything that is missing or wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_source(|name| std::env::var(name).ok())
    }

    /// Like [`Self::from_env`], from any source of variables.
    ///
    /// # Errors
    /// With everything that is missing or wrong.
    pub fn from_source(source: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let original = |name: &str| original::translate(&source, original::Service::Gateway, name);
        let mut reader = Reader::new(&original);
        original::check(&mut reader, &source, original::Service::Gateway);
        let settings = Self::read(&mut reader);
        if let Some(settings) = &settings {
            settings.check(&mut reader);
        }
        reader.finish(settings)
    }

    fn check(&self, reader: &mut Reader<'_>) {
        if self.ping_interval >= self.keep_alive_timeout {
            reader.problem("PING_INTERVAL must be less than KEEP_ALIVE_TIMEOUT, or quiet clients would be cut off");
        }
        if self.drain_window > self.common.shutdown_timeout {
            reader.problem("DRAIN_WINDOW must not be more than SHUTDOWN_TIMEOUT");
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            reader.problem("TLS_CERT and TLS_KEY go together: one is set and the other is not");
        }
        self.check_tokens(reader);
        if self.max_pending > self.max_connections {
            reader.problem("MAX_PENDING must not be more than MAX_CONNECTIONS");
        }
        if self.outbox_limit_bytes < self.max_payload_bytes {
            reader.problem("OUTBOX_LIMIT must not be less than MAX_PAYLOAD_SIZE");
        }
        // A character takes up to 12 bytes in JSON (two \u escapes); 4 KiB allow for the rest of the command.
        if self.max_payload_bytes < self.common.max_message_length * 12 + 4096 {
            reader.problem("MAX_PAYLOAD_SIZE is too small for a message of MAX_MESSAGE_LENGTH characters");
        }
    }

    fn check_tokens(&self, reader: &mut Reader<'_>) {
        if self.jwt_secret.is_none() && self.jwt_secret_previous.is_some() {
            reader.problem("JWT_SECRET_PREVIOUS is set, and JWT_SECRET is not");
        }
        if self.jwt_secret.is_none() && self.common.builtin_auth {
            reader.problem("JWT_SECRET is required with BUILTIN_AUTH, which signs tokens with it");
        }
        match &self.jwks_url {
            Some(url) if reader.production && !url.starts_with("https://") => {
                reader
                    .problem("JWKS_URL must begin with https:// in production, or others could insert their own keys");
            }
            Some(_) if self.token_issuer.is_none() => reader.problem("TOKEN_ISSUER is required with JWKS_URL"),
            None if self.token_issuer.is_some() || self.token_audience.is_some() => {
                reader.problem("TOKEN_ISSUER and TOKEN_AUDIENCE go with JWKS_URL, which is not set");
            }
            Some(_) | None => {}
        }
    }
}

fn token_secret() -> Parser<Secret> {
    checked_secret("base64 of at least 32 bytes", |text| {
        TokenVerifier::new(text).map(drop).map_err(|error| error.to_string())
    })
    .strong()
}
