//! A private PostgreSQL: created by initdb, on a loopback port, with a password of its own.
//!
//! PostgreSQL refuses to run as root, so under root it runs as another user, who must be able to reach its folder; if a
//! parent folder forbids that, the data is under a temporary folder and the stack's folder links to it.

mod replica;

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::{ProcessId, Signal};
use crate::process::{Launch, Process};
use crate::programs::PostgresPrograms;
use crate::user::{self, User};
use crate::wait;

const NAME: &str = "postgres";
const SUPERUSER: &str = "chat";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(20);

/// Determines if a power failure may lose data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in production.
    Durable,
    /// For tests: nothing is forced to disk. Survives kill -9, not a crash of the machine.
    Fast,
}

#[derive(Debug)]
pub struct Postgres {
    programs: PostgresPrograms,
    state_dir: PathBuf,
    /// Belongs to `user`; holds `data`.
    home: PathBuf,
    user: Option<User>,
    port: u16,
    password: String,
    durability: Durability,
    process: Option<Process>,
}

impl Postgres {
    /// Creates the data folder in `state_dir` if there is none, and finds the server if it runs. Does not start it.
    pub fn open(
        programs: &PostgresPrograms,
        state_dir: &Path,
        port: u16,
        password: &str,
        durability: Durability,
    ) -> Result<Self> {
        let user = user::unprivileged()?;
        let home = prepare_home(state_dir, user.as_ref())?;
        let postgres = Self {
            programs: programs.clone(),
            state_dir: state_dir.to_path_buf(),
            home,
            user,
            port,
            password: password.to_owned(),
            durability,
            process: Process::attach(NAME, state_dir),
        };
        postgres.initialise()?;
        Ok(postgres)
    }

