//! Running a command while showing and keeping its output, and counting tests in it.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::hanging::{self, SlowTests};
use super::report::Outcome;

/// Runs a test command and counts what it reports; a failure without any failed test (it did not compile) counts as
/// one. A test that hangs under `cargo test` is named, fails, and is terminated with the rest of its program.
pub fn run_tests(command: &mut Command) -> Result<Outcome> {
    run_tests_within(command, hanging::HANGS_AFTER)
}

fn run_tests_within(command: &mut Command, patience: Duration) -> Result<Outcome> {
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let slow = SlowTests::default();
    let mut child = spawn(command)?;
    let pid = child.id();
    let (ended, has_ended) = std::sync::mpsc::channel::<()>();
    let (output, hanging) = std::thread::scope(|scope| {
        let slow = &slow;
        let watching = scope.spawn(move || {
            let mut hanging = Vec::new();
            while has_ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                for name in slow.take_hanging(patience) {
                    println!("error: the test {name} hangs; its test program is terminated");
                    hanging::kill_descendants(pid);
                    hanging.push(name);
                }
            }
            hanging
        });
        let output = read_streams(&mut child, true, &|line| slow.read(&without_colours(line)));
        drop(ended);
        (output, watching.join().unwrap_or_default())
    });
    let status = child.wait().context("waiting for the tests")?;
    hanging.iter().for_each(|name| println!("error: hung: {name}"));
    let mut outcome = count(&output);
    outcome.failures = failures(&output);
    outcome.failed += hanging.len() as u64;
    outcome.failures.extend(hanging.into_iter().map(|name| format!("{name}: hung")));
    if !status.success() && outcome.failed == 0 {
        outcome.failed = 1;
    }
    Ok(outcome)
}

/// Runs a command that is one check; what it says about failed tests is kept.
pub fn run_check(command: &mut Command) -> Result<Outcome> {
    if std::io::stdout().is_terminal() {
        command.env("FORCE_COLOR", "1");
    }
    let (status, output) = run_and_keep(command, true)?;
    Ok(if status.success() {
        Outcome::passed(1)
    } else {
        Outcome { failures: failures(&output), ..Outcome::failed(1) }
    })
}

/// Runs a command and keeps both streams, each in its own order; shows them as they arrive if `show`.
pub fn run_and_keep(command: &mut Command, show: bool) -> Result<(ExitStatus, String)> {
    let mut child = spawn(command)?;
    let text = read_streams(&mut child, show, &|_| ());
    Ok((child.wait().context("waiting for a command")?, text))
}

fn spawn(command: &mut Command) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {}", command.get_program().display()))
}

fn read_streams(child: &mut Child, show: bool, seen: &(dyn Fn(&str) + Sync)) -> String {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let errors = scope.spawn(move || tee(err, show.then(std::io::stderr), seen));
        let mut text = tee(out, show.then(std::io::stdout), seen);
        text.push_str(&errors.join().unwrap_or_default());
        text
    })
}

fn tee(source: Option<impl Read>, mut shown: Option<impl Write>, seen: &dyn Fn(&str)) -> String {
    let mut text = String::new();
    let Some(source) = source else { return text };
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(shown) = &mut shown {
            let _ = shown.write_all(&line).and_then(|()| shown.flush());
        }
        let start = text.len();
        text.push_str(&String::from_utf8_lossy(&line));
        seen(text.get(start..).unwrap_or_default());
        line.clear();
    }
    text
}

