//! Where settings come from: flags, then the environment, then the file of the running stack.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use shared::config::CommonSettings;
use shared::crypto::{EncryptionSettings, Keyring};
use shared::redis::client::RedisOptions;
use shared::wire::Wire;

/// Relative to the workspace root; searched from the current folder upwards.
const STACK_FILE: &str = "target/stack/env";
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[derive(Debug, Clone, Default, Args)]
pub struct Sources {
    /// File with KEY=VALUE lines [default: target/stack/env, searched from the current folder upwards].
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// URL of Postgres.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// URL of Redis.
    #[arg(long, global = true, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Prefix of every Redis key.
    #[arg(long, global = true, env = "REDIS_PREFIX", value_name = "PREFIX")]
    redis_prefix: Option<String>,
    /// Secret that signs tokens, in base64.
    #[arg(long, global = true, env = "JWT_SECRET", hide_env_values = true, value_name = "BASE64")]
    jwt_secret: Option<String>,
    /// Gateways, separated by commas; the first one is used, and the others if it does not answer.
    #[arg(long, global = true, env = "GATEWAY_URLS", value_name = "URLS")]
    gateway_urls: Option<String>,
    /// Address in front of all gateways, used if no gateway is named.
    #[arg(long, global = true, env = "PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
}

/// A secret, or where it is stored: read only when needed, so that a command without secrets does not fail because of
/// it.
#[derive(Clone)]
enum Secret {
    Value(String),
    File { variable: String, path: String },
}

#[derive(Clone, Default)]
pub struct Settings {
    database_url: Option<Secret>,
    redis_url: Option<Secret>,
    redis_tls_ca: Option<String>,
    redis_prefix: Option<String>,
    jwt_secret: Option<Secret>,
    worker_password: Option<Secret>,
    builtin_auth: Option<String>,
    profile_columns: Option<String>,
    gateway_urls: Option<String>,
    public_url: Option<String>,
    /// The content of the file.
    file: HashMap<String, String>,
}

impl Settings {
    /// Reads the file if it exists; one that was named explicitly must exist.
    pub fn load(sources: Sources) -> Result<Self> {
        let file = match &sources.env_file {
            Some(path) => Some(path.clone()),
            None => find_upwards(&std::env::current_dir().context("no current folder")?),
        };
        let values = match file {
            Some(path) => parse(&read(&path).with_context(|| format!("reading {}", path.display()))?),
            None => HashMap::new(),
        };
        Ok(Self::merge(sources, &|name| std::env::var(name).ok(), &values))
    }

    fn merge(sources: Sources, environment: &dyn Fn(&str) -> Option<String>, file: &HashMap<String, String>) -> Self {
        // An empty value counts as unset, wherever it comes from.
        let filled = |value: &String| !value.trim().is_empty();
        let pick =
            |given: Option<String>, key: &str| given.filter(filled).or_else(|| file.get(key).cloned().filter(filled));
        // A secret may be in a file, named wherever the secret itself could be.
        let secret = |given: Option<String>, key: &str| {
            let named = format!("{key}_FILE");
            let in_file = |path: String| Secret::File { variable: named.clone(), path };
            let value_of_file = || file.get(key).cloned().filter(filled).map(Secret::Value);
            let given = given.filter(filled).map(Secret::Value);
            given
                .or_else(|| environment(&named).filter(filled).map(in_file))
                .or_else(value_of_file)
                .or_else(|| file.get(&named).cloned().filter(filled).map(in_file))
        };
        Self {
            database_url: secret(sources.database_url, "DATABASE_URL"),
            redis_url: secret(sources.redis_url, "REDIS_URL"),
            jwt_secret: secret(sources.jwt_secret, "JWT_SECRET"),
            worker_password: secret(environment("WORKER_PASSWORD"), "WORKER_PASSWORD"),
            builtin_auth: pick(environment("BUILTIN_AUTH"), "BUILTIN_AUTH"),
            profile_columns: pick(environment("PROFILE_COLUMNS"), "PROFILE_COLUMNS"),
            redis_tls_ca: pick(environment("REDIS_TLS_CA"), "REDIS_TLS_CA"),
            redis_prefix: pick(sources.redis_prefix, "REDIS_PREFIX"),
            gateway_urls: pick(sources.gateway_urls, "GATEWAY_URLS"),
            public_url: pick(sources.public_url, "PUBLIC_URL"),
            file: file.clone(),
        }
    }

    pub fn database_url(&self) -> Result<String> {
        needed(self.database_url.as_ref(), "DATABASE_URL", "--database-url")
    }

    pub fn has_database(&self) -> bool {
        self.database_url.is_some()
    }

    pub fn has_redis(&self) -> bool {
        self.redis_url.is_some()
    }

    pub fn redis_url(&self) -> Result<String> {
        needed(self.redis_url.as_ref(), "REDIS_URL", "--redis-url")
    }

    /// How to reach Redis.
    pub fn redis_options(&self, command_timeout: Duration) -> Result<RedisOptions> {
        Ok(RedisOptions { url: self.redis_url()?, tls_ca: self.redis_tls_ca.clone(), command_timeout })
    }

    /// Empty unless it is set.
    pub fn redis_prefix(&self) -> &str {
        self.redis_prefix.as_deref().unwrap_or_default()
    }

    pub fn jwt_secret(&self) -> Result<String> {
        needed(self.jwt_secret.as_ref(), "JWT_SECRET", "--jwt-secret")
    }

