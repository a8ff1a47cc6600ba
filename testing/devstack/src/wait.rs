//! Waiting for a condition with a deadline. The only place that polls.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// For what happens at once on an idle machine: long enough for one that compiles meanwhile. A passing test never waits
/// that long. A wait that has to be longer, or is a promise, has its own name and reason.
pub const SOON: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Polls `condition` until it yields a value; fails with `what` if the deadline passes, and at once if it returns an
/// error.
pub fn until<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {timeout:?}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_the_value_and_reports_the_deadline() {
        let mut calls = 0;
        let value = until("third call", Duration::from_secs(5), || {
            calls += 1;
            Ok((calls == 3).then_some(calls))
        });
        assert_eq!(value.unwrap(), 3);
        let error = until::<()>("never", Duration::from_millis(20), || Ok(None)).unwrap_err();
        assert!(error.to_string().starts_with("never: not within"));
    }
}
