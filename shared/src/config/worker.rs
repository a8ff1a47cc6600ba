//! Settings of the worker.

use std::net::SocketAddr;
use std::time::Duration;

use super::ConfigError;
use super::common::CommonSettings;
use super::macros::{Reader, settings};
use super::net::IpNet;
use super::original;
use super::parse::{
    choice, duration, integer, networks, socket_address, text, url, webhook_events, webhook_secrets, webhook_url,
};
use super::profile_columns::parse_profile_columns;
use crate::redis::tls;
use crate::secret::Secret;
use crate::webhooks::WebhookEvent;

/// What happens if a user writes to another without following them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowPolicy {
    Off,
    Warn,
    Enforce,
}

/// Which users `find_users` finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSearch {
    All,
    Contacts,
    Off,
}

/// Who may add a user to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupAddPolicy {
    All,
    Followed,
    None,
}

/// What becomes of a message when the hook before send does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Allow,
    Reject,
}

settings! {
    /// The settings of the worker.
    pub struct WorkerSettings {
        ..common: CommonSettings;

        /// Address on which it serves probes and metrics.
        bind_addr: SocketAddr = "BIND_ADDR", socket_address(), default("0.0.0.0:9090");
        /// Postgres. With `?sslmode=verify-full&sslrootcert=…` it connects over TLS, and verifies the server's name and certificate with the authorities in that PEM file (or the system's).
        database_url: Secret = "DATABASE_URL", url(&["postgres", "postgresql"]), required;
        /// A streaming replica of Postgres that answers queries, with the same role and options; see `docs/deployment.md`. Without it the primary answers them.
        database_replica_url: Option<Secret> = "DATABASE_REPLICA_URL", url(&["postgres", "postgresql"]), optional;
        /// Maximum number of connections to Postgres, in addition to two for leases and heartbeats, and one with `DATABASE_REPLICA_URL`.
        db_max_connections: u32 = "DB_MAX_CONNECTIONS", integer(2, 1_000), default("10");
        /// Connections to Postgres that are kept open.
        db_min_connections: u32 = "DB_MIN_CONNECTIONS", integer(0, 1_000), default("2");
        /// An idle connection to Postgres is closed after this time.
        db_idle_timeout: Duration = "DB_IDLE_TIMEOUT", duration("1s", "1d"), default("30s");
        /// Longest wait for a connection to Postgres.
        db_connection_timeout: Duration = "DB_CONNECTION_TIMEOUT", duration("50ms", "5m"), default("2s");
        /// Longest run of one statement.
        db_statement_timeout: Duration = "DB_STATEMENT_TIMEOUT", duration("100ms", "1h"), default("30s");
        /// Prepared statements kept per connection. Set 0 behind a pooler in transaction mode: each statement is then sent
        /// unprepared, in its own transaction with its session settings.
        db_statement_cache: usize = "DB_STATEMENT_CACHE", integer(0, 10_000), default("200");

        /// The names of the columns of `user_profile_info`, if they are not `user_id` or `user_id_serial`, `display_name` or `first_name` and `last_name`, `bio`, `profile_picture`. `chatctl migrate` applies it and needs the same value as the workers.
        profile_columns: String = "PROFILE_COLUMNS", text("`field=column` separated by commas", |columns| parse_profile_columns(columns).is_some()), default("");

        /// How many batches of the ordered lane run at a time.
        worker_pipelines: u32 = "WORKER_PIPELINES", integer(1, 64), default("2");
        /// Maximum number of commands in a batch.
        batch_max: usize = "BATCH_MAX", integer(1, 10_000), default("256");
        /// How many queries run at a time; fewer if `DB_MAX_CONNECTIONS` would leave no connections for sessions and batches.
        query_concurrency: usize = "QUERY_CONCURRENCY", integer(1, 1_000), default("8");
        /// How many queries of one user run at a time in this process; further ones wait without delaying other users.
        query_concurrency_per_user: usize = "QUERY_CONCURRENCY_PER_USER", integer(1, 1_000), default("2");
        /// How much time one user's queries may take per second in this process, with bursts of five times as much; further ones wait. The bytes of their answers count, too: 8 MiB count as one second.
        query_time_per_user: Duration = "QUERY_TIME_PER_USER", duration("1ms", "1h"), default("250ms");
        /// A partition whose owner does not renew its lease for this long is taken over.
        lease_ttl: Duration = "LEASE_TTL", duration("500ms", "5m"), default("6s");
        /// How often leases are renewed and redistributed.
        lease_interval: Duration = "LEASE_INTERVAL", duration("50ms", "1m"), default("500ms");
        /// Attempts after which a failing command goes to the dead-letter stream.
        dlq_attempts: u32 = "DLQ_ATTEMPTS", integer(1, 1_000), default("5");

        /// How long a sender may edit a message.
        edit_window: Duration = "EDIT_WINDOW", duration("0", "365d"), default("300s");
        /// Writing to a user whom the sender does not follow: allowed, allowed with a warning, or rejected.
        follow_policy: FollowPolicy = "FOLLOW_POLICY", choice(&[
            ("off", FollowPolicy::Off), ("warn", FollowPolicy::Warn), ("enforce", FollowPolicy::Enforce),
        ]), default("warn");
        /// Which users `find_users` finds: all, those who share a conversation, a group or a follow with the caller, or none. If not set, it is `all` with `BUILTIN_AUTH` and otherwise `contacts`.
        user_search: Option<UserSearch> = "USER_SEARCH", choice(&[
            ("all", UserSearch::All), ("contacts", UserSearch::Contacts), ("off", UserSearch::Off),
        ]), optional;
        /// Who may add a user to a group: everyone, only those whom the user follows, or nobody. Communities are exempt.
        group_add_policy: GroupAddPolicy = "GROUP_ADD_POLICY", choice(&[
            ("all", GroupAddPolicy::All), ("followed", GroupAddPolicy::Followed), ("none", GroupAddPolicy::None),
        ]), default("all");
        /// How many users that they do not follow a user may start writing to per day. Each worker enforces it separately, so a few more may get through.
        new_conversation_limit: u32 = "NEW_CONVERSATION_LIMIT", integer(1, 1_000_000), default("100");
        /// How many groups a user may create per hour.
        group_create_limit: u32 = "GROUP_CREATE_LIMIT", integer(1, 1_000_000), default("30");
        /// How many groups a user may be in; communities' groups do not count. Users whom a user does not follow can add that user only while the user is in fewer than half as many groups that others created.
        max_groups_per_user: u32 = "MAX_GROUPS_PER_USER", integer(1, 100_000), default("2000");
        /// How many messages a user may report within 24 hours.
        report_limit: u32 = "REPORT_LIMIT", integer(1, 1_000_000), default("100");
        /// Deliveries to members of large groups (of 100 and more) that a user may cause per minute: a message, a reaction or a typing sign counts once for every member, and a mention of everyone five times more. Each worker counts separately.
        deliveries_per_minute: u32 = "DELIVERIES_PER_MINUTE", integer(100, 1_000_000_000), default("300000");
        /// Maximum number of events that wait for a user, and of those that a conversation keeps for all its participants. Older ones are dropped; clients get what they missed with `sync` or from the history.
        waiting_events_per_user: u32 = "WAITING_EVENTS_PER_USER", integer(100, 10_000_000), default("10000");
        /// How many users `get_online_users` lists; the caller's contacts come first.
        online_users_limit: u32 = "ONLINE_USERS_LIMIT", integer(1, 10_000), default("1000");
        /// In a group with more members than this, `@everyone` and `@all` mention nobody unless an owner or admin writes them.
        everyone_group_size: u32 = "EVERYONE_GROUP_SIZE", integer(1, 1_000_000), default("100");
        /// Maximum number of missed events replayed to a user.
        replay_limit: u32 = "REPLAY_LIMIT", integer(1, 100_000), default("1000");
        /// How long messages are kept; without it for good. `chatctl conversation retention` sets another time for one conversation. Messages go in parts, up to a day late. Must be the same at all workers.
        retention: Option<Duration> = "RETENTION", duration("1h", "36500d"), optional;
        /// How long delivered queue rows are kept.
        event_retention_delivered: Duration = "EVENT_RETENTION_DELIVERED", duration("1m", "3650d"), default("7d");
        /// How long undelivered queue rows are kept, and events for all participants of a conversation.
        event_retention_undelivered: Duration = "EVENT_RETENTION_UNDELIVERED", duration("1m", "3650d"), default("30d");
        /// How long changes of a conversation are kept for `sync`; the newest 10,000 are always kept.
        changes_retention: Duration = "CHANGES_RETENTION", duration("1m", "3650d"), default("30d");
        /// How long a deleted group is kept before it is purged.
        group_purge_after: Duration = "GROUP_PURGE_AFTER", duration("0", "3650d"), default("30d");
        /// How long entries of the audit log are kept.
        audit_retention: Duration = "AUDIT_RETENTION", duration("1h", "36500d"), default("365d");
        /// Where the product's own backend is asked before a message of a user is stored or edited; see `docs/integrate.md`. Without it nobody is asked. Must be the same at all workers.
        before_send_url: Option<String> = "BEFORE_SEND_URL", webhook_url(), optional;
        /// What these questions are signed with, as `WEBHOOK_SECRETS`.
        before_send_secrets: Option<Secret> = "BEFORE_SEND_SECRETS", webhook_secrets(), optional;
        /// A question that is not answered in this time has failed.
        before_send_timeout: Duration = "BEFORE_SEND_TIMEOUT", duration("50ms", "5s"), default("1s");
        /// Questions under way at a time, in this process; further ones wait, and their time passes.
        before_send_concurrency: usize = "BEFORE_SEND_CONCURRENCY", integer(1, 1_024), default("64");
        /// What becomes of a message when the question failed: it is sent all the same, or rejected with `SERVICE_UNAVAILABLE`.
        before_send_on_failure: OnFailure = "BEFORE_SEND_ON_FAILURE", choice(&[
            ("allow", OnFailure::Allow), ("reject", OnFailure::Reject),
        ]), default("allow");
        /// Where the product's own backend receives events, in addition to the endpoints of `chatctl webhook`; see `docs/integrate.md`. Without it there is no such endpoint.
        webhook_url: Option<String> = "WEBHOOK_URL", webhook_url(), optional;
        /// The events it receives, separated by commas; `all` stands for all except `user.online` and `user.offline`.
        webhook_events: Vec<WebhookEvent> = "WEBHOOK_EVENTS", webhook_events(), default("all");
        /// The secret that signs its deliveries: 24 to 64 bytes in base64, with or without the prefix `whsec_`; two, separated by a comma, during a change.
        webhook_secrets: Option<Secret> = "WEBHOOK_SECRETS", webhook_secrets(), optional;
        /// Networks in which webhook endpoints may have private addresses and may use `http://`.
        webhook_allowed_networks: Vec<IpNet> = "WEBHOOK_ALLOWED_NETWORKS", networks(), default("");
        /// A delivery without an answer within this time has failed.
        webhook_timeout: Duration = "WEBHOOK_TIMEOUT", duration("100ms", "60s"), default("10s");
        /// How many deliveries to one endpoint run at a time in this process; those of one conversation are sent one after the other. There may be up to 16 endpoints, and each has its own limit.
        webhook_concurrency: usize = "WEBHOOK_CONCURRENCY", integer(1, 256), default("16");
        /// The longest pause between two attempts of a delivery.
        webhook_max_pause: Duration = "WEBHOOK_MAX_PAUSE", duration("100ms", "1h"), default("5m");
        /// How long a delivery is attempted; then it is set aside, for `chatctl webhook`.
        webhook_retry_for: Duration = "WEBHOOK_RETRY_FOR", duration("1s", "30d"), default("24h");
        /// How long deliveries are kept after they were set aside.
        webhook_kept: Duration = "WEBHOOK_KEPT", duration("1m", "3650d"), default("30d");
        /// A user who comes back after this long causes `user.returned`.
        webhook_returned_after: Duration = "WEBHOOK_RETURNED_AFTER", duration("1s", "3650d"), default("7d");
        /// Cached messages per conversation; 0 turns the cache off.
        cache_messages: u32 = "CACHE_MESSAGES", integer(0, 1_000), default("100");
        /// How long cached messages live.
        cache_ttl: Duration = "CACHE_TTL", duration("1s", "7d"), default("1h");
        /// Entries of the profile-picture cache.
        pfp_cache_max_size: usize = "PFP_CACHE_MAX_SIZE", integer(0, 1_000_000), default("1000");
        /// How long an entry of the profile-picture cache is used.
        pfp_cache_duration: Duration = "PFP_CACHE_DURATION_MS", duration("0", "1d"), default("5m");
    }
}

