//! Settings that both services read. Some must be the same in all processes of a deployment, and say so.

use std::time::Duration;

use super::ConfigError;
use super::macros::{Reader, settings};
use super::original;
use super::parse::{authorities, boolean, choice, clock_offset, duration, integer, log_filter, secret, text, url};
use super::wire_format::WireFormat;
use crate::crypto::EncryptionSettings;
use crate::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    Development,
    Production,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Text,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceScope {
    All,
    Contacts,
}

settings! {
    /// The settings of both services.
    pub struct CommonSettings {
        /// In production, short or well-known secrets are rejected.
        environment: Environment = "ENVIRONMENT", choice(&[
            ("development", Environment::Development), ("production", Environment::Production),
        ]), default("development");

        /// Redis: a single server, one under sentinels (`redis-sentinel://…?sentinelServiceName=…&node=…`), or a cluster (`redis-cluster://…?node=…`, with some of its nodes).
        redis_url: Secret = "REDIS_URL", url(&[
            "redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel",
        ]), default("redis://127.0.0.1:6379");
        /// Certificate authorities for Redis over TLS, instead of the system's. For PostgreSQL, see `DATABASE_URL`.
        redis_tls_ca: Option<String> = "REDIS_TLS_CA", authorities(), optional;
        /// Prefix of every Redis key and channel, so that deployments can share a Redis. The same in all processes.
        redis_prefix: String = "REDIS_PREFIX", text("up to 32 of `a-z A-Z 0-9 : _ -`", |prefix| {
            prefix.len() <= 32
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte))
        }), default("");
        /// A Redis command that takes longer has failed.
        redis_command_timeout: Duration = "REDIS_COMMAND_TIMEOUT", duration("50ms", "60s"), default("2s");

        /// Key of the encryption at rest; it has key id 1 and can also read the original server's rows.
        encryption_key: Option<Secret> = "CHAT_ENCRYPTION_KEY", secret("text; 32 bytes or more in production").strong(), optional;
        /// Keys for rotation instead of the single one: `id:key` separated by commas, the newest first, ids 1 to 32767. The same in all processes.
        encryption_keys: Option<Secret> = "CHAT_ENCRYPTION_KEYS", secret("list of `id:key`"), optional;
        /// Key of the original server's rows, if `CHAT_ENCRYPTION_KEYS` is used.
        encryption_legacy_key: Option<Secret> = "CHAT_ENCRYPTION_LEGACY_KEY", secret("text"), optional;
        /// Salt of the key derivation. Content sealed with one salt cannot be read with another. The same in all processes.
        encryption_salt: String = "CHAT_ENCRYPTION_SALT", text("text of up to 1024 bytes", |salt| salt.len() <= 1024), default("elitescore-chat");

        /// Format of what travels between gateways and workers. `2`, the default: only data authenticated with the encryption key is written and read. For a rolling upgrade from release 0.1: `1` writes what 0.1 reads, and reads both; `both` writes format 2 and reads both. With either, anyone who can write to Redis can act as any user; see `docs/upgrading.md`. The same in all processes, except during a rollout.
        wire_format: WireFormat = "WIRE_FORMAT", choice(&[
            ("1", WireFormat::One), ("both", WireFormat::Both), ("2", WireFormat::Two),
        ]), default("2");

        /// Which log lines are written.
        log_level: String = "LOG_LEVEL", log_filter(), default("info");
        /// The form of log lines; `auto` is `text` on a terminal and `json` elsewhere.
        log_format: LogFormat = "LOG_FORMAT", choice(&[
            ("json", LogFormat::Json), ("text", LogFormat::Text), ("auto", LogFormat::Auto),
        ]), default("auto");

        /// Where traces are sent: an OpenTelemetry collector that accepts OTLP over HTTP, such as `http://collector:4318`. Without it, nothing is traced.
        otlp_endpoint: Option<Secret> = "OTEL_EXPORTER_OTLP_ENDPOINT", url(&["http"]), optional;
        /// One command in this many is traced.
        trace_one_in: u32 = "TRACE_ONE_IN", integer(1, 1_000_000), default("1000");

        /// Partitions of the ordered lane. The same in all processes; change it only while none of them runs and the streams are empty.
        partitions: u16 = "PARTITIONS", integer(1, 1024), default("64");
        /// A command that has not been applied within this time is rejected.
        command_timeout: Duration = "COMMAND_TIMEOUT", duration("100ms", "5m"), default("10s");
        /// If more commands than this wait in a lane, new ones are rejected with `SERVICE_UNAVAILABLE`.
        backlog_limit: u64 = "BACKLOG_LIMIT", integer(1, 10_000_000), default("50000");
        /// If a lane's oldest waiting command is older, new ones are rejected. A lane that receives more than it can complete accepts only what it completes in half of this time.
        backlog_max_age: Duration = "BACKLOG_MAX_AGE", duration("100ms", "10m"), default("5s");

        /// Longest message content, in characters.
        max_message_length: usize = "MAX_MESSAGE_LENGTH", integer(1, 100_000), default("5000");
        /// Maximum number of members of a group; communities' groups are exempt.
        group_max_members: u32 = "GROUP_MAX_MEMBERS", integer(2, 100_000), default("50");
        /// Largest `offset` of a page. Skipping takes time that grows with the offset; `beforeSeq` reads any distance back without that cost.
        max_offset: u32 = "MAX_OFFSET", integer(0, 1_000_000), default("10000");
        /// Who is told when a user comes online or goes offline: every connected user, or only those who share a conversation, a group or a follow with the user. The same in all processes.
        presence_scope: PresenceScope = "PRESENCE_SCOPE", choice(&[
            ("all", PresenceScope::All), ("contacts", PresenceScope::Contacts),
        ]), default("all");

        /// Accounts and blocks kept by this server (`/api/auth/…`, `block_user`), for running without the main backend. The same in all processes.
        builtin_auth: bool = "BUILTIN_AUTH", boolean(), default("false");

        /// How long a user still counts as online after the last connection closed.
        offline_grace_period: Duration = "OFFLINE_GRACE_PERIOD", duration("0", "1d"), default("60s");

        /// Worker threads; 0 means one per processor. If more processes than processors share a machine, 1 each is fastest.
        runtime_threads: usize = "RUNTIME_THREADS", integer(0, 1024), default("0");
        /// For tests: by how many milliseconds this process shifts its machine's clock forward.
        clock_offset_ms: i64 = "CLOCK_OFFSET_MS", clock_offset(), default("0");
        /// Time to finish work in progress at a shutdown.
        shutdown_timeout: Duration = "SHUTDOWN_TIMEOUT", duration("100ms", "10m"), default("30s");
    }
}