/// Adds up the summaries of cargo test (one per test program), or takes the single one of nextest, which also shows the
/// summaries of failed tests.
fn count(output: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let of_nextest = output.lines().any(|line| without_colours(line).trim().starts_with("Summary ["));
    for line in output.lines() {
        let line = without_colours(line);
        if let Some(summary) = line.trim().strip_prefix("test result: ").filter(|_| !of_nextest) {
            outcome.passed += number_before(summary, "passed");
            outcome.failed += number_before(summary, "failed");
        } else if let Some((_, summary)) = line.trim().strip_prefix("Summary [").and_then(|rest| rest.split_once(']')) {
            let passed = number_before(summary, "passed");
            outcome.passed += passed;
            // Failed, timed out, or ended by a signal: every test that ran and did not pass.
            outcome.failed += number_before(summary, "tests run").max(number_before(summary, "test run")) - passed;
        }
    }
    outcome
}

/// Returns the failed tests that cargo test, nextest or vitest name, each once; for vitest with the reason.
fn failures(output: &str) -> Vec<String> {
    let mut failures: Vec<String> = Vec::new();
    let mut lines = output.lines().map(without_colours);
    while let Some(line) = lines.next() {
        let line = line.trim();
        let failure = if let Some(rest) = line.strip_prefix("FAIL [").or_else(|| line.strip_prefix("TIMEOUT [")) {
            rest.split_once(") ").map(|(_, name)| name.to_owned())
        } else if let Some(name) = line.strip_prefix("FAIL  ") {
            let why = lines.next().unwrap_or_default();
            Some(format!("{name}: {}", why.trim()))
        } else {
            line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")).map(str::to_owned)
        };
        failures.extend(failure.filter(|failure| !failures.contains(failure)));
    }
    failures
}

/// Returns the `12` of `… 12 passed …`; 0 if there is none.
fn number_before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(word) else { return 0 };
    let before = text.get(..at).unwrap_or_default();
    before.split_ascii_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_cargo_test() {
        let output = "running 3 tests\ntest a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: \u{1b}[31mFAILED\u{1b}[0m. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(count(output), Outcome { passed: 7, failed: 2, ..Outcome::default() });
    }

    #[test]
    fn counts_nextest() {
        let output = "     Summary [   0.512s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped\n";
        assert_eq!(count(output), Outcome { passed: 9, failed: 3, ..Outcome::default() });
        let shown = format!("    test result: FAILED. 0 passed; 1 failed; 0 ignored\n{output}");
        assert_eq!(count(&shown), count(output));
        let one = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: 1 \u{1b}[32mpassed\u{1b}[0m, 0 skipped";
        assert_eq!(count(one), Outcome { passed: 1, failed: 0, ..Outcome::default() });
    }

    #[test]
    fn failed_tests_are_named() {
        let output = "---- stores::redis::a stdout ----\n        FAIL [   0.5s] (3/9) worker sync::tests::b\n\
            \u{1b}[31m FAIL \u{1b}[39m test/chat.test.ts > a group > c\nError: not within 20000 ms\n\
            FAIL [   0.5s] (3/9) worker sync::tests::b\n";
        let names = [
            "stores::redis::a",
            "worker sync::tests::b",
            "test/chat.test.ts > a group > c: Error: not within 20000 ms",
        ];
        assert_eq!(failures(output), names);
    }

    #[test]
    fn a_hanging_test_is_terminated_and_counts_as_failed() {
        let program = "echo 'test a ... ok'; echo 'test b::hangs has been running for over 60 seconds'; sleep 600";
        let mut command = Command::new("sh");
        command.args(["-c", &format!("sh -c \"{program}\"; exit 101")]);
        let start = std::time::Instant::now();
        let failures = vec!["b::hangs: hung".to_owned()];
        let expected = Outcome { failures, ..Outcome::failed(1) };
        assert_eq!(run_tests_within(&mut command, Duration::ZERO).unwrap(), expected);
        assert!(start.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn a_failure_without_tests_counts() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo could not compile; exit 101"]);
        assert_eq!(run_tests(&mut command).unwrap(), Outcome::failed(1));
        let (status, text) = run_and_keep(Command::new("sh").args(["-c", "echo out; echo err >&2"]), false).unwrap();
        assert!(status.success());
        assert_eq!(text, "out\nerr\n");
    }
}
