//! What a stack must remember over restarts: ports, passwords, secrets and the settings of its caller.
//!
//! Two files, readable only by their owner: `state`, lines of KEY=VALUE, and `caller.env`, separated by NUL because
//! values may contain anything.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use devstack::fleet::Env;
use devstack::{Secrets, ports, secrets};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub postgres_port: u16,
    pub postgres_password: String,
    pub redis_port: u16,
    pub redis_password: String,
    /// Used if nginx is installed.
    pub nginx_port: u16,
    pub has_nginx: bool,
    pub gateway_ports: Vec<u16>,
    pub worker_ports: Vec<u16>,
    pub secrets: Secrets,
    pub bin_dir: PathBuf,
    /// The environment of `up`, as far as servers may see it.
    pub caller_env: Env,
}

impl State {
    pub fn generate() -> Result<Self> {
        Ok(Self {
            postgres_port: 0,
            postgres_password: secrets::password()?,
            redis_port: 0,
            redis_password: secrets::password()?,
            nginx_port: 0,
            has_nginx: false,
            gateway_ports: Vec::new(),
            worker_ports: Vec::new(),
            secrets: Secrets::generate()?,
            bin_dir: PathBuf::new(),
            caller_env: Env::new(),
        })
    }

    /// Keeps the ports that are still free, finds new ones for the rest.
    pub fn assign_ports(&mut self, gateways: usize, workers: usize) -> Result<()> {
        self.gateway_ports.resize(gateways, 0);
        self.worker_ports.resize(workers, 0);
        let mut spare = ports::free(gateways + workers + 3)?;
        let all = self.gateway_ports.iter_mut().chain(&mut self.worker_ports).chain([
            &mut self.postgres_port,
            &mut self.redis_port,
            &mut self.nginx_port,
        ]);
        let mut used = Vec::new();
        for port in all {
            while *port == 0 || used.contains(port) || !ports::is_free(*port) {
                *port = spare.pop().context("too few free ports")?;
            }
            used.push(*port);
        }
        Ok(())
    }

    pub fn save(&self, dir: &Path) -> Result<()> {
        let join = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let lines = [
            ("POSTGRES_PORT", self.postgres_port.to_string()),
            ("POSTGRES_PASSWORD", self.postgres_password.clone()),
            ("REDIS_PORT", self.redis_port.to_string()),
            ("REDIS_PASSWORD", self.redis_password.clone()),
            ("NGINX_PORT", self.nginx_port.to_string()),
            ("HAS_NGINX", self.has_nginx.to_string()),
            ("GATEWAY_PORTS", join(&self.gateway_ports)),
            ("WORKER_PORTS", join(&self.worker_ports)),
            ("JWT_SECRET", self.secrets.jwt_secret.clone()),
            ("CHAT_ENCRYPTION_KEY", self.secrets.encryption_key.clone()),
            ("CHAT_ENCRYPTION_SALT", self.secrets.encryption_salt.clone()),
            ("COMMUNITY_SYNC_TOKEN", self.secrets.community_sync_token.clone()),
            ("BIN_DIR", self.bin_dir.to_str().context("the target folder's name is not UTF-8")?.to_owned()),
        ];
        let text: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        write_private(&dir.join("state"), text.as_bytes())?;
        let mut bytes = Vec::new();
        for (key, value) in &self.caller_env {
            bytes.extend([key.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
        }
        write_private(&dir.join("caller.env"), &bytes)
    }

    /// Returns `None` if there is no state; fails if it cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("state");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let caller_env = parse_env(&std::fs::read(dir.join("caller.env")).unwrap_or_default());
        let help = || format!("{} is damaged; `cargo xtask down`, then `cargo xtask up --fresh`", path.display());
        Self::parse(&text, caller_env).with_context(help).map(Some)
    }

    fn parse(text: &str, caller_env: Env) -> Result<Self> {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |key: &str| values.get(key).copied().with_context(|| format!("no {key}"));
        let port = |key: &str| get(key)?.parse::<u16>().with_context(|| key.to_owned());
        let list = |key: &str| -> Result<Vec<u16>> {
            get(key)?.split(',').filter(|p| !p.is_empty()).map(|p| p.parse().context("port")).collect()
        };
        Ok(Self {
            postgres_port: port("POSTGRES_PORT")?,
            postgres_password: get("POSTGRES_PASSWORD")?.to_owned(),
            redis_port: port("REDIS_PORT")?,
            redis_password: get("REDIS_PASSWORD")?.to_owned(),
            nginx_port: port("NGINX_PORT")?,
            has_nginx: get("HAS_NGINX")? == "true",
            gateway_ports: list("GATEWAY_PORTS")?,
            worker_ports: list("WORKER_PORTS")?,
            secrets: Secrets {
                jwt_secret: get("JWT_SECRET")?.to_owned(),
                encryption_key: get("CHAT_ENCRYPTION_KEY")?.to_owned(),
                encryption_salt: get("CHAT_ENCRYPTION_SALT")?.to_owned(),
                community_sync_token: get("COMMUNITY_SYNC_TOKEN")?.to_owned(),
            },
            bin_dir: get("BIN_DIR")?.into(),
            caller_env,
        })
    }
}

fn parse_env(bytes: &[u8]) -> Env {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (entry.get(..at)?, entry.get(at + 1..)?);
            Some((OsString::from_vec(key.to_vec()), OsString::from_vec(value.to_vec())))
        })
        .collect()
}

/// Replaces the file atomically; only its owner may read it.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let _ = std::fs::remove_file(&partial);
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn is_remembered_exactly_and_privately() {
        let scratch = devstack::Scratch::new("state").unwrap();
        assert_eq!(State::load(scratch.dir()).unwrap(), None);
        let mut state = State::generate().unwrap();
        state.assign_ports(2, 3).unwrap();
        state.caller_env = vec![("A".into(), "line\nbreak=x".into()), ("EMPTY".into(), "".into())];
        state.save(scratch.dir()).unwrap();
        assert_eq!(State::load(scratch.dir()).unwrap(), Some(state));
        for file in ["state", "caller.env"] {
            let mode = std::fs::metadata(scratch.dir().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(scratch.dir().join("state"), "POSTGRES_PORT=x\n").unwrap();
        assert!(format!("{:#}", State::load(scratch.dir()).unwrap_err()).contains("--fresh"));
    }

    #[test]
    fn ports_are_kept_while_they_are_free() {
        let mut state = State::generate().unwrap();
        state.assign_ports(2, 2).unwrap();
        let before = state.clone();
        state.assign_ports(2, 2).unwrap();
        assert_eq!(state, before);
        let _taken = std::net::TcpListener::bind(("127.0.0.1", before.gateway_ports[0])).unwrap();
        state.assign_ports(3, 1).unwrap();
        assert_ne!(state.gateway_ports[0], before.gateway_ports[0]);
        assert_eq!(state.gateway_ports[1], before.gateway_ports[1]);
        assert_eq!((state.gateway_ports.len(), state.worker_ports.len()), (3, 1));
        assert_eq!(state.redis_port, before.redis_port);
    }
}
