//! One connection of the chat: catches up, then shows what arrives and sends what is typed.

use std::time::Duration;

use anyhow::Result;
use client::{Client, Error, conversation_id, event_type};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::state::{Chat, FINISH_WITHIN, Typed};
use crate::access::leave;

/// Marks the program's own requests, whose answers are not shown.
const QUIET_REQUEST_ID: &str = "chatctl-quiet";
const CATCH_UP_LIMIT: u32 = 200;
const CATCH_UP_PAGES: usize = 20;
/// An unacknowledged line is mentioned after this time.
const SLOW: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_secs(2);

pub enum End {
    Quit,
    Lost(Error),
}

pub struct Session<'a> {
    client: Client,
    chat: &'a mut Chat,
    conversation: String,
    typing: bool,
    slow_at: Option<Instant>,
}

impl<'a> Session<'a> {
    pub fn new(client: Client, chat: &'a mut Chat) -> Self {
        let own_id = client.user_id().parse().unwrap_or_default();
        let conversation = conversation_id(own_id, chat.other);
        Self { client, chat, conversation, typing: false, slow_at: None }
    }

    pub async fn run(mut self) -> Result<End> {
        let end = match self.catch_up().await? {
            Some(lost) => End::Lost(lost),
            None => self.talk().await?,
        };
        self.chat.outbox.disconnected();
        leave(self.client).await;
        Ok(end)
    }

    /// Shows the history, or after a reconnect what arrived meanwhile, and if the other user is online.
    async fn catch_up(&mut self) -> Result<Option<Error>> {
        for _ in 0..CATCH_UP_PAGES {
            let other = self.chat.screen.other_id().to_owned();
            let last_seq = self.chat.screen.last_seq();
            let command = if last_seq == 0 {
                json!({"type": "get_private_messages", "recipientId": other, "limit": self.chat.history})
            } else {
                json!({"type": "get_private_messages", "recipientId": other, "afterSeq": last_seq, "limit": CATCH_UP_LIMIT})
            };
            match self.client.request_ok(command).await {
                Ok(page) => {
                    self.show_page(&page).await?;
                    if last_seq == 0 || page["hasMore"] != true || self.chat.screen.last_seq() == last_seq {
                        break;
                    }
                }
                Err(error @ Error::Rejected(_)) => {
                    self.chat.screen.status(&format!("no history: {error}"))?;
                    break;
                }
                Err(error) => return Ok(Some(error)),
            }
        }
        match self.client.request_ok(json!({"type": "get_online_users"})).await {
            Ok(online) => {
                let other = self.chat.screen.other_id().to_owned();
                let there = online["users"].as_array().is_some_and(|users| users.iter().any(|u| u["userId"] == other));
                let state = if there { "online" } else { "offline" };
                self.chat.screen.status(&format!("{} is {state} (times are UTC)", self.chat.screen.other_name()))?;
            }
            Err(Error::Rejected(_)) => {}
            Err(error) => return Ok(Some(error)),
        }
        Ok(None)
    }

    async fn show_page(&mut self, page: &Value) -> Result<()> {
        let mut unread = None;
        for message in page["messages"].as_array().into_iter().flatten() {
            // A line whose acknowledgement was lost: it is stored, so it is not sent again.
            self.chat.outbox.take(message["clientMessageId"].as_str().unwrap_or_default());
            self.chat.screen.message(message)?;
            if self.chat.screen.is_others(message) && message["isRead"] != true {
                unread = message["messageId"].as_str();
            }
        }
        self.mark_read(unread).await;
        Ok(())
    }

    async fn talk(&mut self) -> Result<End> {
        loop {
            if self.chat.input.is_over() && self.chat.outbox.is_empty() {
                return Ok(End::Quit);
            }
            let due = self.chat.outbox.due();
            let slow_at = self.slow_at;
            let given_up_at = self.chat.input.ended_at.map(|ended| ended + FINISH_WITHIN);
            tokio::select! {
                event = self.client.recv() => match event {
                    Ok(event) => {
                        if let Some(end) = self.event(&event).await? {
                            return Ok(end);
                        }
                    }
                    Err(error) => return Ok(End::Lost(error)),
                },
                typed = self.chat.input.next(&self.chat.outbox) => match typed {
                    Typed::Quit => return Ok(End::Quit),
                    Typed::Ended => {}
                    Typed::Line(line) if line.trim() == "/typing" => self.tell_typing().await,
                    Typed::Line(line) => self.chat.take_line(&line)?,
                },
                () = until(due) => {
                    if let Some(command) = self.chat.outbox.next_command(self.chat.screen.other_id()) {
                        self.slow_at = Some(Instant::now() + SLOW);
                        if let Err(error) = self.client.send(command).await {
                            return Ok(End::Lost(error));
                        }
                    }
                }
                () = until(slow_at) => {
                    self.slow_at = None;
                    let waiting = self.chat.outbox.len();
                    self.chat.screen.status(&format!("{waiting} not acknowledged yet"))?;
                }
                () = until(given_up_at) => {
                    anyhow::bail!("{} lines were not acknowledged", self.chat.outbox.len());
                }
            }
        }
    }

