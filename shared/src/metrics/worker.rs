//! The metrics of the worker.

use crate::commands::NAMES;

/// How commands end.
pub const OUTCOMES: &[&str] = &["applied", "rejected", "retried", "dead_letter", "lease_lost", "passed_on"];

/// If a page was in the cache; `beyond` reaches further back than is cached.
pub const CACHE_RESULTS: &[&str] = &["hit", "miss", "beyond"];

/// Where queries are answered.
pub const DATABASES: &[&str] = &["primary", "replica"];

/// Why the primary answers a query in the replica's place; `docs/deployment.md` explains them.
pub const FALLBACKS: &[&str] = &["lagging", "diverged", "failed", "paused", "unknown"];

/// How delivery attempts of webhooks end.
pub const DELIVERY_OUTCOMES: &[&str] = &["delivered", "failed"];

/// How questions before a message is sent end: as the hook answered, without an answer, without being asked because the hook is down, or
/// because too many were under way.
pub const BEFORE_SEND_OUTCOMES: &[&str] = &["allowed", "rejected", "changed", "failed", "skipped", "busy"];

/// Codes of errors that workers answer with.
pub const REJECTION_CODES: &[&str] = &[
    "VALIDATION_ERROR",
    "USER_BLOCKED",
    "NOT_FOLLOWING",
    "EDIT_WINDOW_EXPIRED",
    "PERMISSION_DENIED",
    "RESOURCE_NOT_FOUND",
    "GROUP_FULL",
    "TOO_MANY_MEMBERS",
    "OWNER_CANNOT_LEAVE",
    "MESSAGE_REJECTED",
    "RATE_LIMIT_EXCEEDED",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_ERROR",
];

crate::metrics_table! {
    /// The metrics of the worker.
    pub struct WorkerMetrics {
        /// Finished commands, by type and outcome; HTTP requests and unreadable entries are `other`.
        pub commands: Family2<Counter> = "chat_worker_commands_total", "type" in NAMES, "outcome" in OUTCOMES;
        /// Rejections sent to clients, by error code.
        pub rejections: Family<Counter> = "chat_worker_rejections_total", "code" in REJECTION_CODES;
        /// Time from a command's arrival at the gateway until a worker reads it: appending and waiting in the stream.
        pub wait_seconds: Histogram = "chat_worker_wait_seconds";
        /// Commands applied in one batch.
        pub batch_size: Histogram = "chat_worker_batch_size";
        /// Time from reading a batch to the end of settling it.
        pub batch_seconds: Histogram = "chat_worker_batch_seconds";
        /// Time of a batch in Postgres.
        pub store_seconds: Histogram = "chat_worker_store_seconds";
        /// Time to publish a batch's results and delete its commands.
        pub settle_seconds: Histogram = "chat_worker_settle_seconds";
        /// Time from a command's arrival at the gateway until it is settled.
        pub command_seconds: Histogram = "chat_worker_command_seconds";
        /// Messages stored.
        pub messages: Counter = "chat_worker_messages_total";
        /// Publications sent.
        pub publications: Counter = "chat_worker_publications_total";
        /// Time of one piece of work of the query lane, from reading it to its answer.
        pub query_seconds: Histogram = "chat_worker_query_seconds";
        /// Queries, by the server that answered them.
        pub queries: Family<Counter> = "chat_worker_queries_total", "database" in DATABASES;
        /// Queries that the primary answered in the replica's place, by reason.
        pub replica_fallbacks: Family<Counter> = "chat_worker_replica_fallbacks_total", "reason" in FALLBACKS;
        /// Missed events sent to users who connected or caught up.
        pub replayed: Counter = "chat_worker_replayed_events_total";
        /// Partitions that this worker owns.
        pub partitions: Gauge = "chat_worker_partitions";
        /// Partitions taken or given back.
        pub lease_moves: Counter = "chat_worker_lease_moves_total";
        /// Stored rows that could not be read and were left out: wrong key, tampered with, or malformed.
        pub unreadable_rows: Counter = "chat_worker_unreadable_rows_total";
        /// Commands rejected because they are not authenticated: written without the encryption key, or by a process
        /// with another key or `WIRE_FORMAT`.
        pub rejected_entries: Counter = "chat_worker_rejected_entries_total";
        /// Commands left for a worker of another version, counted at each attempt.
        pub too_new_entries: Counter = "chat_worker_too_new_entries_total";
        /// Commands that could not be read: sealed with another key, tampered with, or of an unknown version.
        pub unreadable_entries: Counter = "chat_worker_unreadable_entries_total";
        /// Commands in the dead-letter stream.
        pub dead_letters: Gauge = "chat_worker_dead_letters";
        /// Requested pages of history, by cache result.
        pub history_cache: Family<Counter> = "chat_worker_history_cache_total", "result" in CACHE_RESULTS;
        /// Revoked tokens announced to the gateways.
        pub revocations: Counter = "chat_worker_revocations_total";
        /// Webhook endpoints that this worker knows.
        pub webhook_endpoints: Gauge = "chat_worker_webhook_endpoints";
        /// Attempts to deliver webhooks, by outcome.
        pub webhook_deliveries: Family<Counter> = "chat_worker_webhook_deliveries_total", "outcome" in DELIVERY_OUTCOMES;
        /// Time of one attempt to deliver a webhook.
        pub webhook_seconds: Histogram = "chat_worker_webhook_seconds";
        /// Waiting webhook deliveries of all workers, counted up to 100,000.
        pub webhook_waiting: Gauge = "chat_worker_webhook_waiting";
        /// How long the oldest webhook delivery of all workers has waited; 0 if none is waiting.
        pub webhook_oldest_seconds: Gauge = "chat_worker_webhook_oldest_seconds";
        /// Webhook deliveries of all workers that were set aside after `WEBHOOK_RETRY_FOR`, counted up to 100,000.
        pub webhook_set_aside: Gauge = "chat_worker_webhook_set_aside";
        /// Messages and edits that `BEFORE_SEND_URL` was to be asked about, by what came of it.
        pub before_send: Family<Counter> = "chat_worker_before_send_total", "outcome" in BEFORE_SEND_OUTCOMES;
        /// Time of one question before a message is sent, its waiting for others included.
        pub before_send_seconds: Histogram = "chat_worker_before_send_seconds";
        /// How far the machine's clock is ahead of that of Redis, which all processes count by; negative when it is behind.
        pub clock_offset_seconds: Gauge = "chat_worker_clock_offset_seconds";
        /// Open connections to Postgres.
        pub db_connections: Gauge = "chat_worker_db_connections";
        /// Connections to Postgres in use.
        pub db_connections_busy: Gauge = "chat_worker_db_connections_busy";
        /// Maximum number of connections to Postgres that this worker may open.
        pub db_connections_max: Gauge = "chat_worker_db_connections_max";
        /// Lines that were not logged because the reader of the log was too slow.
        pub log_lines_dropped: Counter = "chat_worker_log_lines_dropped_total";
    }
}
