//! Accounts that this server keeps itself (`BUILTIN_AUTH`), in the tables that the main backend writes in other
//! deployments.

use crate::store::session::PgSession;
use shared::ids::{TokenId, UserId};
use time::OffsetDateTime;

/// Locks a name, in any letter case, until the end of the transaction.
pub async fn lock_name(db: &mut PgSession, username: &str) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('username:' || lower($1::text), 0))", username)
        .execute(db)
        .await?;
    Ok(())
}

/// Says if the name (in any letter case) or the address is taken.
pub struct TakenNames {
    pub username: bool,
    pub email: bool,
}

pub async fn find_taken(db: &mut PgSession, username: &str, email: Option<&str>) -> sqlx::Result<TakenNames> {
    sqlx::query_as!(
        TakenNames,
        r#"SELECT EXISTS (SELECT FROM users_auth WHERE lower(username) = lower($1)) AS "username!",
               EXISTS (SELECT FROM users_auth WHERE lower(email) = lower($2)) AS "email!""#,
        username,
        email
    )
    .fetch_one(db)
    .await
}

/// Creates an account; returns its id.
pub async fn insert_account(
    db: &mut PgSession,
    username: &str,
    email: Option<&str>,
    password_hash: &str,
    display_name: Option<&str>,
) -> sqlx::Result<UserId> {
    let user = sqlx::query_scalar!(
        r#"WITH account AS (
               INSERT INTO users_auth (username, email, password_hash) VALUES ($1, $2, $3) RETURNING user_id
           ),
           profile AS (INSERT INTO user_profile_info (user_id, display_name) SELECT user_id, $4 FROM account)
           SELECT user_id::bigint AS "user_id!" FROM account"#,
        username,
        email,
        password_hash,
        display_name
    )
    .fetch_one(db)
    .await?;
    Ok(UserId(user))
}

pub struct Account {
    pub user_id: UserId,
    pub password_hash: Option<String>,
}

/// An account that may sign in.
pub async fn find_account(db: &mut PgSession, username: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        r#"SELECT user_id::bigint AS "user_id!", password_hash::text AS password_hash FROM users_auth u
           WHERE username = $1 AND NOT EXISTS (SELECT FROM deactivated_users d WHERE d.user_id = u.user_id)"#,
        username
    )
    .fetch_optional(db)
    .await
}

pub async fn update_display_name(db: &mut PgSession, user: UserId, display_name: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO user_profile_info (user_id, display_name) VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name",
        user.0,
        display_name
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forbids or allows the user to sign in; repeating it changes nothing.
pub async fn set_active(db: &mut PgSession, user: UserId, is_active: bool) -> sqlx::Result<()> {
    if is_active {
        sqlx::query!("DELETE FROM deactivated_users WHERE user_id = $1", user.0).execute(db).await?;
    } else {
        sqlx::query!("INSERT INTO deactivated_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING", user.0)
            .execute(db)
            .await?;
    }
    Ok(())
}

/// Revokes a token; repeating it changes nothing.
pub async fn insert_revocation(
    db: &mut PgSession,
    token_id: &TokenId,
    user: UserId,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO jwt_revocation (jti, user_id, expires_at) VALUES ($1, $2, $3) ON CONFLICT (jti) DO NOTHING",
        token_id.0,
        user.0,
        expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whose picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureKind {
    User,
    Community,
}

impl PictureKind {
    pub const ALL: [PictureKind; 2] = [PictureKind::User, PictureKind::Community];

    pub fn as_str(self) -> &'static str {
        match self {
            PictureKind::User => "user",
            PictureKind::Community => "community",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A requested picture.
pub struct Picture {
    pub kind: PictureKind,
    pub id: String,
    pub url: Option<String>,
}

/// The pictures of users and communities; the arrays are parallel. Unknown ones have none.
pub async fn list_pictures(db: &mut PgSession, kinds: &[PictureKind], ids: &[String]) -> sqlx::Result<Vec<Picture>> {
    let kinds: Vec<String> = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT i.kind AS "kind!", i.id AS "id!",
               CASE i.kind
                   WHEN 'user' THEN (SELECT p.profile_picture FROM chat_profile(i.id::bigint) p)
                   ELSE (SELECT c.avatar_url FROM communities c WHERE c.community_id = i.id)
               END AS url
           FROM unnest($1::text[], $2::text[]) AS i (kind, id)"#,
        &kinds,
        ids
    )
    .fetch_all(db)
    .await?;
    let picture = |kind: &str, id, url| Some(Picture { kind: PictureKind::parse(kind)?, id, url });
    Ok(rows.into_iter().filter_map(|row| picture(&row.kind, row.id, row.url)).collect())
}
