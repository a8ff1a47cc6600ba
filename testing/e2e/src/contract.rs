//! Every frame that a client of the tests gets is held against the published contract. A connection on which one breaks it
//! ends; as some tests reconnect whatever happens, what was found also fails the test when its deployment ends.

use std::sync::Mutex;

use client::{Observer, event_type};
use contract::check;

static BROKEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Has every client of this program watched.
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

/// What broke the contract so far, in any test of this program.
pub(crate) fn broken() -> Vec<String> {
    BROKEN.lock().map(|all| all.clone()).unwrap_or_default()
}