    async fn event(&mut self, event: &Value) -> Result<Option<End>> {
        if event["requestId"] == QUIET_REQUEST_ID {
            return Ok(None);
        }
        let kind = event_type(event);
        let is_here = event["conversationId"] == self.conversation.as_str();
        match kind {
            "message_sent" => self.acknowledged(event)?,
            "error" => self.refused(event)?,
            "new_message" if is_here => {
                self.typing = false;
                let is_new = self.chat.screen.message(event)?;
                if is_new && self.chat.screen.is_others(event) {
                    self.mark_read(event["messageId"].as_str()).await;
                }
            }
            "user_typing" if is_here => {
                let typing = event["isTyping"] == true;
                if typing && !self.typing {
                    self.chat.screen.status(&format!("{} is typing…", self.chat.screen.other_name()))?;
                }
                self.typing = typing;
            }
            "user_online" | "user_offline" if event["user"]["userId"] == self.chat.screen.other_id() => {
                let state = if kind == "user_online" { "online" } else { "offline" };
                self.chat.screen.status(&format!("{} is {state}", self.chat.screen.other_name()))?;
            }
            "session_conflict" => {
                // Reconnecting would end the other connection, which would reconnect in turn …
                self.chat.screen.status("this user has connected elsewhere")?;
                return Ok(Some(End::Quit));
            }
            _ if is_here => {
                if let Some(text) = describe(kind, event) {
                    self.chat.screen.status(&text)?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn acknowledged(&mut self, event: &Value) -> Result<()> {
        let id = event["clientMessageId"].as_str().or(event["requestId"].as_str()).unwrap_or_default();
        self.slow_at = None;
        if let Some(content) = self.chat.outbox.take(id) {
            self.chat.screen.acknowledged(event, &content)?;
        }
        if let Some(warning) = event["warning"].as_str() {
            self.chat.screen.status(&format!("warning: {warning}"))?;
        }
        Ok(())
    }

    fn refused(&mut self, event: &Value) -> Result<()> {
        let error = Error::Rejected(event.clone());
        let id = event["requestId"].as_str().unwrap_or_default();
        if !self.chat.outbox.contains(id) {
            return self.chat.screen.status(&error.to_string());
        }
        self.slow_at = None;
        if error.is_transient() {
            self.chat.outbox.retry_in(error.retry_after().unwrap_or(RETRY));
            return self.chat.screen.status(&format!("{error}; will be sent again"));
        }
        let content = self.chat.outbox.take(id).unwrap_or_default();
        self.chat.screen.status(&format!("{error}; not sent: {content}"))
    }

    /// A failed send needs no handling: the connection is over then, which `recv` reports.
    async fn mark_read(&self, message_id: Option<&str>) {
        if let Some(id) = message_id {
            let command = json!({"type": "mark_message_read", "messageId": id, "requestId": QUIET_REQUEST_ID});
            let _ = self.client.send(command).await;
        }
    }

    async fn tell_typing(&self) {
        let other = self.chat.screen.other_id().to_owned();
        let command = json!({"type": "typing", "recipientId": other, "isTyping": true, "requestId": QUIET_REQUEST_ID});
        let _ = self.client.send(command).await;
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => sleep(Duration::MAX).await,
    }
}

/// Describes an event about messages already shown; `None` if it is not worth a line.
fn describe(kind: &str, event: &Value) -> Option<String> {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    match kind {
        "message_edited" => Some(format!("a message was edited: {}", text("content"))),
        "message_deleted" => Some("a message was deleted".to_owned()),
        "reaction_added" => Some(format!("{} reacted with {}", text("username"), text("reaction"))),
        "message_read" => Some("read up to here".to_owned()),
        "conversation_deleted" => Some("the conversation was deleted".to_owned()),
        "message_pinned" => Some("a message was pinned".to_owned()),
        _ => None,
    }
}
