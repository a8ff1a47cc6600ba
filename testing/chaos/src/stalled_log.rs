//! A log reader that stands still: the server logs to a pipe that is held open and never read.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{Server, http};

use crate::shared::GONE_WITHIN;

/// Longer than any step; then the pipe is given up.
const HELD: Duration = Duration::from_secs(120);

/// Starts it anew on such a pipe, with more to log than this holds.
pub fn begin(server: &mut Server) -> Result<()> {
    server.kill()?;
    let path = server.log_path();
    fs::rename(&path, aside(server)).with_context(|| format!("setting {} aside", path.display()))?;
    let made = Command::new("mkfifo").arg(&path).status().context("mkfifo")?;
    ensure!(made.success(), "no pipe at {}", path.display());
    // For reading too, or it could not be opened before there is a reader.
    let pipe = OpenOptions::new().read(true).write(true).open(&path)?;
    std::thread::spawn(move || {
        let _held = pipe;
        std::thread::sleep(HELD);
    });
    server.set("LOG_LEVEL", "trace");
    server.start()
}

/// It must have gone on by then; from here on it logs to its file again.
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
