//! `chatctl conversation …`: what an operator sets for one conversation.

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::json;
use shared::ids::ConversationId;
use sqlx::Connection as _;

use crate::settings::Settings;
use crate::terminal::print_line;
use crate::{audit, database, duration};

/// Shorter would be a way to send what disappears, which this is not meant for.
const MIN_KEEP_SECONDS: u64 = 3_600;

#[derive(Debug, Subcommand)]
pub enum ConversationCommand {
    /// Shows how long the messages of a conversation or group are kept, or sets it. The audit log records it.
    ///
    /// Messages that are older are deleted for good within a day, by the workers. A longer time does not bring back what
    /// is gone.
    Retention {
        /// `conv_…` or `group_…`.
        conversation: ConversationId,
        /// A duration of at least an hour, such as `30d`; `forever`; or `default`, which is RETENTION.
        #[arg(value_parser = parse_keep)]
        keep: Option<Keep>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Default,
    Forever,
    Seconds(i64),
}

fn parse_keep(text: &str) -> Result<Keep, String> {
    match text {
        "default" => Ok(Keep::Default),
        "forever" => Ok(Keep::Forever),
        text => {
            let seconds = duration::parse(text)?.as_secs();
            if seconds < MIN_KEEP_SECONDS {
                return Err("at least an hour".to_owned());
            }
            i64::try_from(seconds).map(Keep::Seconds).map_err(|_| format!("too long: {text}"))
        }
    }
}

impl ConversationCommand {
    pub async fn run(self, settings: &Settings) -> Result<()> {
        let Self::Retention { conversation, keep } = self;
        let id = conversation.to_string();
        let mut connection = database::connect(settings).await?;
        let exists: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM conversations WHERE conversation_id = $1)
                 OR EXISTS (SELECT FROM group_chats WHERE group_id = $1)",
        )
        .bind(&id)
        .fetch_one(&mut connection)
        .await?;
        if !exists {
            bail!("there is no conversation {id}");
        }
        let Some(keep) = keep else {
            let own: Option<Option<i64>> =
                sqlx::query_scalar("SELECT keep_seconds FROM conversation_retentions WHERE conversation_id = $1")
                    .bind(&id)
                    .fetch_optional(&mut connection)
                    .await?;
            return print_line(&shown(own));
        };
        let mut transaction = connection.begin().await?;
        let statement = match keep {
            Keep::Default => "DELETE FROM conversation_retentions WHERE conversation_id = $1",
            Keep::Forever | Keep::Seconds(_) => {
                "INSERT INTO conversation_retentions (conversation_id, keep_seconds) VALUES ($1, $2)
                 ON CONFLICT (conversation_id) DO UPDATE SET keep_seconds = excluded.keep_seconds"
            }
        };
        let seconds = if let Keep::Seconds(seconds) = keep { Some(seconds) } else { None };
        let query = sqlx::query(statement).bind(&id);
        let query = if keep == Keep::Default { query } else { query.bind(seconds) };
        query.execute(&mut *transaction).await?;
        let own = (keep != Keep::Default).then_some(seconds);
        let details = json!({"conversationId": id, "keep": shown(own)});
        audit::record(&mut transaction, "conversation.retention", None, details).await?;
        transaction.commit().await?;
        print_line(&shown(own))
    }
}

fn shown(own: Option<Option<i64>>) -> String {
    match own {
        None => "default".to_owned(),
        Some(None) => "forever".to_owned(),
        Some(Some(seconds)) if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        Some(Some(seconds)) => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_they_are_given() {
        for text in ["default", "forever", "30d", "5400s"] {
            let own = match parse_keep(text).unwrap() {
                Keep::Default => None,
                Keep::Forever => Some(None),
                Keep::Seconds(seconds) => Some(Some(seconds)),
            };
            assert_eq!(shown(own), text);
        }
        for wrong in ["", "59m", "soon", "never"] {
            assert!(parse_keep(wrong).is_err(), "{wrong}");
        }
    }
}
