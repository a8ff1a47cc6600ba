//! The few statements on the main backend's tables, and the lookup of users by name.
//!
//! Checked when they run, not when they are compiled: this binary must build without the services' query data, and the
//! main backend may use other integer types in these tables, hence the casts.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::settings::Settings;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    pub user_id: i64,
    pub username: String,
    pub display_name: Option<String>,
}

pub async fn connect(settings: &Settings) -> Result<PgConnection> {
    let url = settings.database_url()?;
    // The URL contains a password, so error messages must not quote it.
    timeout(CONNECT_WITHIN, PgConnection::connect(&url))
        .await
        .context("Postgres does not answer")?
        .context("cannot connect to Postgres")
}

/// A number is an id; anything else is looked up as a username.
pub async fn resolve(settings: &Settings, name_or_id: &str) -> Result<i64> {
    if let Some(id) = as_id(name_or_id)? {
        return Ok(id);
    }
    let mut connection = connect(settings).await?;
    get_user_id(&mut connection, name_or_id).await
}

/// Like `resolve`, but the user need not exist: what is stored here may outlast the account, which the main backend
/// deletes.
pub async fn get_id(connection: &mut PgConnection, name_or_id: &str) -> Result<i64> {
    match as_id(name_or_id)? {
        Some(id) => Ok(id),
        None => get_user_id(connection, name_or_id).await,
    }
}

/// Like `resolve`, and the user must exist.
pub async fn get_user(connection: &mut PgConnection, name_or_id: &str) -> Result<i64> {
    match as_id(name_or_id)? {
        None => get_user_id(connection, name_or_id).await,
        Some(id) => {
            let found: Option<i64> = sqlx::query_scalar("SELECT user_id::BIGINT FROM users_auth WHERE user_id = $1")
                .bind(id)
                .fetch_optional(connection)
                .await?;
            found.with_context(|| format!("there is no user with the id {id}"))
        }
    }
}

fn as_id(name_or_id: &str) -> Result<Option<i64>> {
    if name_or_id.is_empty() || !name_or_id.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    Ok(Some(name_or_id.parse().with_context(|| format!("{name_or_id} is too large for a user id"))?))
}

async fn get_user_id(connection: &mut PgConnection, username: &str) -> Result<i64> {
    let found: Option<i64> = sqlx::query_scalar("SELECT user_id::BIGINT FROM users_auth WHERE username = $1")
        .bind(username)
        .fetch_optional(connection)
        .await?;
    found.with_context(|| format!("there is no user {username}; `chatctl user add {username}` creates one"))
}

/// Creates the user unless one exists; a given display name replaces the old one.
pub async fn add_user(connection: &mut PgConnection, username: &str, display_name: Option<&str>) -> Result<i64> {
    check_username(username)?;
    let mut transaction = connection.begin().await?;
    // Not all main backends have the constraint that `ON CONFLICT` would need.
    sqlx::query(
        "INSERT INTO users_auth (username) SELECT $1 WHERE NOT EXISTS (SELECT FROM users_auth WHERE username = $1)
         ON CONFLICT DO NOTHING",
    )
    .bind(username)
    .execute(&mut *transaction)
    .await?;
    let user_id = get_user_id(&mut transaction, username).await?;
    add_profile(&mut transaction, user_id, username, display_name).await?;
    transaction.commit().await?;
    Ok(user_id)
}

/// If profiles have no display name, it becomes the first name.
async fn add_profile(db: &mut PgConnection, user_id: i64, username: &str, display_name: Option<&str>) -> Result<()> {
    let column: String = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'user_profile_info'::regclass AND attname IN ('display_name', 'first_name') ORDER BY attname LIMIT 1",
    )
    .fetch_optional(&mut *db)
    .await?
    .context("user_profile_info has neither display_name nor first_name")?;
    let key: String = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute
         WHERE attrelid = 'user_profile_info'::regclass AND attname IN ('user_id', 'user_id_serial') ORDER BY attname LIMIT 1",
    )
    .fetch_optional(&mut *db)
    .await?
    .context("user_profile_info has neither user_id nor user_id_serial")?;
    let update = format!("UPDATE user_profile_info SET {column} = COALESCE($2, {column}) WHERE {key} = $1");
    if sqlx::query(&update).bind(user_id).bind(display_name).execute(&mut *db).await?.rows_affected() == 0 {
        let insert = format!("INSERT INTO user_profile_info ({key}, {column}) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        sqlx::query(&insert).bind(user_id).bind(display_name.unwrap_or(username)).execute(db).await?;
    }
    Ok(())
}

/// Fails with what is missing in the main backend's tables.
pub async fn check_main_backend(connection: &mut PgConnection) -> Result<()> {
    let problems: Vec<String> =
        sqlx::query_scalar("SELECT unnest(chat_main_backend_problems())").fetch_all(connection).await?;
    if !problems.is_empty() {
        bail!("the main backend's tables cannot be used: {}", problems.join("; "));
    }
    Ok(())
}

/// Accepts what can be mentioned in a message and is not an id.
fn check_username(username: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    if username.is_empty() || username.chars().count() > 64 || !username.chars().all(allowed) {
        bail!("a username has 1 to 64 letters, digits, `_`, `.` and `-`");
    }
    if username.bytes().all(|b| b.is_ascii_digit()) {
        bail!("{username} would be taken for a user id");
    }
    Ok(())
}

pub async fn list_users(connection: &mut PgConnection, limit: i64) -> Result<Vec<User>> {
    let users = sqlx::query_as(
        "SELECT auth.user_id::BIGINT AS user_id, auth.username::TEXT AS username, profile.display_name
         FROM users_auth AS auth LEFT JOIN LATERAL chat_profile(auth.user_id) AS profile ON TRUE
         ORDER BY auth.user_id LIMIT $1",
    );
    Ok(users.bind(limit).fetch_all(connection).await?)
}

/// A worker and its number of partitions; `None` has those without a valid lease.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PartitionOwner {
    pub worker: Option<uuid::Uuid>,
    pub partitions: i64,
}

pub async fn list_partition_owners(connection: &mut PgConnection) -> Result<Vec<PartitionOwner>> {
    let owners = sqlx::query_as(
        "SELECT CASE WHEN expires_at > now() THEN owner END AS worker, count(*) AS partitions
         FROM partition_leases GROUP BY 1 ORDER BY 1",
    );
    Ok(owners.fetch_all(connection).await?)
}

/// A relation between two users, to be added or removed.
#[derive(Debug, Clone, Copy)]
pub enum Relation {
    Follow,
    Unfollow,
    Block,
    Unblock,
}

impl Relation {
    fn statement(self) -> &'static str {
        match self {
            Relation::Follow => {
                "INSERT INTO user_follows (follower_id, followee_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
            }
            Relation::Unfollow => "DELETE FROM user_follows WHERE follower_id = $1 AND followee_id = $2",
            Relation::Block => {
                "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ($1, $2) ON CONFLICT DO NOTHING"
            }
            Relation::Unblock => "DELETE FROM blocked_relationships WHERE blocker_id = $1 AND blocked_id = $2",
        }
    }
}

/// Sets the relation from one user to the other; `false` if it was already so.
pub async fn relate(connection: &mut PgConnection, relation: Relation, from: i64, to: i64) -> Result<bool> {
    if from == to {
        bail!("users cannot follow or block themselves");
    }
    let done = sqlx::query(relation.statement()).bind(from).bind(to).execute(connection).await?;
    Ok(done.rows_affected() > 0)
}
