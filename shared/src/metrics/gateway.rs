//! The metrics of the gateway.

use crate::commands::NAMES;

const CLOSE_CODES: &[&str] = &["1000", "1001", "1002", "1005", "1006", "1007", "1008", "1009", "1011", "1012", "1013"];

const ERROR_CODES: &[&str] = &[
    "AUTH_REQUIRED",
    "VALIDATION_ERROR",
    "INVALID_JSON",
    "UNKNOWN_TYPE",
    "RATE_LIMIT_EXCEEDED",
    "MAX_CONNECTIONS_EXCEEDED",
    "SERVICE_UNAVAILABLE",
    "INTERNAL_ERROR",
    "TOKEN_MISSING",
    "TOKEN_INVALID",
    "TOKEN_EXPIRED",
];

/// The lanes of commands, as label values.
pub const LANES: &[&str] = &["ordered", "queries"];

crate::metrics_table! {
    /// The metrics of the gateway.
    pub struct GatewayMetrics {
        /// Open WebSocket connections.
        pub connections: Gauge = "gateway_connections";
        /// Open WebSocket connections that are not yet authenticated.
        pub pending: Gauge = "gateway_connections_pending";
        /// WebSocket connections accepted since the start.
        pub accepted: Counter = "gateway_connections_accepted_total";
        /// Closed WebSocket connections, by close code; 1005 without a code, 1006 without a close frame.
        pub closed: Family<Counter> = "gateway_connections_closed_total", "code" in CLOSE_CODES;
        /// Sessions that ended with a panic.
        pub session_panics: Counter = "gateway_session_panics_total";
        /// WebSocket messages received.
        pub frames_received: Counter = "gateway_frames_received_total";
        /// WebSocket frames sent.
        pub frames_sent: Counter = "gateway_frames_sent_total";
        /// Bytes received on WebSockets.
        pub bytes_received: Counter = "gateway_received_bytes_total";
        /// Bytes sent on WebSockets.
        pub bytes_sent: Counter = "gateway_sent_bytes_total";
        /// Read system calls on WebSockets.
        pub reads: Counter = "gateway_socket_reads_total";
        /// Write system calls on WebSockets.
        pub writes: Counter = "gateway_socket_writes_total";
        /// Commands accepted, by type.
        pub commands: Family<Counter> = "gateway_commands_total", "type" in NAMES;
        /// Errors sent by the gateway itself, by code.
        pub errors: Family<Counter> = "gateway_errors_total", "code" in ERROR_CODES;
        /// Time from a command's arrival to its answer, by type.
        pub answer_seconds: Family<Histogram> = "gateway_answer_seconds", "type" in NAMES;
        /// Time from a token's arrival to the open session.
        pub authenticate_seconds: Histogram = "gateway_authenticate_seconds";
        /// Commands appended in one round trip.
        pub append_batch_size: Histogram = "gateway_append_batch_size";
        /// Time of one such round trip.
        pub append_seconds: Histogram = "gateway_append_seconds";
        /// Commands waiting to be appended.
        pub append_queue: Gauge = "gateway_append_queue";
        /// Commands whose answer did not arrive in time.
        pub unanswered: Counter = "gateway_commands_unanswered_total";
        /// Publications received, by kind.
        pub publications: Family<Counter> = "gateway_publications_total", "kind" in &["answer", "internal", "event", "membership", "revocation", "report", "operator", "probe"];
        /// Publications rejected because they are not authenticated: written without the encryption key, or by a
        /// process with another key or `WIRE_FORMAT`.
        pub rejected: Counter = "gateway_publications_rejected_total";
        /// Publications that could not be read, including rejected ones.
        pub unreadable: Counter = "gateway_publications_unreadable_total";
        /// Interruptions of a subscription; after each, the sessions that it concerns catch up.
        pub interruptions: Counter = "gateway_subscription_interruptions_total";
        /// Messages and events lost on the way here; the connections concerned still get them.
        pub gaps: Counter = "gateway_gaps_total";
        /// Messages that were published again after they had arrived; they are dropped.
        pub repetitions: Counter = "gateway_repetitions_total";
        /// Time from publishing until this gateway receives the publication, measured every second with its own probe.
        pub subscription_lag_seconds: Histogram = "gateway_subscription_lag_seconds";
        /// Channels subscribed to.
        pub channels: Gauge = "gateway_channels";
        /// Ephemeral events dropped because a client reads slowly.
        pub outbox_dropped: Counter = "gateway_outbox_dropped_total";
        /// Connections closed because the client reads too slowly.
        pub slow_consumers: Counter = "gateway_slow_consumers_total";
        /// Receipts passed on to workers.
        pub receipts: Counter = "gateway_receipts_total";
        /// Receipts dropped at a bound; their events are replayed again.
        pub receipts_dropped: Counter = "gateway_receipts_dropped_total";
        /// Commands waiting, by lane: the ordered one (all partitions together) and the query lane.
        pub backlog: Family<Gauge> = "gateway_backlog", "lane" in LANES;
        /// Age of the oldest command waiting, by lane (for the partitions, the oldest of all).
        pub backlog_age_seconds: Family<Gauge> = "gateway_backlog_age_seconds", "lane" in LANES;
        /// Lanes that accept no commands at the moment.
        pub lanes_refusing: Gauge = "gateway_lanes_refusing";
        /// Rejections by a rate limit: messages and other commands of a user, sessions opened and changes made at once by a user, requests of an address.
        pub rate_limited: Family<Counter> = "gateway_rate_limited_total", "limit" in &["changes", "messages", "requests", "sessions"];
        /// HTTP requests, including upgrades.
        pub http_requests: Counter = "gateway_http_requests_total";
        /// HTTP connections closed to make room for new ones.
        pub http_evicted: Counter = "gateway_http_connections_evicted_total";
        /// How far the machine's clock is ahead of the clock of Redis, which all processes use; negative when it is
        /// behind.
        pub clock_offset_seconds: Gauge = "gateway_clock_offset_seconds";
        /// Resident memory of the process.
        pub resident_bytes: Gauge = "gateway_resident_bytes";
        /// Lines that were not logged because the reader of the log was too slow.
        pub log_lines_dropped: Counter = "gateway_log_lines_dropped_total";
    }
}