    /// The matching client program.
    pub fn psql(&self) -> &Path {
        &self.programs.psql
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_alive)
    }

    /// Returns the URL of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.port, database)
    }

    /// Returns the same URL with another port, such as a proxy's.
    pub fn url_at(&self, port: u16, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{port}/{database}", self.password)
    }

    /// Starts it unless it runs, and waits until it answers queries.
    pub fn start(&mut self) -> Result<()> {
        if !self.is_alive() {
            self.process = Some(self.spawn()?);
        }
        wait::until("PostgreSQL answers", START_TIMEOUT, || {
            if !self.is_alive() {
                if self.found_data_in_use() {
                    std::thread::sleep(Duration::from_millis(100));
                    self.process = Some(self.spawn()?);
                } else if let Some(process) = &mut self.process {
                    process.check_alive()?;
                }
                return Ok(None);
            }
            let listens = std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            Ok((listens && self.query("postgres", "select 1").is_ok()).then_some(()))
        })
    }

    /// Returns true if it ended because of the previous server: after kill -9 the backends need a moment to notice, and
    /// go on writing to the log.
    fn found_data_in_use(&self) -> bool {
        let Some(process) = &self.process else { return false };
        let own = format!("[{}]", process.pid());
        process.log_tail(usize::MAX).lines().any(|line| {
            line.contains(&own) && (line.contains("shared memory block") || line.contains("postmaster.pid"))
        })
    }

    /// The ordinary end: clients are disconnected, the data is checkpointed.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::INT, STOP_GRACE)?;
        }
        Ok(())
    }

    /// kill -9 of the server's main process; its backends end by themselves.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops it if it is running and starts it again on the same port and data.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Runs SQL and returns the rows, columns separated by `|`.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        psql(&self.programs.psql, &self.url(database), &["-c", sql])
    }

    /// Runs a file of SQL; the first error ends it.
    pub fn run_file(&self, database: &str, file: &Path) -> Result<()> {
        let path = file.to_str().with_context(|| format!("path {}", file.display()))?;
        psql(&self.programs.psql, &self.url(database), &["-f", path]).map(drop)
    }

    /// Creates a database unless it exists; returns its URL.
    pub fn create_database(&self, name: &str) -> Result<String> {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            bail!("database name {name:?}: only a-z, 0-9 and _");
        }
        let found = self.query("postgres", &format!("select 1 from pg_database where datname = '{name}'"))?;
        if found.is_empty() {
            self.query("postgres", &format!("create database \"{name}\""))?;
        }
        Ok(self.url(name))
    }

    /// Returns true if statement statistics are loaded, so that the extension can be created.
    pub fn has_statistics(&self) -> bool {
        self.durability == Durability::Durable && self.programs.has_module("pg_stat_statements")
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn initialise(&self) -> Result<()> {
        if self.data().join("PG_VERSION").is_file() {
            let found = std::fs::read_to_string(self.data().join("PG_VERSION")).unwrap_or_default();
            if found.trim() != self.programs.major.to_string() {
                bail!(
                    "the data folder is of PostgreSQL {}, found is {}; start afresh",
                    found.trim(),
                    self.programs.major
                );
            }
            return Ok(());
        }
        // The incomplete folder of an interrupted initdb.
        if self.data().exists() {
            std::fs::remove_dir_all(self.data())?;
        }
        let password_file = self.home.join("password");
        let _ = std::fs::remove_file(&password_file);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, self.password.as_bytes()))?;
        if let Some(user) = &self.user {
            chown(&password_file, Some(user.uid), Some(user.gid))?;
        }
        let mut command = Command::new(self.programs.program("initdb"));
        command.arg("--pgdata").arg(self.data()).arg("--pwfile").arg(&password_file).args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        if self.durability == Durability::Fast {
            command.arg("--no-sync");
        }
        command.current_dir(&self.home).stdin(Stdio::null());
        user::apply(&mut command, self.user.as_ref());
        let output = command.output().context("running initdb")?;
        let _ = std::fs::remove_file(&password_file);
        if !output.status.success() {
            bail!("initdb failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Process> {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=200".to_owned(),
            "log_timezone=UTC".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        match self.durability {
            Durability::Durable => {
                settings.extend(["fsync=on", "synchronous_commit=on"].map(str::to_owned));
                if self.has_statistics() {
                    settings.push("shared_preload_libraries=pg_stat_statements".to_owned());
                }
            }
            // A commit still reaches the kernel before it is acknowledged, or kill -9 would lose it.
            Durability::Fast => {
                settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
            }
        }
        let mut args: Vec<OsString> = vec!["-D".into(), self.data().into()];
        for setting in settings {
            args.extend([OsString::from("-c"), setting.into()]);
        }
        Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: self.programs.program("postgres"),
            args,
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C".into())],
            state_dir: self.state_dir.clone(),
            working_dir: self.home.clone(),
            user: self.user.clone(),
        })
    }
}

/// Runs psql against a URL; the password goes through the environment, where `ps` does not show it.
pub(crate) fn psql(program: &Path, url: &str, args: &[&str]) -> Result<String> {
    let (without_password, password) = split_password(url)?;
    let output = Command::new(program)
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &without_password])
        .args(args)
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "5")
        .env("PGOPTIONS", "-c client_min_messages=warning")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!("psql {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

fn split_password(url: &str) -> Result<(String, String)> {
    let (scheme, rest) = url.split_once("://").context("not a postgres:// URL")?;
    let (user, host) = rest.split_once('@').unwrap_or(("", rest));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let at = if user.is_empty() { "" } else { "@" };
    Ok((format!("{scheme}://{user}{at}{host}"), password.to_owned()))
}

/// Returns the folder that belongs to `user` and that `user` can reach; `STATE_DIR/postgres` is that folder or a link
/// to it.
fn prepare_home(state_dir: &Path, user: Option<&User>) -> Result<PathBuf> {
    let place = state_dir.join(NAME);
    match place.canonicalize() {
        Ok(home) if user::can_write(user, &home) => return Ok(home),
        Ok(home) => bail!("{} is there, but PostgreSQL's user cannot write to it", home.display()),
        // A link whose target was cleaned away.
        Err(_) if place.is_symlink() => std::fs::remove_file(&place)?,
        Err(_) => {}
    }
    let state_dir = state_dir.canonicalize().with_context(|| format!("folder {}", state_dir.display()))?;
    make_private_dir(&place, user)?;
    if user::can_write(user, &place) {
        return Ok(state_dir.join(NAME));
    }
    std::fs::remove_dir(&place)?;
    let mut hasher = DefaultHasher::new();
    state_dir.hash(&mut hasher);
    let folder = format!("{TEMP_PREFIX}{:016x}", hasher.finish());
    for base in [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
        let home = base.join(&folder);
        remove_leftover(&home, user)?;
        if make_private_dir(&home, user).is_err() {
            continue;
        }
        if user::can_write(user, &home) {
            symlink(&home, &place)?;
            return Ok(home);
        }
        let _ = std::fs::remove_dir(&home);
    }
    bail!("found no folder that PostgreSQL's user can write to: neither {} nor a temporary one", place.display())
}

const TEMP_PREFIX: &str = "chat-postgres-";

fn make_private_dir(dir: &Path, user: Option<&User>) -> Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(dir).with_context(|| format!("making {}", dir.display()))?;
    if let Some(user) = user {
        chown(dir, Some(user.uid), Some(user.gid)).with_context(|| format!("giving {} away", dir.display()))?;
    }
    Ok(())
}