    /// The password of the workers' role in Postgres, if `chatctl migrate` should create it; an empty file counts as
    /// none.
    pub fn worker_password(&self) -> Result<Option<String>> {
        let password = self.worker_password.as_ref().map(Secret::read).transpose()?;
        Ok(password.filter(|password| !password.trim().is_empty()))
    }

    /// True if the servers keep the accounts themselves.
    pub fn builtin_auth(&self) -> Result<bool> {
        match self.builtin_auth.as_deref().map(str::trim) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => bail!("BUILTIN_AUTH: expected `true` or `false`, got \"{other}\""),
        }
    }

    /// The names of the profile columns, if configured: pairs of field and column.
    pub fn profile_columns(&self) -> Result<Vec<(String, String)>> {
        let text = self.profile_columns.as_deref().unwrap_or_default();
        shared::config::parse_profile_columns(text)
            .context("PROFILE_COLUMNS: expected `field=column` separated by commas")
    }

    /// The services' settings for sealing content, from the environment and the file.
    pub fn encryption(&self) -> Result<EncryptionSettings> {
        self.common()?.encryption().map_err(anyhow::Error::msg)
    }

    /// The wire that the services use among each other; needed to send them messages.
    pub fn wire(&self) -> Result<Wire> {
        let common = self.common()?;
        let encryption = common.encryption().map_err(anyhow::Error::msg)?;
        Ok(Wire::new(Keyring::derive(&encryption)?, common.wire_format))
    }

    /// The value that a service would read, from the environment and the file.
    pub fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.file.get(name).cloned())
    }

    fn common(&self) -> Result<CommonSettings> {
        Ok(CommonSettings::from_source(|name| self.variable(name))?)
    }

    /// The gateways to try, in order; at least one.
    pub fn urls(&self) -> Result<Vec<String>> {
        let listed = self.gateway_urls.iter().flat_map(|urls| urls.split(','));
        let mut urls: Vec<String> = listed.map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect();
        if urls.is_empty() {
            urls.extend(self.public_url.clone());
        }
        if urls.is_empty() {
            bail!("no server is known: pass --url, set GATEWAY_URLS, or start one with `cargo xtask up`");
        }
        Ok(urls)
    }
}

impl Secret {
    fn read(&self) -> Result<String> {
        match self {
            Secret::Value(value) => Ok(value.clone()),
            Secret::File { variable, path } => {
                shared::config::read_secret_file(path).with_context(|| format!("{variable}: {path} cannot be read"))
            }
        }
    }
}

fn needed(secret: Option<&Secret>, key: &str, flag: &str) -> Result<String> {
    match secret {
        Some(secret) => secret.read(),
        None => bail!("{key} is needed: set it, pass {flag}, or start a stack with `cargo xtask up`"),
    }
}

fn find_upwards(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(STACK_FILE)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_FILE_BYTES {
        bail!("the file is {size} bytes long, which is too large for a settings file");
    }
    Ok(std::fs::read_to_string(path)?)
}

/// Parses lines of KEY=VALUE; a leading `export` and quotes are removed, so that a shell can read the same file.
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
        let settings = Settings::merge(sources, &|_| None, &file);
        assert_eq!(settings.database_url().unwrap(), "postgres://flag");
        assert_eq!(settings.jwt_secret().unwrap(), "c2VjcmV0");
        assert_eq!(settings.urls().unwrap(), ["http://a:1", "http://b:2"]);
        let file_only = Settings::merge(Sources::default(), &|_| None, &file);
        assert_eq!(file_only.database_url().unwrap(), "postgres://file?a=b");
    }

    #[test]
    fn the_public_address_serves_or_explains_without_gateways() {
        let file = parse("GATEWAY_URLS=\nPUBLIC_URL=http://p:1\n");
        let public = Settings::merge(Sources::default(), &|_| None, &file);
        assert_eq!(public.urls().unwrap(), ["http://p:1"]);
        let nothing = Settings::default();
        assert!(nothing.urls().unwrap_err().to_string().contains("cargo xtask up"));
        assert!(nothing.jwt_secret().unwrap_err().to_string().contains("--jwt-secret"));
    }

    #[test]
    fn secrets_may_be_in_files() {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("redis_url");
        std::fs::write(&path, "redis://from-file\n").unwrap();
        let named = path.display().to_string();
        let environment = |name: &str| (name == "REDIS_URL_FILE").then(|| named.clone());
        let file = parse("REDIS_URL=redis://stack\nDATABASE_URL_FILE=/nonexistent\nDATABASE_URL=postgres://stack\n");
        let settings = Settings::merge(Sources::default(), &environment, &file);
        assert_eq!(settings.redis_url().unwrap(), "redis://from-file");
        assert_eq!(settings.database_url().unwrap(), "postgres://stack");
        std::fs::write(&path, "\n").unwrap();
        let file = parse(&format!("WORKER_PASSWORD_FILE={named}\n"));
        assert_eq!(Settings::merge(Sources::default(), &|_| None, &file).worker_password().unwrap(), None);
        std::fs::write(&path, "from-file\n").unwrap();
        assert_eq!(
            Settings::merge(Sources::default(), &|_| None, &file).worker_password().unwrap().unwrap(),
            "from-file"
        );
        let missing = parse("JWT_SECRET_FILE=/nonexistent\n");
        let error = Settings::merge(Sources::default(), &|_| None, &missing).jwt_secret().unwrap_err();
        assert!(format!("{error:#}").contains("JWT_SECRET_FILE: /nonexistent"), "{error:#}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
