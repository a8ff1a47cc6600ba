//! PgBouncer in transaction mode in front of a Postgres: two server sessions for all of its clients, so that
//! consecutive transactions rarely get the same session.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::identity::Signal;
use crate::process::{Launch, Process};
use crate::{ports, user, wait};

const NAME: &str = "pgbouncer";
const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    process: Process,
}

impl PgBouncer {
    /// Starts it in front of the server of this URL. Accepts any client, and signs in with the URL's user and password.
    pub fn start(program: &Path, state_dir: &Path, server_url: &str) -> Result<Self> {
        let port = ports::free_one()?;
        let config = state_dir.join("pgbouncer.ini");
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&config)
            .and_then(|mut file| std::io::Write::write_all(&mut file, render(server_url, port)?.as_bytes()))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut args = vec![config.into_os_string()];
        // It refuses to run as root, and drops privileges once it has read the file.
        if let Some(user) = user::unprivileged()? {
            args.splice(0..0, ["-u".into(), user.name.into()]);
        }
        let mut process = Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: PathBuf::from(program),
            args,
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            state_dir: state_dir.to_path_buf(),
            working_dir: state_dir.to_path_buf(),
            user: None,
        })?;
        wait::until("PgBouncer listens", START_TIMEOUT, || {
            process.check_alive()?;
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
        })?;
        Ok(Self { port, process })
    }

    /// Returns the URL of the same database through PgBouncer.
    pub fn url(&self, direct: &str) -> String {
        let database = direct.rsplit('/').next().unwrap_or_default();
        format!("postgres://chat@127.0.0.1:{}/{database}", self.port)
    }

    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(Signal::INT, STOP_GRACE).map(drop)
    }
}

fn render(server_url: &str, port: u16) -> std::io::Result<String> {
    let unreadable = || std::io::Error::other("not a URL with user, password, host and port");
    let (user, rest) =
        server_url.split_once("://").and_then(|(_, rest)| rest.split_once(':')).ok_or_else(unreadable)?;
    let (password, rest) = rest.split_once('@').ok_or_else(unreadable)?;
    let (host, rest) = rest.split_once(':').ok_or_else(unreadable)?;
    let server_port = rest.split('/').next().unwrap_or_default();
    Ok(format!(
        "[databases]\n* = host={host} port={server_port} user={user} password={password}\n\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_taken_from_its_url() {
        let config = render("postgres://chat:secret@127.0.0.1:1234/test_x", 5).unwrap();
        assert!(config.contains("* = host=127.0.0.1 port=1234 user=chat password=secret\n"), "{config}");
        assert!(render("postgres://nobody", 5).is_err());
    }
}
