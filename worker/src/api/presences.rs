//! `POST /api/server/v1/presence`: which of some users are online.

use shared::http::{Presence, Presences, Success};
use shared::limits::MAX_PRESENCES;
use shared::protocol::Fields;
use shared::stream::Envelope;

use crate::app::App;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::presence::online_among;

pub async fn list(app: &App, envelope: &Envelope, body: &[u8]) -> Result<Outcome, Failure> {
    let map = super::object(body)?;
    let users = Fields(&map).user_ids(&["userIds"], MAX_PRESENCES)?;
    let online = online_among(app, &users).await;
    let presence = |user| Presence { user_id: user, is_online: online.contains(&user) };
    super::ok(envelope, &Presences { status: Success::Ok, users: users.into_iter().map(presence).collect() })
}