impl CommonSettings {
    /// Reads only these settings, from any source of variables; for tools.
    ///
    /// # Errors
    /// With everything that is missing or wrong.
    pub fn from_source(source: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let original = |name: &str| original::translate(&source, original::Service::Any, name);
        let mut reader = Reader::new(&original);
        original::check(&mut reader, &source, original::Service::Any);
        let settings = Self::read(&mut reader);
        if let Some(settings) = &settings {
            settings.check(&mut reader);
        }
        reader.finish(settings)
    }

    /// The settings that the key ring is derived from. They are valid, because [`Self::check`] was called when they were read.
    ///
    /// # Errors
    /// None for settings that were read; otherwise the text says what is wrong.
    pub fn encryption(&self) -> Result<EncryptionSettings, String> {
        let salt = &self.encryption_salt;
        match (&self.encryption_key, &self.encryption_keys) {
            (Some(key), None) if self.encryption_legacy_key.is_none() => {
                Ok(EncryptionSettings::single(key.expose(), salt))
            }
            (Some(_), None) => Err("CHAT_ENCRYPTION_LEGACY_KEY goes with CHAT_ENCRYPTION_KEYS only".to_owned()),
            (None, Some(keys)) => EncryptionSettings::list(keys.expose(), salt, self.encryption_legacy_key.clone())
                .map_err(|error| format!("CHAT_ENCRYPTION_KEYS: {error}")),
            (Some(_), Some(_)) => {
                Err("CHAT_ENCRYPTION_KEY and CHAT_ENCRYPTION_KEYS are both set, one must go".to_owned())
            }
            (None, None) => Err("CHAT_ENCRYPTION_KEY or CHAT_ENCRYPTION_KEYS is required".to_owned()),
        }
    }

    /// Checks that involve more than one setting.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        if self.redis_tls_ca.is_some() && !self.redis_url.expose().starts_with("rediss") {
            reader.problem("REDIS_TLS_CA is set, but REDIS_URL does not use TLS: it has to begin with rediss");
        }
        match self.encryption() {
            Ok(settings) if self.encryption_keys.is_some() => {
                for (id, key) in &settings.keys {
                    reader.check_strength(&format!("CHAT_ENCRYPTION_KEYS: the key with id {id}"), key.expose());
                }
            }
            Ok(_) => {}
            Err(problem) => reader.problem(problem),
        }
        if reader.production && self.encryption_salt == "salt" {
            // With the legacy salt the keys would be the same, and a row could be passed off as a legacy one, which has no MAC.
            reader
                .problem("CHAT_ENCRYPTION_SALT must not be \"salt\" in production: the original server's rows use it");
        }
    }
}
