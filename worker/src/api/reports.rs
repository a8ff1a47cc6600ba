//! `/api/server/v1/reports`: the open reports of messages, and closing them.

use std::collections::HashMap;

use shared::cursor::Cursor;
use shared::events::message::Message;
use shared::http::{Done, Report, ReportState, Reports, Success};
use shared::ids::{ApiKeyId, MessageId, ReportId};
use shared::limits::MAX_ANSWER_BYTES;
use shared::protocol::Rejection;
use shared::stream::{Envelope, ReportPosition};

use crate::app::App;
use crate::error::Failure;
use crate::history::show_as_new;
use crate::outcome::Outcome;
use crate::store::audit::Actor;
use crate::store::reports::{self, ReportRow};
use crate::store::users::NOBODY;
use crate::store::{audit, history};

pub async fn list(
    app: &App,
    envelope: &Envelope,
    limit: u32,
    after: Option<ReportPosition>,
) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    // Reading one more than requested shows if there are more.
    let rows = reports::list_open(&mut db, after.map(|after| after.report), i64::from(limit) + 1).await?;
    let ids: Vec<MessageId> = rows.iter().map(|row| row.message_id).collect();
    let stored = history::list_by_id(&mut db, &ids).await?;
    let messages = show_as_new(app, &mut db, NOBODY, &stored).await?;
    let messages: HashMap<MessageId, Message> =
        messages.into_iter().map(|message| (message.message_id, message)).collect();
    let mut page = Reports { status: Success::Ok, reports: Vec::new(), next_cursor: None };
    let mut bytes = 0;
    for row in rows {
        // Several reports may be of the same message.
        let report = shown(app, messages.get(&row.message_id).cloned(), row);
        bytes += serde_json::to_vec(&report).map_err(anyhow::Error::from)?.len();
        if let Some(last) = page.reports.last()
            && (bytes > MAX_ANSWER_BYTES || page.reports.len() == limit as usize)
        {
            page.next_cursor = Some(ReportPosition { report: last.report_id }.to_text());
            break;
        }
        page.reports.push(report);
    }
    super::ok(envelope, &page)
}

fn shown(app: &App, message: Option<Message>, row: ReportRow) -> Report {
    let reason = app.keyring.open_blob(row.report_id.0, &row.reason).ok();
    Report {
        report_id: row.report_id,
        message_id: row.message_id,
        conversation_id: row.conversation_id,
        sender_id: row.sender_id,
        reporter_id: row.reporter_id,
        reason: reason.and_then(|plain| String::from_utf8(plain).ok()),
        reported_at: row.reported_at.into(),
        message,
    }
}

fn action_of(state: ReportState) -> &'static str {
    match state {
        ReportState::Resolved => "report_resolved",
        ReportState::Dismissed => "report_dismissed",
    }
}

pub async fn close(
    app: &App,
    envelope: &Envelope,
    report: ReportId,
    state: ReportState,
    key: &ApiKeyId,
) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    let actor = Actor::ApiKey(key);
    let closed = reports::update_closed(&mut transaction, report, state, &actor.to_string()).await?;
    let closed = closed.ok_or_else(|| Rejection::not_found("reportId", "There is no such report"))?;
    if closed.was_open {
        // The call itself is in the log, too, without what it was about.
        let entry = audit::AuditEntry {
            actor,
            action: action_of(state),
            target_user: Some(closed.sender_id),
            conversation: Some(closed.conversation_id),
            message: Some(closed.message_id),
        };
        audit::insert_entry(&mut transaction, &entry).await?;
    }
    transaction.commit().await?;
    super::ok(envelope, &Done { status: Success::Ok })
}
