//! `GET /api/conversations`: the list that `get_conversations` gives, over HTTP.

use serde_json::{Map, Value};
use shared::http::{ConversationList, Success};
use shared::protocol::Fields;
use shared::stream::Envelope;

use crate::app::App;
use crate::commands::get_conversations;
use crate::error::Failure;
use crate::outcome::Outcome;

pub async fn list(app: &App, envelope: &Envelope, token_id: &str, query: &str) -> Result<Outcome, Failure> {
    let parameters = parameters(query);
    let fields = Fields(&parameters);
    let (limit, offset) = (fields.limit()?, fields.offset()?);
    let mut db = app.db.acquire().await?;
    super::check_token(&mut db, envelope.user, token_id).await?;
    let conversations = get_conversations::list(app, &mut db, envelope.user, limit, offset).await?;
    super::ok(envelope, &ConversationList { status: Success::Ok, conversations })
}

/// Numbers become numbers, so that they are checked as those of a command are. Nothing here needs percent-decoding.
fn parameters(query: &str) -> Map<String, Value> {
    let pair = |pair: &str| {
        let (name, text) = pair.split_once('=')?;
        Some((name.to_owned(), text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)))
    };
    query.split('&').filter_map(pair).collect()
}