/// Removes what a stack whose folder was deleted left in the temporary folder, including its server.
fn remove_leftover(home: &Path, user: Option<&User>) -> Result<()> {
    let Ok(meta) = std::fs::symlink_metadata(home) else {
        return Ok(());
    };
    let owner = user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
    if !meta.is_dir() || meta.uid() != owner {
        bail!("{} exists and is not ours", home.display());
    }
    let data = home.join("data");
    let pid = std::fs::read_to_string(data.join("postmaster.pid"))
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse().ok());
    if let Some(server) = pid.and_then(ProcessId::of)
        && std::fs::read_link(format!("/proc/{}/cwd", server.pid)).is_ok_and(|cwd| cwd == data)
    {
        server.signal(Signal::QUIT)?;
        wait::until("the end of a left-over PostgreSQL", STOP_GRACE, || Ok((!server.is_alive()).then_some(())))?;
    }
    std::fs::remove_dir_all(home).with_context(|| format!("removing {}", home.display()))
}

/// Removes a whole state folder, with the data that is only linked from it. Nothing may be running in it.
pub fn remove_state(state_dir: &Path) -> Result<()> {
    if let Ok(target) = std::fs::read_link(state_dir.join(NAME))
        && target.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMP_PREFIX))
    {
        match std::fs::remove_dir_all(&target) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", target.display()));
            }
            _ => {}
        }
    }
    match std::fs::remove_dir_all(state_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", state_dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_taken_out_of_the_url() {
        let (url, password) = split_password("postgres://chat:abc@127.0.0.1:1/x?y=z").unwrap();
        assert_eq!((url.as_str(), password.as_str()), ("postgres://chat@127.0.0.1:1/x?y=z", "abc"));
        assert_eq!(split_password("postgres://h/x").unwrap(), ("postgres://h/x".to_owned(), String::new()));
        assert!(split_password("nonsense").is_err());
    }

    #[test]
    fn data_below_a_closed_folder_is_linked_from_a_temporary_one() {
        let Some(user) = user::unprivileged().unwrap() else {
            return;
        };
        let scratch = crate::Scratch::new("closed").unwrap();
        let closed = scratch.dir().join("closed");
        std::fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
        let home = prepare_home(&closed, Some(&user)).unwrap();
        assert!(!home.starts_with(&closed));
        assert!(user::can_write(Some(&user), &home));
        // The same place is found again, also after the link is lost.
        assert_eq!(prepare_home(&closed, Some(&user)).unwrap(), home);
        std::fs::write(home.join("old"), "").unwrap();
        std::fs::remove_file(closed.join(NAME)).unwrap();
        assert_eq!(prepare_home(&closed, Some(&user)).unwrap(), home);
        assert!(!home.join("old").exists(), "the left-over was cleared");
        remove_state(&closed).unwrap();
        assert!(!home.exists() && !closed.exists());
    }
}
