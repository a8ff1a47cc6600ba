//! `chatctl reports …`: messages that users have reported.

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use shared::clock::Timestamp;
use shared::crypto::Keyring;
use shared::http::ReportState;
use sqlx::types::time::OffsetDateTime;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::settings::Settings;
use crate::terminal::{escaped_json, print_line, printable};
use crate::{audit, database};

#[derive(Debug, Subcommand)]
pub enum ReportsCommand {
    /// Prints reports, oldest first: id, when, state, message, its sender, who reported it and the reason, separated by
    /// tabs.
    List {
        /// Closed ones, too; they are kept as long as the audit log.
        #[arg(long)]
        all: bool,
        /// Only those after this one: the last id of the previous page.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
    },
    /// Prints a report as JSON, with the message as it is now: `content` is null if it was deleted. The audit log records it.
    Show { id: Uuid },
    /// Closes a report that was justified; what was done about it is not part of it.
    Resolve { id: Uuid },
    /// Closes a report that was not justified.
    Dismiss { id: Uuid },
}

impl ReportsCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let mut connection = database::connect(settings).await?;
        let db = &mut connection;
        match self {
            Self::List { all, after, limit } => list(db, settings, all, after, limit).await,
            Self::Show { id } => show(db, settings, id).await,
            Self::Resolve { id } => close(db, id, ReportState::Resolved).await,
            Self::Dismiss { id } => close(db, id, ReportState::Dismissed).await,
        }
    }
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    report_id: Uuid,
    message_id: Uuid,
    conversation_id: String,
    sender_id: i64,
    reporter_id: i64,
    reason: Vec<u8>,
    reported_at: OffsetDateTime,
    state: String,
    closed_at: Option<OffsetDateTime>,
    closed_by: Option<String>,
}

impl ReportRow {
    fn reason(&self, keyring: &Keyring) -> Result<String> {
        let plain = keyring.open_blob(self.report_id, &self.reason);
        Ok(String::from_utf8(plain.with_context(|| format!("the reason of report {}", self.report_id))?)?)
    }
}

async fn keyring(settings: &Settings) -> Result<Keyring> {
    let encryption = settings.encryption()?;
    Ok(tokio::task::spawn_blocking(move || Keyring::derive(&encryption)).await??)
}

async fn list(db: &mut PgConnection, settings: &Settings, all: bool, after: Option<Uuid>, limit: i64) -> Result<()> {
    let keyring = keyring(settings).await?;
    let rows: Vec<ReportRow> = sqlx::query_as(
        "SELECT * FROM message_reports WHERE ($1 OR state = 'open') AND ($2::uuid IS NULL OR report_id > $2)
         ORDER BY report_id LIMIT $3",
    )
    .bind(all)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await?;
    for row in rows {
        let ReportRow { report_id, message_id, sender_id, reporter_id, ref state, .. } = row;
        let at = String::from_utf8(Timestamp::from(row.reported_at).rfc3339().to_vec())?;
        let reason = printable(&row.reason(&keyring)?).replace(['\n', '\t'], " ");
        print_line(&format!("{report_id}\t{at}\t{state}\tmsg_{message_id}\t{sender_id}\t{reporter_id}\t{reason}"))?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    key_id: i16,
    iv: Vec<u8>,
    mac: Option<Vec<u8>>,
    content: Vec<u8>,
}

async fn show(db: &mut PgConnection, settings: &Settings, id: Uuid) -> Result<()> {
    let keyring = keyring(settings).await?;
    let row: Option<ReportRow> =
        sqlx::query_as("SELECT * FROM message_reports WHERE report_id = $1").bind(id).fetch_optional(&mut *db).await?;
    let row = row.with_context(|| no_such(id))?;
    let message: Option<MessageRow> =
        sqlx::query_as("SELECT key_id, iv, mac, content FROM private_messages WHERE message_id = $1")
            .bind(row.message_id)
            .fetch_optional(&mut *db)
            .await?;
    let content = match message {
        Some(message) => {
            let MessageRow { key_id, iv, mac, content } = message;
            let plain = keyring.open(row.message_id, key_id, &iv, mac.as_deref(), &content)?;
            Value::from(String::from_utf8_lossy(&plain))
        }
        None => Value::Null,
    };
    audit::record(db, "report_show", Some(row.sender_id), json!({"report": id})).await?;
    let report = json!({
        "reportId": id,
        "messageId": format!("msg_{}", row.message_id),
        "conversationId": row.conversation_id,
        "senderId": row.sender_id.to_string(),
        "reporterId": row.reporter_id.to_string(),
        "reason": row.reason(&keyring)?,
        "reportedAt": Timestamp::from(row.reported_at),
        "state": row.state,
        "closedAt": row.closed_at.map(Timestamp::from),
        "closedBy": row.closed_by,
        "content": content,
    });
    print_line(&escaped_json(&report.to_string()))
}

fn no_such(id: Uuid) -> String {
    format!("there is no report {id}; `chatctl reports list` shows those that are open")
}

async fn close(db: &mut PgConnection, id: Uuid, state: ReportState) -> Result<()> {
    let mut transaction = db.begin().await?;
    let sender: Option<i64> = sqlx::query_scalar(
        "UPDATE message_reports SET state = $2, closed_at = now(), closed_by = $3
         WHERE report_id = $1 AND state = 'open' RETURNING sender_id",
    )
    .bind(id)
    .bind(state.as_str())
    .bind(audit::operator())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(sender) = sender else {
        let known: Option<String> = sqlx::query_scalar("SELECT state FROM message_reports WHERE report_id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        match known {
            Some(state) => bail!("report {id} is {state} already"),
            None => bail!(no_such(id)),
        }
    };
    let details = json!({"report": id, "state": state.as_str()});
    audit::record(&mut transaction, "report_close", Some(sender), details).await?;
    transaction.commit().await?;
    Ok(())
}
