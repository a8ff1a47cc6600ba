//! Typed lines that are not acknowledged: sent one at a time, so that a repetition never overtakes an earlier line.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

const MAX_LINES: usize = 1_000;
/// The longest delay, whatever the server asks for.
const MAX_DELAY: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub struct Outbox {
    lines: VecDeque<Line>,
    in_flight: bool,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Line {
    /// Also the `requestId`. It stays the same when the line is sent again, so that the line is stored once.
    id: String,
    content: String,
}

impl Outbox {
    /// `false` if it is full.
    pub fn push(&mut self, content: &str) -> bool {
        let room = self.lines.len() < MAX_LINES;
        if room {
            self.lines.push_back(Line { id: Uuid::new_v4().to_string(), content: content.to_owned() });
        }
        room
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// When the next line may be sent; `None` if there is none or one is in progress.
    pub fn due(&self) -> Option<Instant> {
        let waiting = !self.in_flight && !self.lines.is_empty();
        waiting.then(|| self.not_before.unwrap_or_else(Instant::now))
    }

    /// The command for the oldest line, which is in progress from now on.
    pub fn next_command(&mut self, recipient: &str) -> Option<Value> {
        let line = self.lines.front()?;
        self.in_flight = true;
        self.not_before = None;
        Some(json!({
            "type": "send_private_message",
            "recipientId": recipient,
            "content": line.content,
            "clientMessageId": line.id,
            "requestId": line.id,
        }))
    }

    /// Removes a waiting line and returns its content. Called for acknowledgements and rejections.
    pub fn take(&mut self, id: &str) -> Option<String> {
        let at = self.lines.iter().position(|line| line.id == id)?;
        if at == 0 {
            self.in_flight = false;
        }
        self.lines.remove(at).map(|line| line.content)
    }

    pub fn contains(&self, id: &str) -> bool {
        self.lines.iter().any(|line| line.id == id)
    }

    /// The current line was rejected for now.
    pub fn retry_in(&mut self, delay: Duration) {
        self.in_flight = false;
        self.not_before = Some(Instant::now() + delay.min(MAX_DELAY));
    }

    /// The connection is gone: the current line is sent again on the next one.
    pub fn disconnected(&mut self) {
        self.in_flight = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_repeated_under_its_id_and_before_later_ones() {
        let mut outbox = Outbox::default();
        assert!(outbox.push("one") && outbox.push("two"));
        let first = outbox.next_command("2").unwrap();
        assert!(outbox.due().is_none(), "one at a time");
        outbox.disconnected();
        assert!(outbox.due().is_some());
        assert_eq!(outbox.next_command("2").unwrap(), first);
        outbox.retry_in(Duration::from_secs(60));
        assert!(outbox.due().unwrap() > Instant::now() + Duration::from_secs(50));
        assert_eq!(outbox.next_command("2").unwrap(), first);

        let id = first["clientMessageId"].as_str().unwrap();
        assert_eq!(outbox.take(id).as_deref(), Some("one"));
        assert_eq!(outbox.take(id), None, "a repeated acknowledgement");
        assert_eq!(outbox.next_command("2").unwrap()["content"], "two");
    }
}
