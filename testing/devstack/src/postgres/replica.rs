//! A streaming replica that can take its primary's place.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Postgres, SUPERUSER, prepare_home};
use crate::{ports, user};

impl Postgres {
    /// Copies this server into `state_dir` and starts the copy as a replica, on a port of its own.
    pub fn replicate(&self, state_dir: &Path) -> Result<Postgres> {
        let home = prepare_home(state_dir, self.user.as_ref())?;
        let mut command = Command::new(self.programs.program("pg_basebackup"));
        command
            .args(["--host=127.0.0.1", "--username", SUPERUSER, "--port", &self.port.to_string(), "--pgdata"])
            .arg(home.join("data"))
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
            .env("PGPASSWORD", &self.password)
            .current_dir(&home)
            .stdin(Stdio::null());
        user::apply(&mut command, self.user.as_ref());
        let output = command.output().context("running pg_basebackup")?;
        if !output.status.success() {
            bail!("pg_basebackup failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let mut replica =
            Postgres::open(&self.programs, state_dir, ports::free_one()?, &self.password, self.durability)?;
        replica.start()?;
        Ok(replica)
    }

    /// Ends the replication and continues as a primary, on the port of the old one, which must be gone.
    pub fn promote_to(&mut self, port: u16) -> Result<()> {
        self.query("postgres", "select pg_promote()")?;
        self.stop()?;
        self.port = port;
        self.start()
    }
}
