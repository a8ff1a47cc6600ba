//! The settings of the original server, so that its environment can be kept in a takeover: each is understood, or an error names its replacement. If the replacement is set, it takes precedence.

use super::macros::Reader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Gateway,
    Worker,
    /// Tools, which use settings of both.
    Any,
}

type Source<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Settings of the original that this server calls something else, or does not have: name, and what to do instead.
const REPLACED: [(&str, &str); 12] = [
    ("CORS_ORIGIN", "ALLOWED_ORIGINS"),
    ("CORS_ORIGINS", "ALLOWED_ORIGINS"),
    ("DB_POOL_MAX", "DB_MAX_CONNECTIONS"),
    ("DB_POOL_MIN", "DB_MIN_CONNECTIONS"),
    ("ENCRYPTION_KEY", "CHAT_ENCRYPTION_KEY"),
    ("JWT_SECRET_KEY", "JWT_SECRET"),
    ("REDIS_KEY_PREFIX", "REDIS_PREFIX"),
    ("REDIS_DB", "REDIS_URL"),
    ("REDISTOGO_URL", "REDIS_URL"),
    ("REDISGREEN_URL", "REDIS_URL"),
    ("WS_PORT", "BIND_ADDR"),
    ("LOG_FILE", "LOG_FORMAT"),
];

const DATABASE_PARTS: [&str; 7] = ["DB_HOST", "DB_PORT", "DB_NAME", "DB_DATABASE", "DB_USER", "DB_PASSWORD", "DB_SSL"];

/// The value of a variable, derived from the original's if only those are set.
pub(super) fn translate(source: Source<'_>, service: Service, name: &str) -> Option<String> {
    let given = filled(source, name);
    if given.is_some() || filled(source, &format!("{name}_FILE")).is_some() {
        return given;
    }
    match name {
        "ENVIRONMENT" => filled(source, "NODE_ENV").map(|environment| match environment.trim() {
            "test" => "development".to_owned(),
            other => other.to_owned(),
        }),
        "BIND_ADDR" if service == Service::Gateway => {
            let port = filled(source, "PORT")?;
            Some(format!("0.0.0.0:{}", port.trim()))
        }
        "DATABASE_URL" if service != Service::Gateway => database_url(source),
        "REDIS_URL" => filled(source, "REDISCLOUD_URL").or_else(|| redis_url(source)),
        _ => None,
    }
}

/// Reports the original's settings that this server does not read.
pub(super) fn check(reader: &mut Reader<'_>, source: Source<'_>, service: Service) {
    let is_set = |name: &str| filled(source, name).is_some() || filled(source, &format!("{name}_FILE")).is_some();
    for (name, replacement) in REPLACED {
        if is_set(name) && !is_set(replacement) {
            reader.problem(format!("{name} is a setting of the original server: set {replacement} instead"));
        }
    }
    if service == Service::Worker && is_set("PORT") && !is_set("BIND_ADDR") {
        reader.problem("PORT is the gateway's: set BIND_ADDR to where the worker answers probes and metrics");
    }
    if service == Service::Gateway {
        for name in DATABASE_PARTS.iter().filter(|name| is_set(name)) {
            reader.problem(format!("{name} is the worker's: a gateway never talks to Postgres"));
        }
        return;
    }
    let parts: Vec<&str> = DATABASE_PARTS.into_iter().filter(|name| is_set(name)).collect();
    if !parts.is_empty() && !is_set("DATABASE_URL") && !is_set("DB_HOST") {
        reader.problem(format!("{} without DB_HOST: set DATABASE_URL instead", parts.join(", ")));
    }
}

fn filled(source: Source<'_>, name: &str) -> Option<String> {
    source(name).filter(|value| !value.trim().is_empty())
}

/// Kubernetes gives every pod variables like `REDIS_PORT=tcp://10.0.0.1:6379`, which nobody set deliberately.
fn port(source: Source<'_>, name: &str) -> Option<String> {
    filled(source, name).filter(|port| !port.contains("://")).map(|port| format!(":{}", port.trim()))
}

fn database_url(source: Source<'_>) -> Option<String> {
    let host = filled(source, "DB_HOST")?;
    let user = filled(source, "DB_USER").unwrap_or_else(|| "postgres".to_owned());
    let password = filled(source, "DB_PASSWORD").map(|password| format!(":{}", escaped(&password))).unwrap_or_default();
    let name = filled(source, "DB_NAME").or_else(|| filled(source, "DB_DATABASE")).unwrap_or_else(|| user.clone());
    let tls = filled(source, "DB_SSL").is_some_and(|ssl| matches!(ssl.trim(), "true" | "1" | "require"));
    let mode = if tls { "?sslmode=require" } else { "" };
    let port = port(source, "DB_PORT").unwrap_or_default();
    Some(format!("postgres://{}{password}@{}{port}/{}{mode}", escaped(user.trim()), host.trim(), escaped(name.trim())))
}

fn redis_url(source: Source<'_>) -> Option<String> {
    let host = filled(source, "REDIS_HOST")?;
    let password =
        filled(source, "REDIS_PASSWORD").map(|password| format!(":{}@", escaped(&password))).unwrap_or_default();
    let port = port(source, "REDIS_PORT").unwrap_or_default();
    Some(format!("redis://{password}{}{port}", host.trim()))
}

/// Percent-encoded for a URL.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}
