//! `report_message`: stores a report of somebody else's message for the product's moderators, once per user and message.
//! The content is not copied.

use shared::commands::ReportMessage;
use shared::events::moderation::MessageReported;
use shared::ids::ReportId;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::reports::{self, NewReport};
use crate::webhooks::record::{self, Report};

impl Handle for ReportMessage {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.message(self.message).await?;
        let (message_id, reporter) = (self.message, context.caller());
        if let Some(own) = reports::find_own(context.db, reporter, message_id).await? {
            let (report_id, reported_at) = (own.report_id, own.reported_at.into());
            return Ok(Outcome::answered(context.envelope, &MessageReported { report_id, message_id, reported_at }));
        }
        if found.row.sender_id == reporter {
            return Err(Rejection::invalid("messageId", "`messageId` must not be your own message").into());
        }
        reject_too_many(context).await?;
        let report_id = ReportId(context.envelope.id);
        let new = NewReport {
            report_id,
            message: message_id,
            conversation: found.conversation,
            sender: found.row.sender_id,
            reporter,
            reason: &context.app.keyring.seal_blob(report_id.0, self.reason.as_bytes()),
        };
        let reported_at = reports::insert_report(context.db, &new).await?.into();
        context.audit(found.conversation, Some(found.row.sender_id), Some(message_id)).await?;
        let report = Report { new: &new, reason: &self.reason, reported_at };
        record::report(context.app, context.db, &report).await?;
        Ok(Outcome::answered(context.envelope, &MessageReported { report_id, message_id, reported_at }))
    }
}

async fn reject_too_many(context: &mut Context<'_>) -> Result<(), Failure> {
    let most = context.app.settings.report_limit;
    let reported = reports::get_reported(context.db, context.caller()).await?;
    if reported.lately < i64::from(most) {
        return Ok(());
    }
    let rejection =
        Rejection::new(ErrorCode::RateLimitExceeded, format!("You may report {most} messages within 24 hours"));
    Err(Rejection { retry_after: Some(reported.wait_seconds.max(1) as u32), ..rejection }.into())
}
