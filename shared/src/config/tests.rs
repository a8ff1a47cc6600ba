//! Reading and checking settings: defaults, bounds, secrets, and the reports of problems.
#![allow(clippy::unwrap_used)]

mod tls;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::macros::Reader;
use super::parse::{parse_byte_size, parse_duration};
use super::secret::weakness;
use super::*;

/// Base64 of 32 random bytes.
const STRONG: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQW1pXs8UeLwk=";
const STRONG_KEY: &str = "f3Jt9xQzR7mVbK2pWc8LhN5sYd4TgA6e";

type Variables = HashMap<String, String>;

fn minimal() -> Variables {
    [("JWT_SECRET", STRONG), ("CHAT_ENCRYPTION_KEY", STRONG_KEY), ("DATABASE_URL", "postgres://u:hunter2@db/chat")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn with(changes: &[(&str, &str)]) -> Variables {
    let mut variables = minimal();
    variables.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

fn gateway(changes: &[(&str, &str)]) -> Result<GatewaySettings, ConfigError> {
    let variables = with(changes);
    GatewaySettings::from_source(|name| variables.get(name).cloned())
}

fn worker(changes: &[(&str, &str)]) -> Result<WorkerSettings, ConfigError> {
    let variables = with(changes);
    WorkerSettings::from_source(|name| variables.get(name).cloned())
}

fn problems<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> Vec<String> {
    result.unwrap_err().problems
}

fn only_problem<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    let problems = problems(result);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn every_topology_of_redis_is_accepted() {
    for url in [
        "redis://u:p@h:1/0",
        "redis-sentinel://u:p@h:1/0?sentinelServiceName=chat&node=h:2",
        "redis-cluster://u:p@h:1?node=h:2",
        "rediss-cluster://u:p@h:1",
    ] {
        gateway(&[("REDIS_URL", url)]).unwrap();
        worker(&[("REDIS_URL", url)]).unwrap();
    }
}

#[test]
fn the_defaults_are_those_of_the_protocol() {
    let g = gateway(&[]).unwrap();
    assert_eq!(g.bind_addr, "0.0.0.0:8080".parse().unwrap());
    assert_eq!((g.message_rate_limit, g.ip_rate_limit, g.max_connections_per_ip), (240, 3000, 10));
    assert_eq!((g.max_connections, g.max_payload_bytes), (50_000, 1 << 20));
    assert_eq!(g.ip_rate_window, Duration::from_secs(900));
    assert_eq!([g.auth_timeout, g.connection_timeout, g.keep_alive_timeout].map(|d| d.as_secs()), [30, 300, 60]);
    assert_eq!((g.common.max_message_length, g.common.group_max_members, g.common.partitions), (5000, 50, 64));
    assert_eq!((g.common.presence_scope, g.common.environment), (PresenceScope::All, Environment::Development));
    assert!(!g.single_connection_per_user && !g.common.builtin_auth && g.community_sync_token.is_none());

    let w = worker(&[]).unwrap();
    assert_eq!((w.db_max_connections, w.db_min_connections, w.replay_limit, w.cache_messages), (10, 2, 1000, 100));
    assert_eq!([w.db_idle_timeout, w.db_connection_timeout, w.db_statement_timeout].map(|d| d.as_secs()), [30, 2, 30]);
    assert_eq!([w.common.offline_grace_period, w.edit_window, w.cache_ttl].map(|d| d.as_secs()), [60, 300, 3600]);
    let day = 86_400;
    let days = [w.event_retention_delivered, w.event_retention_undelivered, w.group_purge_after];
    assert_eq!(days.map(|d| d.as_secs()), [7 * day, 30 * day, 30 * day]);
    assert_eq!(w.follow_policy, FollowPolicy::Warn);
    assert_eq!((w.pfp_cache_max_size, w.pfp_cache_duration), (1000, Duration::from_secs(300)));
}

#[test]
fn the_url_of_a_replica_is_checked_and_never_shown() {
    assert!(worker(&[]).unwrap().database_replica_url.is_none());
    let replica = worker(&[("DATABASE_REPLICA_URL", "postgres://u:hunter3@replica/chat")]).unwrap();
    let shown = format!("{replica:?}");
    assert!(
        shown.contains("database_replica_url") && !shown.contains("hunter") && !shown.contains("@replica"),
        "{shown}"
    );
    let problem = only_problem(worker(&[("DATABASE_REPLICA_URL", "replica:hunter3@h")]));
    assert_eq!(problem, "DATABASE_REPLICA_URL: expected URL with the scheme postgres, postgresql");
}

/// Every setting has a default that its own parser accepts, or none; this finds declarations that contradict
/// themselves.
#[test]
fn every_declared_default_is_valid_and_every_range_is_enforced() {
    for (group, settings) in reference() {
        for setting in settings {
            if !setting.kind.starts_with("integer")
                && !setting.kind.starts_with("duration")
                && !setting.kind.starts_with("size")
            {
                continue;
            }
            for bad in ["-1", "1.5", "x", "99999999999999999999", "9000000000000000"] {
                let changes = [(setting.name, bad)];
                let found = if group == "Worker" { problems(worker(&changes)) } else { problems(gateway(&changes)) };
                let expected = format!("{}: expected {}, got \"{bad}\"", setting.name, setting.kind);
                assert_eq!(found, [expected]);
            }
        }
    }
}

#[test]
fn every_setting_is_declared_once_and_explained() {
    let common: HashSet<_> = CommonSettings::docs().iter().map(|s| s.name).collect();
    for (group, settings) in reference() {
        let mut names = HashSet::new();
        for setting in &settings {
            assert!(names.insert(setting.name), "{} twice in {group}", setting.name);
            assert!(group == "Common" || !common.contains(setting.name), "{} in {group} too", setting.name);
            assert!(setting.meaning.ends_with('.') && setting.meaning.len() > 8, "{}", setting.name);
        }
    }
}

#[test]
fn the_reference_shows_every_setting() {
    let page = reference_markdown();
    for line in [
        "| `JWT_SECRET` | base64 of at least 32 bytes (secret) | **required** |",
        "| `AUTH_TIMEOUT` | duration, 1s to 10m | `30s` | Time to authenticate after connecting. |",
        "| `FOLLOW_POLICY` | `off`, `warn`, `enforce` | `warn` |",
        "| `COMMUNITY_SYNC_TOKEN` |",
        "| `REDIS_PREFIX` | up to 32 of `a-z A-Z 0-9 : _ -` | empty |",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, reference().iter().map(|(_, settings)| settings.len()).sum::<usize>());
}

#[test]
fn all_problems_are_reported_together_and_show_no_secret() {
    let variables: Variables = [
        ("JWT_SECRET", "dG9vIHNob3J0"),
        ("PARTITIONS", "0"),
        ("MAX_PAYLOAD_SIZE", "1MB"),
        ("FOLLOW_POLICY", "strict"),
        ("REDIS_URL", "http://:hunter2@redis"),
        ("PRESENCE_SCOPE", "some"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let error = GatewaySettings::from_source(|name| variables.get(name).cloned()).unwrap_err();
    let text = error.to_string();
    for part in [
        "JWT_SECRET: decodes to 9 bytes, at least 32 are needed",
        "PARTITIONS: expected integer, 1 to 1024, got \"0\"",
        "MAX_PAYLOAD_SIZE: expected size, 1KiB to 64MiB, got \"1MB\"",
        "REDIS_URL: expected URL with the scheme redis,",
        "PRESENCE_SCOPE: expected `all`, `contacts`, got \"some\"",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("hunter2") && !text.contains("dG9v") && !text.contains("FOLLOW_POLICY"), "{text}");
}

#[test]
fn an_issuer_needs_all_settings_and_https_in_production() {
    const URL: &str = "https://issuer.example.org/keys";
    let issuer = [("JWKS_URL", URL), ("TOKEN_ISSUER", "https://issuer.example.org/")];
    let alone = [issuer[0], issuer[1], ("JWT_SECRET", "")];
    assert!(gateway(&alone).unwrap().jwt_secret.is_none());
    assert_eq!(gateway(&issuer).unwrap().token_user_claim, "sub");
    for (changes, start) in [
        (vec![("JWKS_URL", URL)], "TOKEN_ISSUER is required"),
        (vec![("TOKEN_AUDIENCE", "chat")], "TOKEN_ISSUER and TOKEN_AUDIENCE go with JWKS_URL"),
        (vec![("JWKS_URL", "issuer.example.org/keys"), issuer[1]], "JWKS_URL: expected URL"),
        (vec![("JWKS_URL", "https://user@issuer.example.org/"), issuer[1]], "JWKS_URL: expected URL"),
        ([&alone[..], &[("BUILTIN_AUTH", "true")]].concat(), "JWT_SECRET is required with BUILTIN_AUTH"),
        ([&alone[..], &[("JWT_SECRET_PREVIOUS", STRONG)]].concat(), "JWT_SECRET_PREVIOUS is set"),
        (
            vec![("JWKS_URL", "http://issuer.example.org/keys"), issuer[1], ("ENVIRONMENT", "production")],
            "JWKS_URL must begin with https://",
        ),
    ] {
        let problem = only_problem(gateway(&changes));
        assert!(problem.starts_with(start), "{start}: {problem}");
    }
}

#[test]
fn missing_secrets_are_all_named_in_development_too() {
    let found = problems(GatewaySettings::from_source(|_| None));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|p| p.starts_with("JWT_SECRET is required")));
    assert!(found.contains(&"CHAT_ENCRYPTION_KEY or CHAT_ENCRYPTION_KEYS is required".to_owned()), "{found:?}");
    let found = problems(WorkerSettings::from_source(|_| None));
    assert!(found.iter().any(|p| p.starts_with("DATABASE_URL is required")), "{found:?}");
    assert!(found.contains(&"CHAT_ENCRYPTION_KEY or CHAT_ENCRYPTION_KEYS is required".to_owned()), "{found:?}");
}

#[test]
fn an_empty_value_counts_as_not_set() {
    let g = gateway(&[("AUTH_TIMEOUT", ""), ("COMMUNITY_SYNC_TOKEN", "  "), ("JWT_SECRET_FILE", "")]).unwrap();
    assert_eq!(g.auth_timeout, Duration::from_secs(30));
    assert!(g.community_sync_token.is_none());
    assert!(only_problem(gateway(&[("JWT_SECRET", " ")])).starts_with("JWT_SECRET is required"));
}

#[test]
fn values_come_in_all_their_forms() {
    let g = gateway(&[
        ("AUTH_TIMEOUT", "45000"),
        ("CONNECTION_TIMEOUT", "0"),
        ("MAX_PAYLOAD_SIZE", "256KiB"),
        ("BUILTIN_AUTH", "1"),
        ("SINGLE_CONNECTION_PER_USER", "TRUE"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1,"),
        ("ALLOWED_ORIGINS", "https://Chat.example.org/, http://localhost:3000"),
        ("LOG_LEVEL", "info,gateway=debug"),
        ("LOG_FORMAT", "json"),
        ("REDIS_URL", "rediss://:pw@redis:6380"),
    ])
    .unwrap();
    assert_eq!(g.auth_timeout, Duration::from_secs(45));
    assert!(g.connection_timeout.is_zero());
    assert_eq!(g.max_payload_bytes, 256 << 10);
    assert!(g.common.builtin_auth && g.single_connection_per_user);
    assert_eq!(g.common.log_format, LogFormat::Json);
    assert!(g.trusted_proxies.contains("10.200.3.4".parse().unwrap()));
    assert!(g.allowed_origins.allows("https://chat.example.org") && g.allowed_origins.allows("http://LOCALHOST:3000"));
    assert!(!g.allowed_origins.allows("https://chat.example.org.evil.example") && !g.allowed_origins.allows("null"));
    let shown = format!("{g:?}");
    assert!(!shown.contains(STRONG) && !shown.contains(STRONG_KEY) && !shown.contains(":pw@"), "{shown}");
}

#[test]
fn malformed_values_are_rejected() {
    for (name, value) in [
        ("BUILTIN_AUTH", "yes"),
        ("BIND_ADDR", "8080"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "nginx"),
        ("TRUSTED_PROXIES", "10.0.0.0/+8"),
        ("ALLOWED_ORIGINS", "chat.example.org"),
        ("ALLOWED_ORIGINS", "https://*.example.org"),
        ("ALLOWED_ORIGINS", "*,https://a.example"),
        ("LOG_LEVEL", "info,gateway=loud"),
        ("LOG_FORMAT", "JSON"),
        ("REDIS_PREFIX", "a b"),
        ("REDIS_PREFIX", "{tag}"),
        ("ENVIRONMENT", "prod"),
    ] {
        let problem = only_problem(gateway(&[(name, value)]));
        assert!(problem.starts_with(name), "{problem}");
    }
}

#[test]
fn contradictory_settings_are_rejected() {
    for (changes, named) in [
        (&[("PING_INTERVAL", "60s")][..], "PING_INTERVAL must be less than KEEP_ALIVE_TIMEOUT"),
        (&[("DRAIN_WINDOW", "31s")], "DRAIN_WINDOW must not be more than SHUTDOWN_TIMEOUT"),
        (&[("MAX_CONNECTIONS", "10")], "MAX_PENDING must not be more than MAX_CONNECTIONS"),
        (&[("OUTBOX_LIMIT", "64KiB")], "OUTBOX_LIMIT must not be less than MAX_PAYLOAD_SIZE"),
        (&[("MAX_PAYLOAD_SIZE", "32KiB")], "MAX_PAYLOAD_SIZE is too small"),
    ] {
        let problem = only_problem(gateway(changes));
        assert!(problem.starts_with(named), "{problem}");
    }
    for (changes, named) in [
        (&[("DB_MIN_CONNECTIONS", "11")][..], "DB_MIN_CONNECTIONS must not be more"),
        (&[("WORKER_PIPELINES", "10")], "WORKER_PIPELINES must be less than DB_MAX_CONNECTIONS"),
        (&[("LEASE_TTL", "1999ms")], "LEASE_TTL must be at least four times LEASE_INTERVAL"),
        (&[("EVENT_RETENTION_DELIVERED", "31d")], "EVENT_RETENTION_UNDELIVERED must not be less"),
    ] {
        let problem = only_problem(worker(changes));
        assert!(problem.starts_with(named), "{problem}");
    }
    assert!(worker(&[("LEASE_TTL", "2s")]).is_ok());
}

#[test]
fn encryption_is_set_by_one_key_or_by_a_list() {
    let single = worker(&[]).unwrap().common.encryption().unwrap();
    assert_eq!(single.keys.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
    assert!(single.legacy_key.is_some());

    let list =
        [("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEYS", "2:new,1:old"), ("CHAT_ENCRYPTION_LEGACY_KEY", "old")];
    let rotated = worker(&list).unwrap().common.encryption().unwrap();
    assert_eq!(rotated.keys.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(rotated.legacy_key.unwrap().expose(), "old");

    for (changes, named) in [
        (&[("CHAT_ENCRYPTION_KEYS", "1:a")][..], "CHAT_ENCRYPTION_KEY and CHAT_ENCRYPTION_KEYS are both set"),
        (&[("CHAT_ENCRYPTION_LEGACY_KEY", "a")], "CHAT_ENCRYPTION_LEGACY_KEY goes with"),
        (&[("CHAT_ENCRYPTION_KEY", "")], "CHAT_ENCRYPTION_KEY or CHAT_ENCRYPTION_KEYS is required"),
        (&[("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEYS", "hunter2")], "CHAT_ENCRYPTION_KEYS: entry 1"),
        (
            &[("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEYS", "1:a,1:b")],
            "CHAT_ENCRYPTION_KEYS: key id 1 is given twice",
        ),
    ] {
        let problem = only_problem(worker(changes));
        assert!(problem.starts_with(named) && !problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn production_rejects_weak_secrets() {
    let production = ("ENVIRONMENT", "production");
    assert!(gateway(&[production, ("COMMUNITY_SYNC_TOKEN", STRONG_KEY)]).is_ok());
    assert!(worker(&[production]).is_ok());
    let weak_jwt = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (name, value) in [
        ("JWT_SECRET", weak_jwt),
        ("CHAT_ENCRYPTION_KEY", "changeme"),
        ("CHAT_ENCRYPTION_KEY", "change-me-change-me-change-me-change-me"),
        ("COMMUNITY_SYNC_TOKEN", "hunter2"),
        ("CHAT_ENCRYPTION_SALT", "salt"),
    ] {
        let problem = only_problem(gateway(&[production, (name, value)]));
        assert!(problem.starts_with(name), "{problem}");
        assert!(name == "CHAT_ENCRYPTION_SALT" || !problem.contains(value), "{problem}");
        assert!(gateway(&[(name, value)]).is_ok(), "{name} in development");
    }
    let keys = format!("2:{STRONG_KEY},1:changeme");
    let problem = only_problem(worker(&[production, ("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEYS", &keys)]));
    assert!(problem.starts_with("CHAT_ENCRYPTION_KEYS: the key with id 1 is shorter"), "{problem}");
}

#[test]
fn weak_secrets_are_told_from_strong_ones() {
    use base64::Engine;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    for weak in [
        "",
        "changeme",
        &"a".repeat(64),
        &"abcdefgh12".repeat(5),
        "0123456789abcdefghijklmnopqrstuvwxyz",
        "0123456789abcdef0123456789abcdef",
        "your-super-secret-jwt-key-please-replace",
        "MyCompanyPASSWORD-2024-for-everything!",
        &encoded("your-256-bit-secret-goes-here-in-this-place"),
        &encoded(&"\u{0}".repeat(32)),
    ] {
        assert!(weakness(weak).is_some(), "{weak}");
    }
    for strong in [STRONG, STRONG_KEY, "6f1c0d9b7a3e5842c1d0e9f8a7b6c5d43f2e1d0c9b8a79685746352413029f8e"] {
        assert_eq!(weakness(strong), None, "{strong}");
    }
}

#[test]
fn secrets_can_come_from_files() {
    let directory = std::env::temp_dir().join(format!("config-test-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&directory).unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let file = |path: &str| gateway(&[("JWT_SECRET", ""), ("JWT_SECRET_FILE", path)]);
    for (name, content) in
        [("lf", format!("{STRONG}\n")), ("crlf", format!("{STRONG}\r\n")), ("none", STRONG.to_owned())]
    {
        assert_eq!(file(&write(name, content.as_bytes())).unwrap().jwt_secret.unwrap().expose(), STRONG);
    }
    let key = worker(&[("CHAT_ENCRYPTION_KEY", " a key "), ("CHAT_ENCRYPTION_SALT", " s ")]).unwrap();
    assert_eq!(key.common.encryption_key.unwrap().expose(), " a key ");
    assert_eq!(key.common.encryption_salt, " s ");
    // Only one newline is removed; what comes before it belongs to the secret.
    let two = write("two", b" a key \n\n");
    let key = worker(&[("CHAT_ENCRYPTION_KEY", ""), ("CHAT_ENCRYPTION_KEY_FILE", &two)]).unwrap();
    assert_eq!(key.common.encryption_key.unwrap().expose(), " a key \n");

    let good = write("good", STRONG.as_bytes());
    let both = only_problem(gateway(&[("JWT_SECRET_FILE", &good)]));
    assert_eq!(both, "JWT_SECRET and JWT_SECRET_FILE are both set, one must go");
    assert!(only_problem(file("/nowhere/at/all")).contains("cannot be read"));
    assert!(only_problem(file(&write("empty", b"\n"))).contains("is empty"));
    assert!(only_problem(file(&write("large", &[b'a'; 65 * 1024]))).contains("longer than 64 KiB"));
    assert!(only_problem(file(&write("binary", &[0xff; 40]))).contains("cannot be read"));
    assert!(only_problem(file(directory.to_str().unwrap())).contains("cannot be read"));
    // Only secrets can come from files.
    assert!(gateway(&[("LOG_LEVEL_FILE", "/nowhere")]).is_ok());
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn networks_contain_their_addresses() {
    let contains =
        |net: &str, address: &str| net.parse::<IpNet>().unwrap().contains(address.parse::<IpAddr>().unwrap());
    assert!(contains("10.0.0.0/8", "10.255.255.255") && !contains("10.0.0.0/8", "11.0.0.0"));
    assert!(contains("10.9.9.9/8", "10.0.0.1"));
    assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
    assert!(contains("192.168.1.7", "192.168.1.7") && !contains("192.168.1.7", "192.168.1.8"));
    assert!(contains("172.16.0.0/12", "172.31.0.1") && !contains("172.16.0.0/12", "172.32.0.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(contains("2001:db8::/32", "2001:db8:ffff::1") && !contains("2001:db8::/32", "2001:db9::1"));
    assert!(contains("::/0", "2001:db8::1") && contains("::1", "::1") && !contains("::1/128", "::2"));
    for bad in ["", "/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "10.0.0", "10.0.0.0/256"] {
        assert!(bad.parse::<IpNet>().is_err(), "{bad}");
    }
}

#[test]
fn durations_and_sizes() {
    let duration = |text| parse_duration(text).map(|d| d.as_millis());
    let expected = [
        ("0", 0),
        ("1500", 1500),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("5 m", 300_000),
    ];
    for (text, ms) in expected {
        assert_eq!(duration(text), Some(ms), "{text}");
    }
    for bad in ["", "s", "-1", "1.5s", "1w", "1S", "18446744073709551615d", "1s1", " 1", "+1"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
    assert_eq!(parse_byte_size("1048576"), parse_byte_size("1MiB"));
    assert_eq!(parse_byte_size("2GiB"), Some(2 << 30));
    for bad in ["", "MiB", "1MB", "1mib", "1.5MiB", "-1", "18446744073709551615GiB"] {
        assert_eq!(parse_byte_size(bad), None, "{bad}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?}"), "[redacted]");
    assert_eq!(secret.expose(), "hunter2");
}

proptest! {
    #[test]
    fn no_value_makes_the_reader_panic(value in ".{0,80}") {
        for (_, settings) in reference() {
            for setting in settings {
                let changes = [(setting.name, value.as_str())];
                let _ = gateway(&changes);
                let _ = worker(&changes);
            }
        }
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix(net: u128, other: u128, bits in 0u8..=128) {
        let address = IpAddr::V6(std::net::Ipv6Addr::from_bits(other));
        prop_assume!(address.to_canonical().is_ipv6());
        let parsed: IpNet = format!("{}/{bits}", std::net::Ipv6Addr::from_bits(net)).parse().unwrap();
        let shares = bits == 0 || (net ^ other).leading_zeros() >= u32::from(bits);
        prop_assert_eq!(parsed.contains(address), shares);
    }
}

#[test]
fn the_reader_collects_problems() {
    let mut reader = Reader::new(&|_| None);
    reader.problem("one");
    reader.problem("two");
    assert_eq!(reader.finish(Some(())), Err(ConfigError { problems: vec!["one".into(), "two".into()] }));
}

#[test]
fn the_originals_settings_are_understood() {
    let read = |changes: &[(&str, &str)]| -> Variables {
        let mut variables = with(changes);
        variables.remove("DATABASE_URL");
        variables
    };
    let variables = read(&[
        ("NODE_ENV", "production"),
        ("DB_HOST", "db.example.org"),
        ("DB_PORT", "5433"),
        ("DB_NAME", "elite"),
        ("DB_USER", "elite user"),
        ("DB_PASSWORD", "p@ss/word"),
        ("DB_SSL", "true"),
        ("REDISCLOUD_URL", "redis://default:pw@cloud:17000"),
    ]);
    let w = WorkerSettings::from_source(|name| variables.get(name).cloned()).unwrap();
    assert_eq!(w.common.environment, Environment::Production);
    assert_eq!(
        w.database_url.expose(),
        "postgres://elite%20user:p%40ss%2Fword@db.example.org:5433/elite?sslmode=require"
    );
    assert_eq!(w.common.redis_url.expose(), "redis://default:pw@cloud:17000");

    let g = gateway(&[("PORT", "3001"), ("REDIS_HOST", "redis"), ("REDIS_PASSWORD", "x y"), ("REDIS_PORT", "6380")])
        .unwrap();
    assert_eq!(g.bind_addr, "0.0.0.0:3001".parse().unwrap());
    assert_eq!(g.common.redis_url.expose(), "redis://:x%20y@redis:6380");
    // Ours take precedence, and the variables that Kubernetes puts into every pod are ignored.
    let g = gateway(&[
        ("PORT", "3001"),
        ("BIND_ADDR", "127.0.0.1:1"),
        ("NODE_ENV", "production"),
        ("ENVIRONMENT", "development"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),
    ])
    .unwrap();
    assert_eq!((g.bind_addr, g.common.environment), ("127.0.0.1:1".parse().unwrap(), Environment::Development));
}

#[test]
fn the_originals_settings_that_nothing_reads_are_named() {
    for (variable, named) in [
        ("CORS_ORIGIN", "set ALLOWED_ORIGINS instead"),
        ("ENCRYPTION_KEY", "set CHAT_ENCRYPTION_KEY instead"),
        ("DB_HOST", "a gateway never talks to Postgres"),
    ] {
        let variables: Variables = [("JWT_SECRET", STRONG), ("CHAT_ENCRYPTION_KEYS", "1:some key"), (variable, "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let problem = only_problem(GatewaySettings::from_source(|name| variables.get(name).cloned()));
        assert!(problem.contains(variable) && problem.contains(named), "{problem}");
    }
    assert!(only_problem(worker(&[("PORT", "3001")])).contains("BIND_ADDR"));
    assert!(problems(worker(&[("DB_POOL_MAX", "20")]))[0].contains("DB_MAX_CONNECTIONS"));
    assert!(worker(&[("PORT", "3001"), ("BIND_ADDR", "127.0.0.1:1"), ("DB_HOST", "h")]).is_ok(), "ours are set");
}

#[test]
fn production_rejects_the_published_key_and_names_the_fix() {
    let default = "super-secure-aes-encryption-key-32";
    let problem = only_problem(worker(&[("ENVIRONMENT", "production"), ("CHAT_ENCRYPTION_KEY", default)]));
    assert!(problem.contains("CHAT_ENCRYPTION_LEGACY_KEY") && !problem.contains(default), "{problem}");
    assert!(worker(&[("CHAT_ENCRYPTION_KEY", default)]).is_ok(), "only in production");
    let mut variables = with(&[
        ("ENVIRONMENT", "production"),
        ("CHAT_ENCRYPTION_KEYS", &format!("1:{STRONG_KEY}")),
        ("CHAT_ENCRYPTION_LEGACY_KEY", default),
    ]);
    variables.remove("CHAT_ENCRYPTION_KEY");
    let w = WorkerSettings::from_source(|name| variables.get(name).cloned()).unwrap();
    assert_eq!(w.common.encryption().unwrap().legacy_key.unwrap().expose(), default);
}
