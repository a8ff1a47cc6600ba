//! `message_reports`: messages that users have reported, without their content.

use std::time::Duration;

use super::columns::Typed;
use super::session::{PgSession, interval};
use shared::http::ReportState;
use shared::ids::{ConversationId, MessageId, ReportId, UserId};
use time::OffsetDateTime;

pub struct NewReport<'a> {
    pub report_id: ReportId,
    pub message: MessageId,
    pub conversation: ConversationId,
    pub sender: UserId,
    pub reporter: UserId,
    /// Sealed under the id.
    pub reason: &'a [u8],
}

/// A user's report of a message.
pub struct OwnReport {
    pub report_id: ReportId,
    pub reported_at: OffsetDateTime,
}

pub async fn find_own(db: &mut PgSession, reporter: UserId, message: MessageId) -> sqlx::Result<Option<OwnReport>> {
    sqlx::query_as!(
        OwnReport,
        "SELECT report_id, reported_at FROM message_reports WHERE reporter_id = $1 AND message_id = $2",
        reporter.0,
        message.0
    )
    .fetch_optional(db)
    .await
}

/// Stores a report; returns the time of it.
///
/// # Errors
/// A unique violation when another command of the reporter has just reported the message; the next attempt finds it.
pub async fn insert_report(db: &mut PgSession, new: &NewReport<'_>) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        "INSERT INTO message_reports (report_id, message_id, conversation_id, sender_id, reporter_id, reason)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING reported_at",
        new.report_id.0,
        new.message.0,
        new.conversation.to_string(),
        new.sender.0,
        new.reporter.0,
        new.reason
    )
    .fetch_one(db)
    .await
}

/// The number of reports that a user made.
pub struct Reported {
    /// Within the last day.
    pub lately: i64,
    /// Seconds until the first of those is older than that.
    pub wait_seconds: i32,
}

pub async fn get_reported(db: &mut PgSession, reporter: UserId) -> sqlx::Result<Reported> {
    sqlx::query_as!(
        Reported,
        r#"SELECT count(*) AS "lately!",
               coalesce(ceil(extract(epoch FROM min(reported_at) + interval '1 day' - now())), 0)::int AS "wait_seconds!"
           FROM message_reports WHERE reporter_id = $1 AND reported_at > now() - interval '1 day'"#,
        reporter.0
    )
    .fetch_one(db)
    .await
}

/// An open report.
pub struct ReportRow {
    pub report_id: ReportId,
    pub message_id: MessageId,
    pub conversation_id: ConversationId,
    pub sender_id: UserId,
    pub reporter_id: UserId,
    /// Sealed under the id.
    pub reason: Vec<u8>,
    pub reported_at: OffsetDateTime,
}

/// Open reports after one of them, oldest first; at most `limit`.
pub async fn list_open(db: &mut PgSession, after: Option<ReportId>, limit: i64) -> sqlx::Result<Vec<ReportRow>> {
    sqlx::query_as!(
        ReportRow,
        r#"SELECT report_id, message_id, conversation_id AS "conversation_id: Typed<ConversationId>", sender_id, reporter_id,
               reason, reported_at
           FROM message_reports WHERE state = 'open' AND ($1::uuid IS NULL OR report_id > $1)
           ORDER BY report_id LIMIT $2"#,
        after.map(|report| report.0),
        limit
    )
    .fetch_all(db)
    .await
}

/// Closes a report, as the audit log names who does it. A closed one stays as it is. Returns its message and sender, and if
/// it was open; `None` if there is none.
pub async fn update_closed(
    db: &mut PgSession,
    report: ReportId,
    state: ReportState,
    closed_by: &str,
) -> sqlx::Result<Option<Closed>> {
    sqlx::query_as!(
        Closed,
        r#"WITH closed AS (
               UPDATE message_reports SET state = $2, closed_at = now(), closed_by = $3
               WHERE report_id = $1 AND state = 'open' RETURNING report_id
           )
           SELECT r.message_id, r.sender_id, r.conversation_id AS "conversation_id: Typed<ConversationId>",
               EXISTS (SELECT FROM closed) AS "was_open!"
           FROM message_reports r WHERE r.report_id = $1"#,
        report.0,
        state.as_str(),
        closed_by
    )
    .fetch_optional(db)
    .await
}

pub struct Closed {
    pub message_id: MessageId,
    pub sender_id: UserId,
    pub conversation_id: ConversationId,
    pub was_open: bool,
}

/// Deletes up to `limit` reports that were closed longer ago than `age`; returns how many.
pub async fn delete_closed(db: &mut PgSession, age: Duration, limit: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM message_reports WHERE report_id IN (
             SELECT report_id FROM message_reports WHERE closed_at < now() - $1::interval ORDER BY closed_at LIMIT $2)",
        interval(age),
        limit
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
