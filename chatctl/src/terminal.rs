//! Text on the terminal: escapes what others wrote, flushes lines immediately, and reads typed lines.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};

use anyhow::Result;
use tokio::sync::mpsc;

/// A message has at most 5,000 characters; a longer line is cut into several.
const MAX_LINE_BYTES: u64 = 64 * 1024;
const TYPED_LINES: usize = 64;

/// Replaces control characters and direction overrides with `�`: a message must not move the cursor or look like
/// another line.
pub fn printable(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c if is_direction_override(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(harmless).collect()
}

/// Escapes the same characters in a line of JSON: it stays the same JSON, and is harmless on a terminal.
pub fn escaped_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || is_direction_override(c) {
            // All of them are below U+10000, and occur only in strings in compact JSON.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn is_direction_override(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a line to stdout and flushes it, so that a script sees it immediately.
pub fn print_line(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The lines of stdin; the channel ends with them. Uses a separate thread, because a blocked read of stdin would keep
/// the runtime from ending.
pub fn typed_lines() -> mpsc::Receiver<String> {
    let (lines, typed) = mpsc::channel(TYPED_LINES);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match stdin.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
                    if lines.blocking_send(line).is_err() {
                        return;
                    }
                }
            }
        }
    });
    typed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_printed_as_the_same_json_without_controls() {
        let event = serde_json::json!({"content": "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\n\"é"});
        let printed = escaped_json(&event.to_string());
        assert!(!printed.chars().any(|c| c.is_control() || is_direction_override(c)), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), event);
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\rc\u{202e}d\u{9b}"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}");
        assert_eq!(printable("grüße 👋🏽\n\tx"), "grüße 👋🏽\n\tx");
    }
}
