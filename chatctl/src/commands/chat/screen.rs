//! What the terminal shows: messages, each once, and status lines.

use std::collections::{HashSet, VecDeque};
use std::io::{IsTerminal, stdin, stdout};

use anyhow::Result;
use serde_json::Value;

use crate::terminal::{print_line, printable};

/// After a reconnect, at most as many messages are repeated as the server replays.
const REMEMBERED_MESSAGES: usize = 2_000;
const DIM: &str = "\u{1b}[2m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";
/// One line up, and that line emptied.
const ERASE_TYPED: &str = "\u{1b}[1A\u{1b}[2K\r";

pub struct Screen {
    own_name: String,
    other_id: String,
    other_name: String,
    shown: HashSet<String>,
    shown_in_order: VecDeque<String>,
    last_seq: i64,
    colours: bool,
    interactive: bool,
}

impl Screen {
    pub fn new(own_name: &str, other_id: i64, other_name: &str) -> Self {
        let terminal = stdout().is_terminal();
        Self {
            own_name: own_name.to_owned(),
            other_id: other_id.to_string(),
            other_name: other_name.to_owned(),
            shown: HashSet::new(),
            shown_in_order: VecDeque::new(),
            last_seq: 0,
            colours: terminal && std::env::var_os("NO_COLOR").is_none(),
            interactive: terminal && stdin().is_terminal(),
        }
    }

    /// The other user's id, as on the wire.
    pub fn other_id(&self) -> &str {
        &self.other_id
    }

    pub fn is_others(&self, message: &Value) -> bool {
        message["senderId"] == self.other_id.as_str()
    }

    pub fn other_name(&self) -> &str {
        &self.other_name
    }

    /// The number of the newest message that arrived as a message; 0 before any.
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Shows a message from the history or a live one; `false` if it was already shown.
    pub fn message(&mut self, message: &Value) -> Result<bool> {
        self.last_seq = self.last_seq.max(message["seq"].as_i64().unwrap_or(0));
        let is_own = !self.is_others(message);
        let content = message["content"].as_str().unwrap_or_default();
        self.show(message, is_own, content)
    }

    /// Shows the user's own line that was just acknowledged.
    pub fn acknowledged(&mut self, acknowledgement: &Value, content: &str) -> Result<()> {
        self.show(acknowledgement, true, content)?;
        Ok(())
    }

    /// `about` has the message's id, time and state.
    fn show(&mut self, about: &Value, is_own: bool, content: &str) -> Result<bool> {
        if !self.is_new(about["messageId"].as_str().unwrap_or_default()) {
            return Ok(false);
        }
        let time = about["createdAt"].as_str().and_then(|t| t.get(11..16)).unwrap_or("--:--");
        let name = if is_own { &self.own_name } else { &self.other_name };
        let mut line = format!(
            "{} {} {}",
            self.styled(DIM, time),
            self.styled(BOLD, &format!("{name}:")),
            printable(content).replace('\n', "\n      ")
        );
        if about["isEdited"] == true {
            line.push_str(&self.styled(DIM, " (edited)"));
        }
        if is_own {
            line.push_str(&self.styled(DIM, if about["isRead"] == true { " ✓✓" } else { " ✓" }));
        }
        print_line(&line)?;
        Ok(true)
    }

    fn is_new(&mut self, message_id: &str) -> bool {
        if !self.shown.insert(message_id.to_owned()) {
            return false;
        }
        self.shown_in_order.push_back(message_id.to_owned());
        if self.shown_in_order.len() > REMEMBERED_MESSAGES
            && let Some(oldest) = self.shown_in_order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        true
    }

    /// Shows a status line about the conversation or the connection.
    pub fn status(&self, text: &str) -> Result<()> {
        print_line(&self.styled(DIM, &format!("      * {}", printable(text))))
    }

    /// Called when a line was entered: on a terminal it is removed, and shown again with its mark once it is
    /// acknowledged.
    pub fn typed(&self) -> Result<()> {
        if self.interactive {
            use std::io::Write;
            let mut out = stdout().lock();
            out.write_all(ERASE_TYPED.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colours { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }
}
