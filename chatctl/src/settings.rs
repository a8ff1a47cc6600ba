//! Where settings come from: flags, then the environment, then the file of the running stack.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use shared::config::CommonSettings;
use shared::crypto::EncryptionSettings;

/// Below the workspace's root; looked for from the current folder upwards.
const STACK_FILE: &str = "target/stack/env";
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Clone, Default, Args)]
pub struct Sources {
    /// File of KEY=VALUE lines; default: target/stack/env, from the current folder upwards.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Postgres.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// The secret that tokens are signed with, in base64.
    #[arg(long, global = true, env = "JWT_SECRET", hide_env_values = true, value_name = "BASE64")]
    jwt_secret: Option<String>,
    /// Gateways, separated by commas; the first one is used, the others when it does not answer.
    #[arg(long, global = true, env = "GATEWAY_URLS", value_name = "URLS")]
    gateway_urls: Option<String>,
    /// The address in front of all gateways, used when no gateway is named.
    #[arg(long, global = true, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Redis.
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Put before every Redis key.
    #[arg(long, global = true, env = "REDIS_PREFIX", value_name = "PREFIX")]
    redis_prefix: Option<String>,
}

#[derive(Clone, Default)]
pub struct Settings {
    /// The file's values, for the settings of the servers that few commands need. May hold secrets.
    file: HashMap<String, String>,
    database_url: Option<String>,
    jwt_secret: Option<String>,
    gateway_urls: Option<String>,
    public_url: Option<String>,
    redis_url: Option<String>,
    redis_prefix: Option<String>,
}

impl Settings {
    /// Reads the file when there is one; one that was asked for by name must exist.
    pub fn load(sources: Sources) -> Result<Self> {
        let file = match &sources.env_file {
            Some(path) => Some(path.clone()),
            None => find_upwards(&std::env::current_dir().context("no current folder")?),
        };
        let values = match file {
            Some(path) => parse(&read(&path).with_context(|| format!("reading {}", path.display()))?),
            None => HashMap::new(),
        };
        Ok(Self::merge(sources, &values))
    }

    fn merge(sources: Sources, file: &HashMap<String, String>) -> Self {
        // An empty value counts as none, wherever it stands.
        let filled = |value: &String| !value.trim().is_empty();
        let pick =
            |given: Option<String>, key: &str| given.filter(filled).or_else(|| file.get(key).cloned().filter(filled));
        Self {
            file: file.clone(),
            database_url: pick(sources.database_url, "DATABASE_URL"),
            jwt_secret: pick(sources.jwt_secret, "JWT_SECRET"),
            gateway_urls: pick(sources.gateway_urls, "GATEWAY_URLS"),
            public_url: pick(sources.public_url, "PUBLIC_URL"),
            redis_url: pick(sources.redis_url, "REDIS_URL"),
            redis_prefix: pick(sources.redis_prefix, "REDIS_PREFIX"),
        }
    }

    pub fn database_url(&self) -> Result<&str> {
        needed(self.database_url.as_deref(), "DATABASE_URL", "--database-url")
    }

    /// The keys of the encryption at rest, from the servers' variables.
    pub fn encryption(&self) -> Result<EncryptionSettings> {
        let source = |name: &str| std::env::var(name).ok().or_else(|| self.file.get(name).cloned());
        CommonSettings::from_source(source)?.encryption().map_err(anyhow::Error::msg)
    }

    pub fn jwt_secret(&self) -> Result<&str> {
        needed(self.jwt_secret.as_deref(), "JWT_SECRET", "--jwt-secret")
    }

    pub fn redis_url(&self) -> Result<&str> {
        needed(self.redis_url.as_deref(), "REDIS_URL", "--redis-url")
    }

    pub fn redis_prefix(&self) -> &str {
        self.redis_prefix.as_deref().unwrap_or_default()
    }

    /// The gateways to try, in order; at least one.
    pub fn urls(&self) -> Result<Vec<String>> {
        let listed = self.gateway_urls.iter().flat_map(|urls| urls.split(','));
        let mut urls: Vec<String> = listed.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        if urls.is_empty() {
            urls.extend(self.public_url.clone());
        }
        if urls.is_empty() {
            bail!("no server is known: give --url, set GATEWAY_URLS, or start one with `cargo xtask up`");
        }
        Ok(urls)
    }
}

fn needed<'a>(value: Option<&'a str>, key: &str, flag: &str) -> Result<&'a str> {
    value.with_context(|| format!("{key} is needed: set it, give {flag}, or start a stack with `cargo xtask up`"))
}

fn find_upwards(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(STACK_FILE)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_FILE_BYTES {
        bail!("the file is {size} bytes long, which is no settings file");
    }
    Ok(std::fs::read_to_string(path)?)
}

/// Lines of KEY=VALUE; `export` before and quotes around are taken off, so that a shell may read the same file.
fn parse(text: &str) -> HashMap<String, String> {
    let mut values = HashMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some((key, value)) = line.split_once('=') {
            let key = key.strip_prefix("export ").unwrap_or(key).trim();
            values.insert(key.to_owned(), unquoted(value.trim()).to_owned());
        }
    }
    values
}

fn unquoted(value: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_given_wins_over_the_file() {
        let file = parse(
            "# a comment\nDATABASE_URL=postgres://file?a=b\nexport JWT_SECRET='c2VjcmV0'\n\nGATEWAY_URLS=http://a:1, http://b:2\n",
        );
        let sources = Sources { database_url: Some("postgres://flag".to_owned()), ..Sources::default() };
        let settings = Settings::merge(sources, &file);
        assert_eq!(settings.database_url().unwrap(), "postgres://flag");
        assert_eq!(settings.jwt_secret().unwrap(), "c2VjcmV0");
        assert_eq!(settings.urls().unwrap(), ["http://a:1", "http://b:2"]);
        let file_only = Settings::merge(Sources::default(), &file);
        assert_eq!(file_only.database_url().unwrap(), "postgres://file?a=b");
    }

    #[test]
    fn without_gateways_the_public_address_serves_and_without_anything_an_error_helps() {
        let public = Settings::merge(Sources::default(), &parse("GATEWAY_URLS=\nPUBLIC_URL=http://p:1\n"));
        assert_eq!(public.urls().unwrap(), ["http://p:1"]);
        let nothing = Settings::default();
        assert!(nothing.urls().unwrap_err().to_string().contains("cargo xtask up"));
        assert!(nothing.jwt_secret().unwrap_err().to_string().contains("--jwt-secret"));
    }
}
