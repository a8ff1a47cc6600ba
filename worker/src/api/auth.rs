//! This server's built-in accounts (`BUILTIN_AUTH`): register, login, logout. Passwords are hashed with Argon2id, off
//! the async threads, a few at a time; most requests that would have to wait are rejected. The gateway makes the
//! tokens.

use std::sync::OnceLock;

use crate::store::session::PgSession;
use anyhow::anyhow;
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use shared::clock::Timestamp;
use shared::events::session::Profile;
use shared::http::{Account, Done, Success};
use shared::ids::{CommandId, TokenId, UserId};
use shared::limits::{
    MAX_DISPLAY_NAME_CHARACTERS, MAX_EMAIL_CHARACTERS, MAX_PASSWORD_CHARACTERS, MAX_USERNAME_CHARACTERS,
    MIN_PASSWORD_CHARACTERS, MIN_USERNAME_CHARACTERS,
};
use shared::protocol::{ErrorCode, Fields, Invalid, Rejection};
use shared::stream::{Envelope, InternalReply};

use crate::api::password_work::Caller;
use crate::app::App;
use crate::commands::open_outcome;
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::sessions::resume::profile;
use crate::store::{accounts, applied, users};

fn hash(password: &str) -> anyhow::Result<String> {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(|error| anyhow!("{error}"))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(|error| anyhow!("{error}"))?;
    Ok(hash.to_string())
}

