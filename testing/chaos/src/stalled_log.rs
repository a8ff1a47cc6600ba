//! A stalled log reader: the server logs to a pipe that is full, held open and never read.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Server, http};

use crate::shared::GONE_WITHIN;

/// Longer than any step; then the pipe is closed.
const HELD: Duration = Duration::from_secs(120);

/// A flag of `open` on Linux.
const O_NONBLOCK: i32 = 0o4000;

/// Restarts the server with such a pipe.
pub fn begin(server: &mut Server) -> Result<()> {
    server.kill()?;
    let path = server.log_path();
    fs::rename(&path, aside(server)).with_context(|| format!("setting {} aside", path.display()))?;
    let made = Command::new("mkfifo").arg(&path).status().context("mkfifo")?;
    ensure!(made.success(), "no pipe at {}", path.display());
    // For reading too, or it could not be opened before there is a reader.
    let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path)?;
    // Full from the first line on.
    while pipe.write(b"\n").is_ok() {}
    std::thread::spawn(move || {
        let _held = pipe;
        std::thread::sleep(HELD);
    });
    server.set("LOG_LEVEL", "trace");
    server.start()
}

/// Checks that the server is still running, and lets it log to its file again.
pub fn end(server: &mut Server) -> Result<()> {
    let live = http::get(&format!("{}/live", server.url()));
    let path = server.log_path();
    server.terminate()?;
    server.wait_gone(GONE_WITHIN)?;
    fs::remove_file(&path)?;
    fs::rename(aside(server), &path)?;
    server.set("LOG_LEVEL", "info");
    server.start()?;
    let live = live.with_context(|| format!("{} stands still with its log reader", server.name()))?;
    ensure!(live.status == 200, "{} answers {} to /live", server.name(), live.status);
    Ok(())
}

fn aside(server: &Server) -> PathBuf {
    server.log_path().with_extension("log.before")
}
