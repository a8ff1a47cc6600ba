//! The results of the steps of a test run, and the table at its end.

use std::fmt;
use std::time::Duration;

/// What one step counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub passed: u64,
    pub failed: u64,
    /// The names of the failed tests, as far as the output names them.
    pub failures: Vec<String>,
    /// Why something was left out; that counts as neither passed nor failed.
    pub not_checked: Option<String>,
}

impl Outcome {
    pub fn passed(passed: u64) -> Self {
        Self { passed, ..Self::default() }
    }

    pub fn failed(failed: u64) -> Self {
        Self { failed, ..Self::default() }
    }

    pub fn of(success: bool) -> Self {
        if success { Self::passed(1) } else { Self::failed(1) }
    }

    pub fn not_checked(reason: &str) -> Self {
        Self { not_checked: Some(reason.to_owned()), ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub struct Report {
    steps: Vec<(String, Outcome, Duration)>,
}

impl Report {
    pub fn add(&mut self, name: &str, outcome: Outcome, took: Duration) {
        self.steps.push((name.to_owned(), outcome, took));
    }

    pub fn has_failed(&self) -> bool {
        self.steps.iter().any(|(_, outcome, _)| outcome.failed > 0)
    }
}

/// The table; its last line is `N passed, N failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n=== summary ===")?;
        let (mut passed, mut failed) = (0, 0);
        for (name, outcome, took) in &self.steps {
            passed += outcome.passed;
            failed += outcome.failed;
            let word = match outcome {
                Outcome { not_checked: Some(reason), .. } => format!("NOT CHECKED: {reason}"),
                Outcome { failed: 0, passed, .. } => format!("ok      {passed} passed"),
                Outcome { failed, passed, .. } => {
                    format!("FAILED  {passed} passed, {failed} failed")
                }
            };
            writeln!(f, "{:>7.1} s  {name:<38} {word}", took.as_secs_f32())?;
        }
        for (name, outcome, _) in &self.steps {
            for failure in &outcome.failures {
                writeln!(f, "\n{name}: {failure}")?;
            }
        }
        write!(f, "\n{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_adds_everything_up() {
        let mut report = Report::default();
        report.add("a", Outcome::passed(3), Duration::ZERO);
        report.add("b", Outcome::not_checked("no network"), Duration::ZERO);
        assert!(!report.has_failed());
        let failures = vec!["a::b".to_owned()];
        report.add("c", Outcome { passed: 1, failed: 2, failures, not_checked: None }, Duration::ZERO);
        assert!(report.has_failed());
        let text = report.to_string();
        assert_eq!(text.lines().last(), Some("4 passed, 2 failed"));
        assert!(text.contains("NOT CHECKED: no network"));
        assert!(text.contains("\nc: a::b\n"));
    }
}
