//! A hook for tests, which can inspect every frame that any client of this program gets, and every answer to a request.
//! What the observer rejects breaks the connection, like a frame that is not JSON.

use std::sync::OnceLock;

use serde_json::Value;

/// Inspects frames; an `Err` says what is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Observer {
    pub event: fn(&Value) -> Result<(), String>,
    /// A command and its direct answer.
    pub answer: fn(&Value, &Value) -> Result<(), String>,
}

static OBSERVER: OnceLock<Observer> = OnceLock::new();

/// Installs this program's observer; only the first call has an effect.
pub fn observe(observer: Observer) {
    let _ = OBSERVER.set(observer);
}

pub(crate) fn event(event: &Value) -> Result<(), String> {
    OBSERVER.get().map_or(Ok(()), |observer| (observer.event)(event))
}

pub(crate) fn answer(command: &Value, answer: &Value) -> Result<(), String> {
    OBSERVER.get().map_or(Ok(()), |observer| (observer.answer)(command, answer))
}
