//! A restore, as docs/backup.md says: with the workers stopped, so that nothing acknowledged is missing in the dump.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::Deployment;

use crate::shared::GONE_WITHIN;

/// Stops the workers and dumps the database.
pub fn begin(deployment: &mut Deployment) -> Result<()> {
    for worker in &mut deployment.fleet.workers {
        worker.terminate()?;
        worker.wait_gone(GONE_WITHIN)?;
    }
    let mut dumping = program(deployment, "pg_dump");
    dumping.args(["--format=custom", "--file"]).arg(dump(deployment)).arg(deployment.postgres.url("chat"));
    run(dumping)
}

/// Puts the dump in the database's place and starts the workers.
pub fn end(deployment: &mut Deployment) -> Result<()> {
    deployment.postgres.query("postgres", "DROP DATABASE chat WITH (FORCE)")?;
    let restored = deployment.postgres.create_database("chat")?;
    let mut restoring = program(deployment, "pg_restore");
    restoring.args(["--exit-on-error", "--no-owner", "--dbname", &restored]).arg(dump(deployment));
    run(restoring)?;
    deployment.chatctl(&["migrate"])?;
    deployment.fleet.workers.iter_mut().try_for_each(devstack::Server::start)
}

fn dump(deployment: &Deployment) -> PathBuf {
    deployment.logs().join("chat.dump")
}

fn program(deployment: &Deployment, name: &str) -> Command {
    Command::new(deployment.postgres.psql().with_file_name(name))
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
