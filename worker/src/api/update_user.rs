//! `PATCH /api/server/v1/users/{userId}`: sets an account's display name, and if it may sign in.

use anyhow::anyhow;
use shared::http::{Account, Success};
use shared::ids::{TokenId, UserId};
use shared::limits::MAX_DISPLAY_NAME_CHARACTERS;
use shared::protocol::{Fields, Rejection};
use shared::publication::Header;
use shared::stream::Envelope;

use crate::app::App;
use crate::error::Failure;
use crate::outcome::{Audience, Outcome, Publication};
use crate::sessions::resume::profile;
use crate::store::{accounts, users};

pub async fn update(app: &App, envelope: &Envelope, user: UserId, body: &[u8]) -> Result<Outcome, Failure> {
    let map = super::object(body)?;
    let fields = Fields(&map);
    let display_name = fields.bounded("displayName", 1, MAX_DISPLAY_NAME_CHARACTERS)?;
    let is_active = fields.boolean("isActive")?;
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    if !users::exists(&mut transaction, user).await? {
        return Err(Rejection::not_found("userId", "There is no such user").into());
    }
    if let Some(display_name) = &display_name {
        accounts::update_display_name(&mut transaction, user, display_name).await?;
    }
    if let Some(is_active) = is_active {
        accounts::set_active(&mut transaction, user, is_active).await?;
    }
    let found = users::list_candidates(&mut transaction, &[user], &[TokenId(String::new())]).await?.pop();
    let (_, candidate) = found.ok_or_else(|| anyhow!("an account disappeared while it was changed"))?;
    transaction.commit().await?;
    let account = Account { status: Success::Ok, user: &profile(&candidate), is_active: !candidate.deactivated };
    let mut outcome = super::ok(envelope, &account)?;
    if is_active == Some(false) {
        // After the commit, so that a client that reconnects is turned away. Published again if the request is
        // repeated.
        let ended = Publication { audience: Audience::User(user), header: Header::Departed, payload: Vec::new() };
        outcome.publications.insert(0, ended);
    }
    Ok(outcome)
}
