//! For tests: the stores and programs that `cargo xtask test` provides, or instances of this test program.
//!
//! A private instance is started on first use, shared by all tests of the program, and ended after it by the scratch
//! folder's guardian (statics are never dropped).

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow};

use crate::{Cluster, Durability, PgBouncer, Postgres, Programs, Redis, Scratch, Sentinels, ports, secrets};

pub const DATABASE_URL_VARIABLE: &str = "TEST_DATABASE_URL";
pub const REDIS_URL_VARIABLE: &str = "TEST_REDIS_URL";
pub const BIN_DIR_VARIABLE: &str = "CHAT_BIN_DIR";
/// Names the folder with `gateway` and `worker` of the previous release.
pub const PREVIOUS_BIN_DIR_VARIABLE: &str = "CHAT_PREVIOUS_BIN_DIR";

/// Returns a superuser's URL of the maintenance database; each test makes a database of its own, see
/// [`fresh_database`].
pub fn postgres_url() -> Result<String> {
    static OWN: OnceLock<Result<(Scratch, Postgres), String>> = OnceLock::new();
    if let Some(url) = from_env(DATABASE_URL_VARIABLE) {
        return Ok(url);
    }
    let own = OWN.get_or_init(|| {
        let start = || {
            let scratch = Scratch::new("test-postgres")?;
            let postgres = start_postgres(&scratch)?;
            Ok((scratch, postgres))
        };
        start().map_err(|error: anyhow::Error| format!("{error:#}"))
    });
    own.as_ref().map(|(_, postgres)| postgres.url("postgres")).map_err(|error| anyhow!(error.clone()))
}

/// Returns the URL of a Redis; each test uses keys under its own prefix.
pub fn redis_url() -> Result<String> {
    static OWN: OnceLock<Result<(Scratch, Redis), String>> = OnceLock::new();
    if let Some(url) = from_env(REDIS_URL_VARIABLE) {
        return Ok(url);
    }
    let own = OWN.get_or_init(|| {
        let start = || {
            let scratch = Scratch::new("test-redis")?;
            let redis = start_redis(&scratch)?;
            Ok((scratch, redis))
        };
        start().map_err(|error: anyhow::Error| format!("{error:#}"))
    });
    own.as_ref().map(|(_, redis)| redis.url()).map_err(|error| anyhow!(error.clone()))
}

/// Creates an empty database with a unique name; returns its URL. It is removed with the instance.
pub fn fresh_database(label: &str) -> Result<String> {
    let maintenance = postgres_url()?;
    let programs = find_programs()?;
    let label: String = label.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    let name = format!("test_{}_{}", label.to_ascii_lowercase(), secrets::hex(&secrets::random::<6>()?));
    crate::postgres::psql(&programs.postgres.psql, &maintenance, &["-c", &format!("create database \"{name}\"")])?;
    with_database(&maintenance, &name)
}

/// Returns the folder of `gateway`, `worker` and `chatctl`: set by the test run, or beside this test program.
pub fn bin_dir() -> Result<PathBuf> {
    if let Some(dir) = from_env(BIN_DIR_VARIABLE) {
        return Ok(dir.into());
    }
    let exe = std::env::current_exe().context("path of this program")?;
    let dir = exe.parent().context("folder of this program")?;
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    Ok(dir.to_path_buf())
}

/// Returns the folder of the previous release's `gateway` and `worker`, which `cargo xtask test` builds.
pub fn previous_bin_dir() -> Result<PathBuf> {
    let dir = from_env(PREVIOUS_BIN_DIR_VARIABLE);
    let dir = dir.with_context(|| format!("{PREVIOUS_BIN_DIR_VARIABLE} is not set; `cargo xtask test e2e` sets it"))?;
    Ok(dir.into())
}

/// Starts a Postgres only for this test, which may kill it.
pub fn start_postgres(scratch: &Scratch) -> Result<Postgres> {
    let programs = find_programs()?;
    let password = secrets::password()?;
    let mut postgres =
        Postgres::open(&programs.postgres, scratch.dir(), ports::free_one()?, &password, Durability::Fast)?;
    postgres.start()?;
    Ok(postgres)
}

/// Starts a Redis only for this test, which may kill it.
pub fn start_redis(scratch: &Scratch) -> Result<Redis> {
    start_redis_with(scratch, Durability::Fast)
}

/// Starts a second server with the first one's password, and none of its data.
pub fn start_redis_beside(scratch: &Scratch, first: &Redis) -> Result<Redis> {
    let programs = find_programs()?;
    let port = ports::free_one()?;
    let mut redis = Redis::open(&programs.redis_server, scratch.dir(), port, first.password(), Durability::Fast)?;
    redis.start()?;
    Ok(redis)
}

/// Like [`start_redis`]; with `Durable` it keeps its data over kill -9, except for the last second.
pub fn start_redis_with(scratch: &Scratch, durability: Durability) -> Result<Redis> {
    let programs = find_programs()?;
    let password = secrets::password()?;
    let mut redis = Redis::open(&programs.redis_server, scratch.dir(), ports::free_one()?, &password, durability)?;
    redis.start()?;
    Ok(redis)
}

/// Finds nginx, Prometheus and the like, see [`crate::install::ensure_tools`].
pub fn find_tool(name: &str) -> Result<PathBuf> {
    crate::install::find_program(name)
        .with_context(|| format!("missing: {name}; `cargo xtask test` installs what it needs"))
}

/// Starts a PgBouncer in transaction mode in front of the server of a URL.
pub fn start_pgbouncer(scratch: &Scratch, server_url: &str) -> Result<PgBouncer> {
    PgBouncer::start(&find_tool("pgbouncer")?, scratch.dir(), server_url)
}

/// Gives a Redis a replica and sentinels that fail over.
pub fn start_sentinels(primary: &Redis) -> Result<Sentinels> {
    Sentinels::start(&find_programs()?.redis_server, primary)
}

/// Starts a Redis Cluster only for this test, which may kill its nodes.
pub fn start_cluster() -> Result<Cluster> {
    Cluster::start(&find_programs()?.redis_server)
}

fn find_programs() -> Result<Programs> {
    Programs::find()
        .map_err(|missing| anyhow!("missing: {}; `cargo xtask test` installs what it needs", missing.describe()))
}

fn from_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn with_database(url: &str, name: &str) -> Result<String> {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let start = base.find("://").context("not a postgres:// URL")? + 3;
    let end = base.get(start..).and_then(|rest| rest.find('/')).map_or(base.len(), |slash| start + slash);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{}/{name}{query}", base.get(..end).unwrap_or(base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_in_a_url_is_replaced() {
        assert_eq!(with_database("postgres://a:b@h:1/postgres?x=y", "t").unwrap(), "postgres://a:b@h:1/t?x=y");
        assert_eq!(with_database("postgres://a:b@h:1", "t").unwrap(), "postgres://a:b@h:1/t");
    }
}
