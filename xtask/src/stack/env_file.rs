//! `target/stack/env`: lines of KEY=VALUE for scripts and tests, and the small programs its commands name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use devstack::{ProcessId, Server};

use super::Stack;
use super::state::write_private;

/// Writes the file with the present pids.
pub fn write(stack: &Stack) -> Result<()> {
    let text: String = lines(stack).iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    write_private(&stack.dir.join("env"), text.as_bytes())
}

fn lines(stack: &Stack) -> Vec<(&'static str, String)> {
    let urls = |servers: &[Server]| servers.iter().map(Server::url).collect::<Vec<_>>().join(",");
    let pids = |servers: &[Server]| {
        servers.iter().map(|server| recorded_pid(&stack.dir, &server.name())).collect::<Vec<_>>().join(",")
    };
    let mut lines = vec![("GATEWAY_URLS", urls(&stack.gateways)), ("WORKER_URLS", urls(&stack.workers))];
    if let Some(nginx) = &stack.nginx {
        lines.push(("PUBLIC_URL", nginx.url()));
    }
    let stores = stack.stores();
    lines.extend([("DATABASE_URL", stores.database_url), ("REDIS_URL", stores.redis_url)]);
    for key in ["JWT_SECRET", "CHAT_ENCRYPTION_KEY", "CHAT_ENCRYPTION_SALT", "COMMUNITY_SYNC_TOKEN"] {
        lines.push((key, stack.setting(key)));
    }
    lines.extend([
        ("GATEWAY_PIDS", pids(&stack.gateways)),
        ("WORKER_PIDS", pids(&stack.workers)),
        ("POSTGRES_PID", recorded_pid(&stack.dir, "postgres")),
        ("REDIS_PID", recorded_pid(&stack.dir, "redis")),
    ]);
    for (key, file, _) in COMMANDS {
        lines.push((key, quoted(&stack.dir.join(file))));
    }
    lines
}

/// Returns the last recorded pid, dead or alive, so that positions in the lists stay the same.
fn recorded_pid(dir: &Path, name: &str) -> String {
    ProcessId::read(&dir.join(format!("{name}.pid"))).map(|id| id.pid.to_string()).unwrap_or_default()
}

/// Key, file, and the xtask arguments in the file. Files make each value a single word: any shell can run it from any
/// folder, and the env file can also be sourced.
const COMMANDS: [(&str, &str, &str); 4] = [
    ("RESTART_REDIS", "restart-redis", "restart-store redis"),
    ("RESTART_POSTGRES", "restart-postgres", "restart-store postgres"),
    ("START_GATEWAY", "start-gateway", "start-missing gateway"),
    ("START_WORKER", "start-worker", "start-missing worker"),
];

/// Writes the programs behind the commands: they call this executable, so nothing is built again.
pub fn write_commands(dir: &Path, root: &Path) -> Result<()> {
    let exe = std::env::current_exe().context("path of xtask")?;
    for (_, file, arguments) in COMMANDS {
        let path = dir.join(file);
        let text = format!("#!/bin/sh\nexec {} --root {} {arguments}\n", quoted(&exe), quoted(root));
        std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Returns a path as one shell word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_stay_and_others_are_quoted() {
        assert_eq!(quoted(Path::new("/a/b-1.x")), "/a/b-1.x");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