impl WorkerSettings {
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
        let original = |name: &str| original::translate(&source, original::Service::Worker, name);
        let mut reader = Reader::new(&original);
        original::check(&mut reader, &source, original::Service::Worker);
        let settings = Self::read(&mut reader);
        if let Some(settings) = &settings {
            settings.check(&mut reader);
        }
        reader.finish(settings)
    }

    /// Which users `find_users` finds.
    pub fn user_search(&self) -> UserSearch {
        let default = if self.common.builtin_auth { UserSearch::All } else { UserSearch::Contacts };
        self.user_search.unwrap_or(default)
    }

    fn check(&self, reader: &mut Reader<'_>) {
        check_database_tls("DATABASE_URL", self.database_url.expose(), reader);
        if let Some(replica) = &self.database_replica_url {
            check_database_tls("DATABASE_REPLICA_URL", replica.expose(), reader);
        }
        if self.db_min_connections > self.db_max_connections {
            reader.problem("DB_MIN_CONNECTIONS must not be more than DB_MAX_CONNECTIONS");
        }
        if self.worker_pipelines >= self.db_max_connections {
            reader
                .problem("WORKER_PIPELINES must be less than DB_MAX_CONNECTIONS, or queries would find no connection");
        }
        if self.lease_ttl < self.lease_interval * 4 {
            reader.problem("LEASE_TTL must be at least four times LEASE_INTERVAL");
        }
        if self.webhook_url.is_some() && self.webhook_secrets.is_none() {
            reader.problem("WEBHOOK_SECRETS must be set with WEBHOOK_URL: deliveries are signed");
        }
        if self.before_send_url.is_some() && self.before_send_secrets.is_none() {
            reader.problem("BEFORE_SEND_SECRETS must be set with BEFORE_SEND_URL: questions are signed");
        }
        if self.event_retention_undelivered < self.event_retention_delivered {
            reader.problem("EVENT_RETENTION_UNDELIVERED must not be less than EVENT_RETENTION_DELIVERED");
        }
    }
}

/// Problems that the connection would find only later, or never.
fn check_database_tls(name: &str, url: &str, reader: &mut Reader<'_>) {
    let parameters = || url.split_once('?').into_iter().flat_map(|(_, query)| query.split('&'));
    let value = |names: &[&str]| {
        let mut pairs = parameters().filter_map(|parameter| parameter.split_once('='));
        pairs.find(|(name, _)| names.contains(name)).map(|(_, value)| value)
    };
    let Some(authorities) = value(&["sslrootcert", "ssl-root-cert", "ssl-ca"]) else { return };
    if !matches!(value(&["sslmode", "ssl-mode"]), Some("verify-full" | "verify-ca")) {
        reader.problem(format!("{name}: sslrootcert verifies nothing without sslmode=verify-full (or verify-ca)"));
    }
    // A path with escapes is left to the connection.
    if !authorities.contains('%')
        && let Err(problem) = tls::read_authorities(authorities)
    {
        reader.problem(format!("{name}: sslrootcert: {problem}"));
    }
}
