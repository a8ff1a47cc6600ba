//! A hook for tests: every frame that any client of this program gets, and every answer to a request, may be looked at. What
//! the observer refuses breaks the connection, as a frame that is no JSON does.

use std::sync::OnceLock;

use serde_json::Value;

/// What looks at frames; an `Err` says what is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Observer {
    pub event: fn(&Value) -> Result<(), String>,
    /// A command and its direct answer.
    pub answer: fn(&Value, &Value) -> Result<(), String>,
}

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Installs the observer of this program; the first one stays.
pub fn observe(observer: Observer) {
    let _ = OBSERVER.set(observer);
}

pub(crate) fn event(event: &Value) -> Result<(), String> {
    OBSERVER.get().map_or(Ok(()), |observer| (observer.event)(event))
}

pub(crate) fn answer(command: &Value, answer: &Value) -> Result<(), String> {
    OBSERVER.get().map_or(Ok(()), |observer| (observer.answer)(command, answer))
}
