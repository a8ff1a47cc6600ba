//! `GET /api/conversations`: the list of `get_conversations`, over HTTP.

use serde_json::{Map, Number, Value};
use shared::http::{ConversationList, Success};
use shared::ids::TokenId;
use shared::protocol::Fields;
use shared::stream::Envelope;

use crate::app::App;
use crate::commands::get_conversations;
use crate::error::Failure;
use crate::outcome::Outcome;

pub async fn list(app: &App, envelope: &Envelope, token_id: &TokenId, query: &str) -> Result<Outcome, Failure> {
    let parameters = parameters(query);
    let fields = Fields(&parameters);
    let (limit, offset) = (fields.limit()?, fields.offset(app.settings.common.max_offset)?);
    let mut db = app.db.acquire().await?;
    super::check_token(&mut db, envelope.user, token_id).await?;
    let conversations = get_conversations::list(app, &mut db, envelope.user, limit, offset).await?;
    super::ok(envelope, &ConversationList { status: Success::Ok, conversations })
}

/// Turns numbers into JSON numbers, so that they are checked like those of a command.
fn parameters(query: &str) -> Map<String, Value> {
    let number = |text: &str| {
        let integer = text.parse::<i64>().ok().map(Value::from);
        integer.or_else(|| text.parse::<Number>().ok().map(Value::Number))
    };
    form_urlencoded::parse(query.as_bytes())
        .map(|(name, text)| (name.into_owned(), number(&text).unwrap_or_else(|| Value::from(text))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_percent_decoded() {
        let parameters = parameters("%6cimit=%32%30&offset=3&a=%C3%A9+b&huge=18446744073709551616");
        assert_eq!(Fields(&parameters).limit(), Ok(20));
        assert_eq!((&parameters["offset"], &parameters["a"]), (&Value::from(3), &Value::from("\u{e9} b")));
        assert!(parameters["huge"].is_f64());
    }
}