/// Takes the same time with and without a stored hash.
fn verify(password: &str, stored: Option<&str>) -> bool {
    static NOBODYS: OnceLock<String> = OnceLock::new();
    let nobodys = NOBODYS.get_or_init(|| hash("nobody's password").unwrap_or_default());
    let argon2 = |text: &str| {
        let hash = PasswordHash::new(text).ok()?;
        Some(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    };
    match stored.and_then(argon2) {
        Some(fits) => fits,
        // The user does not exist, or has a hash of another kind that the main backend made.
        None => {
            argon2(nobodys);
            false
        }
    }
}

pub async fn register(app: &App, envelope: &Envelope, body: &[u8]) -> Result<Outcome, Failure> {
    let map = super::object(body)?;
    let fields = Fields(&map);
    let username = username(fields)?;
    let password = password(fields, MIN_PASSWORD_CHARACTERS)?;
    let email = fields.bounded("email", 3, MAX_EMAIL_CHARACTERS)?;
    if email.as_ref().is_some_and(|email| !email.contains('@') || email.contains(char::is_whitespace)) {
        return Err(Rejection::invalid("email", "`email` must be an e-mail address").into());
    }
    let display_name = fields.bounded("displayName", 1, MAX_DISPLAY_NAME_CHARACTERS)?;
    let hash = app.password_work.run(Caller::Stranger, move || hash(&password)).await??;

    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    accounts::lock_name(&mut transaction, &username).await?;
    let taken = accounts::find_taken(&mut transaction, &username, email.as_deref()).await?;
    let field = if taken.username { Some("username") } else { taken.email.then_some("email") };
    if let Some(field) = field {
        let rejection = Rejection::invalid(field, format!("`{field}` is taken"));
        return Ok(super::rejected_with(envelope, 409, &rejection));
    }
    let (email, display_name) = (email.as_deref(), display_name.as_deref());
    let user = accounts::insert_account(&mut transaction, &username, email, &hash, display_name).await?;
    transaction.commit().await?;
    signed_in(&mut db, envelope, user).await
}

/// Creates an account without a password, for which a backend signs tokens. A repetition under the same id gets the
/// first answer.
pub async fn create(app: &App, envelope: &Envelope, body: &[u8]) -> Result<Outcome, Failure> {
    /// Matches no password.
    const NO_PASSWORD: &str = "!";
    let map = super::object(body)?;
    let fields = Fields(&map);
    let username = username(fields)?;
    let display_name = fields.bounded("displayName", 1, MAX_DISPLAY_NAME_CHARACTERS)?;
    let mut db = app.db.acquire().await?;
    let mut transaction = db.begin().await?;
    accounts::lock_name(&mut transaction, &username).await?;
    if let Some(sealed) = applied::find_outcome(&mut transaction, CommandId(envelope.id)).await? {
        return open_outcome(app, envelope, sealed.as_deref());
    }
    if accounts::find_taken(&mut transaction, &username, None).await?.username {
        let rejection = Rejection::invalid("username", "`username` is taken");
        return Ok(super::rejected_with(envelope, 409, &rejection));
    }
    let display_name = display_name.as_deref();
    let user = accounts::insert_account(&mut transaction, &username, None, NO_PASSWORD, display_name).await?;
    let found = users::list_candidates(&mut transaction, &[user], &[TokenId(String::new())]).await?.pop();
    let (_, candidate) = found.ok_or_else(|| anyhow!("an account disappeared while it was created"))?;
    let outcome = super::ok(envelope, &Account { status: Success::Ok, user: &profile(&candidate), is_active: true })?;
    let sealed = app.wire.seal_outcome(envelope.id, &postcard::to_stdvec(&outcome).map_err(anyhow::Error::from)?);
    applied::insert_outcome(&mut transaction, CommandId(envelope.id), &sealed).await?;
    transaction.commit().await?;
    Ok(outcome)
}

pub async fn login(app: &App, envelope: &Envelope, body: &[u8], caller: Caller) -> Result<Outcome, Failure> {
    let map = super::object(body)?;
    let fields = Fields(&map);
    let name = fields.bounded("username", 1, MAX_EMAIL_CHARACTERS)?.ok_or_else(|| Invalid::required("username"))?;
    let password = password(fields, 1)?;
    let account = accounts::find_account(&mut app.db.acquire().await?, &name).await?;
    let user = account.as_ref().map(|account| account.user_id);
    let stored = account.and_then(|account| account.password_hash);
    let fits = app.password_work.run(caller, move || verify(&password, stored.as_deref())).await?;
    match user.filter(|_| fits) {
        Some(user) => signed_in(&mut app.db.acquire().await?, envelope, user).await,
        None => Err(Rejection::new(ErrorCode::AuthFailed, "The username or the password is wrong").into()),
    }
}

pub async fn logout(
    app: &App,
    envelope: &Envelope,
    token_id: &TokenId,
    expires_at: Timestamp,
) -> Result<Outcome, Failure> {
    let mut db = app.db.acquire().await?;
    accounts::insert_revocation(&mut db, token_id, envelope.user, expires_at.to_datetime()).await?;
    super::ok(envelope, &Done { status: Success::Ok })
}

async fn signed_in(db: &mut PgSession, envelope: &Envelope, user: UserId) -> Result<Outcome, Failure> {
    let found = users::list_candidates(db, &[user], &[TokenId(String::new())]).await?.pop();
    let (_, candidate) = found.ok_or_else(|| anyhow!("an account disappeared while it signed in"))?;
    let profile: Profile = profile(&candidate);
    let profile = serde_json::to_vec(&profile).map_err(anyhow::Error::from)?;
    Ok(Outcome::reply(envelope, &InternalReply::SignedIn { user, profile }))
}

/// Accepts only what a mention can name: `@username`.
fn username(fields: Fields<'_>) -> Result<String, Invalid> {
    let name = fields
        .bounded("username", MIN_USERNAME_CHARACTERS, MAX_USERNAME_CHARACTERS)?
        .ok_or_else(|| Invalid::required("username"))?;
    let invalid = |details: &str| Err(Invalid::new("username", details));
    if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        return invalid("`username` may have letters, digits, `_`, `.` and `-`");
    }
    if !name.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return invalid("`username` must end with a letter, a digit or `_`");
    }
    if ["everyone", "all"].contains(&name.to_lowercase().as_str()) {
        return invalid("`username` must not be a word for everybody");
    }
    Ok(name)
}

fn password(fields: Fields<'_>, min: usize) -> Result<String, Invalid> {
    fields.bounded("password", min, MAX_PASSWORD_CHARACTERS)?.ok_or_else(|| Invalid::required("password"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_right_password_fits_and_nobody_has_one() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(verify("correct horse", Some(&stored)));
        for (password, stored) in [("correct hors", Some(stored.as_str())), ("x", None), ("x", Some("$2b$12$bcrypt"))] {
            assert!(!verify(password, stored), "{password}");
        }
        assert!(!verify("nobody's password", None));
    }
}
