//! Every frame that a test's client receives is checked against the published contract. If a frame violates it, the
//! connection ends; because some tests reconnect after any error, a violation also fails the test when its deployment
//! ends.

use std::sync::Mutex;

use client::{Observer, event_type};
use contract::check;

static BROKEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Starts checking every client of this program.
pub(crate) fn watch() {
    client::observe(Observer {
        event: |event| note(check::event(event)),
        answer: |command, answer| note(check::reply(event_type(command), answer)),
    });
}

fn note(result: Result<(), String>) -> Result<(), String> {
    if let (Err(broken), Ok(mut all)) = (&result, BROKEN.lock()) {
        all.push(broken.clone());
    }
    result
}

/// Returns the violations found so far, in any test of this program.
pub(crate) fn broken() -> Vec<String> {
    BROKEN.lock().map(|all| all.clone()).unwrap_or_default()
}
