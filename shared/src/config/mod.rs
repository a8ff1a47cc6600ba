//! The settings of both services, all from environment variables. Each is declared once, with type, default, range and
//! meaning, in `common`, `gateway` and `worker`; the reference document is generated from the declarations. This module
//! does not know what a setting does, and nothing else reads the environment.

mod common;
mod gateway;
mod macros;
mod net;
mod original;
mod parse;
mod profile_columns;
mod secret;
mod wire_format;
mod worker;

pub use crate::secret::Secret;
pub use common::{CommonSettings, Environment, LogFormat, PresenceScope};
pub use gateway::GatewaySettings;
pub use macros::read_secret_file;
pub use net::{AllowedOrigins, IpNet, TrustedProxies};
pub use profile_columns::parse_profile_columns;
pub use wire_format::WireFormat;
pub use worker::{FollowPolicy, GroupAddPolicy, OnFailure, UserSearch, WorkerSettings};

/// One setting as the reference shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDoc {
    /// The environment variable.
    pub name: &'static str,
    /// The values it accepts.
    pub kind: String,
    pub default: DefaultDoc,
    /// Never printed, and may be given through a file named by `{name}_FILE`.
    pub secret: bool,
    pub meaning: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultDoc {
    Required,
    Unset,
    Value(&'static str),
}

/// All problems with the settings at a start, so that one attempt shows every mistake. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<String>,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// The declared settings in groups, each with its name.
pub fn reference() -> Vec<(&'static str, Vec<SettingDoc>)> {
    vec![("Common", CommonSettings::docs()), ("Gateway", GatewaySettings::docs()), ("Worker", WorkerSettings::docs())]
}

const REFERENCE_INTRODUCTION: &str = "\
# Configuration

Generated from the declarations in `shared/src/config`; do not edit.

Every setting is an environment variable. An empty value counts as not set. Durations are whole milliseconds or a number
with a unit (`250ms`, `30s`, `5m`, `1h`, `7d`); sizes are bytes or a number with a unit (`256KiB`, `1MiB`, `2GiB`). A secret
may instead be put into a file named by the variable with `_FILE` appended (one trailing newline is cut off). A process with
an unusable setting does not start, and names all of them.

The original server's settings are understood where they say the same: `NODE_ENV`, on gateways `PORT`, on workers `DB_HOST`,
`DB_PORT`, `DB_NAME`, `DB_USER`, `DB_PASSWORD` and `DB_SSL`, and `REDISCLOUD_URL` or `REDIS_HOST`, `REDIS_PORT` and `REDIS_PASSWORD`.
Ours decide where both are set. Others of its settings are refused with the name of what replaces them.
";

/// The reference document, `docs/configuration.md`.
pub fn reference_markdown() -> String {
    let mut page = REFERENCE_INTRODUCTION.to_owned();
    for (group, settings) in reference() {
        page.push_str(&format!("\n## {group}\n\n| setting | values | default | meaning |\n|---|---|---|---|\n"));
        for setting in settings {
            let default = match setting.default {
                DefaultDoc::Required => "**required**".to_owned(),
                DefaultDoc::Unset => "–".to_owned(),
                DefaultDoc::Value("") => "empty".to_owned(),
                DefaultDoc::Value(value) => format!("`{value}`"),
            };
            let secret = if setting.secret { " (secret)" } else { "" };
            let kind = setting.kind.replace('|', "\\|");
            let meaning = setting.meaning.replace('|', "\\|");
            page.push_str(&format!("| `{}` | {kind}{secret} | {default} | {meaning} |\n", setting.name));
        }
    }
    page
}

#[cfg(test)]
mod tests;
