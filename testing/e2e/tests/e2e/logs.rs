//! A log that nobody reads stops nothing.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use devstack::{http, ports, testing, wait};

const LOGGED_WITHIN: Duration = Duration::from_secs(60);

/// Ends with the test.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_reader_that_stands_still_does_not_stop_the_process() -> Result<()> {
    let port = ports::free_one()?;
    // Nothing listens there.
    let redis = format!("redis://127.0.0.1:{}", ports::free_one()?);
    let mut command = Command::new(testing::bin_dir()?.join("gateway"));
    command.env_clear().envs([
        ("JWT_SECRET", "dW5pdCB0ZXN0cyBvZiB0aGUgZ2F0ZXdheSBhbmQgbm90aGluZyBlbHNl"),
        ("CHAT_ENCRYPTION_KEY", "a log that nobody reads"),
        ("REDIS_URL", redis.as_str()),
        ("BIND_ADDR", &format!("127.0.0.1:{port}")),
        // Every request is a line at this level.
        ("LOG_LEVEL", "trace"),
    ]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting a gateway")?;
    let mut gateway = Gateway(child);
    let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    // Its standard output is a pipe of 64 KiB, which is held open and never read.
    let dropped = || {
        let page = http::get(&url("metrics")).ok()?.body;
        let line = page.lines().find_map(|line| line.strip_prefix("gateway_log_lines_dropped_total "))?;
        line.parse::<u64>().ok().filter(|lines| *lines > 0)
    };
    let lines = wait::until("dropped lines", LOGGED_WITHIN, || {
        (0..100).for_each(|_| drop(http::get(&url("live"))));
        Ok(dropped())
    })?;
    ensure!(http::get(&url("live"))?.status == 200, "after {lines} dropped lines");
    ensure!(gateway.0.try_wait()?.is_none(), "it still runs");
    Ok(())
}
