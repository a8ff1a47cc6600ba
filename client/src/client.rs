//! What a program does with a connection: log in, send, ask, wait, close.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::connection::{CloseInfo, Connection, Sender};
use crate::event::event_type;
use crate::{Connect, Error, observe};

const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Longer waits are cut to this, because points in time have a limit.
const MAX_WAIT: Duration = Duration::from_secs(365 * 86_400);
/// How many events are kept that were skipped while waiting for another one.
const MAX_PASSED_OVER: usize = 20_000;

/// One connection to the server. Events arrive in the order in which the server sent them.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    passed_over: VecDeque<Value>,
    greeting: Value,
    session: Value,
    requests: u64,
    answer_within: Duration,
    observed: bool,
}

impl Client {
    pub(crate) fn new(connection: Connection, answer_within: Duration, observed: bool) -> Self {
        Self {
            connection,
            passed_over: VecDeque::new(),
            greeting: Value::Null,
            session: Value::Null,
            requests: 0,
            answer_within,
            observed,
        }
    }

    /// Connects with the defaults of [`Connect`] and reads the greeting.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Connect::new(url).open().await
    }

    /// Connects and authenticates.
    pub async fn login(url: &str, token: &str) -> Result<Self, Error> {
        let mut client = Self::connect(url).await?;
        client.authenticate(token).await?;
        Ok(client)
    }

    /// Authenticates and returns `auth_success`; an `auth_error` is `Rejected`. Missed events are read like any others.
    pub async fn authenticate(&mut self, token: &str) -> Result<Value, Error> {
        self.authenticate_with(json!({"token": token})).await
    }

    /// Does the same with further fields, such as `acks`.
    pub async fn authenticate_with(&mut self, mut fields: Value) -> Result<Value, Error> {
        fields["type"] = json!("authenticate");
        let answer = self.request_ok(fields).await?;
        if event_type(&answer) != "auth_success" {
            return Err(Error::Unexpected(answer));
        }
        self.session = answer.clone();
        Ok(answer)
    }

    /// The `connected` event; null if it was not read.
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    pub(crate) fn set_greeting(&mut self, greeting: Value) {
        self.greeting = greeting;
    }

    /// The last `auth_success`; null before.
    pub fn session(&self) -> &Value {
        &self.session
    }

    /// The user id that the server sent; empty before `auth_success`.
    pub fn user_id(&self) -> &str {
        self.session["userId"].as_str().unwrap_or_default()
    }

    /// A handle that can only send, for another task.
    pub fn sender(&self) -> Sender {
        self.connection.sender.clone()
    }

    /// Sends a command as it is and does not wait for an answer.
    pub async fn send(&self, command: Value) -> Result<(), Error> {
        self.connection.sender.send(&command).await
    }

    /// Sends any text, JSON or not.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        self.send_message(Message::text(text.into())).await
    }

    pub async fn send_binary(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.send_message(Message::binary(bytes.into())).await
    }

    /// Sends one frame as it is (masked, as a client must): fragments, reserved bits, text that is not UTF-8.
    pub async fn send_frame(&self, frame: Frame) -> Result<(), Error> {
        self.send_message(Message::Frame(frame)).await
    }

    async fn send_message(&self, message: Message) -> Result<(), Error> {
        self.connection.sender.send_message(message).await
    }

    /// Sends a command with its own `requestId` (unless it has one) and returns the direct answer, error or not. Other
    /// events can still be read, in order.
    pub async fn request(&mut self, command: Value) -> Result<Value, Error> {
        self.request_within(command, self.answer_within).await
    }

    pub async fn request_within(&mut self, mut command: Value, within: Duration) -> Result<Value, Error> {
        if !command.is_object() {
            return Err(Error::Invalid(format!("a command must be a JSON object: {command}")));
        }
        if command["requestId"].is_null() {
            self.requests += 1;
            command["requestId"] = json!(format!("r{}", self.requests));
        }
        let id = command["requestId"].clone();
        let expected = format!("the answer to {} (requestId {id})", event_type(&command));
        self.connection.sender.send(&command).await?;
        let answer = self.wait_for(&expected, within, |event| event["requestId"] == id).await?;
        if self.observed {
            observe::answer(&command, &answer).map_err(Error::Contract)?;
        }
        Ok(answer)
    }

    /// Like `request`, but returns an `error` or `auth_error` as `Error::Rejected`.
    pub async fn request_ok(&mut self, command: Value) -> Result<Value, Error> {
        let answer = self.request(command).await?;
        match event_type(&answer) {
            "error" | "auth_error" => Err(Error::Rejected(answer)),
            _ => Ok(answer),
        }
    }

    /// The next event in order, waiting without a limit. Cancel safe.
    pub async fn recv(&mut self) -> Result<Value, Error> {
        match self.passed_over.pop_front() {
            Some(event) => Ok(event),
            None => match self.connection.events.recv().await {
                Some(event) => Ok(event),
                None => Err(self.ended()),
            },
        }
    }

    /// The next event in order.
    pub async fn next_event(&mut self, within: Duration) -> Result<Value, Error> {
        match timeout(within, self.recv()).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { expected: "any event".to_owned(), waited: within, arrived: Vec::new() }),
        }
    }

    /// Waits for an event of this type that satisfies the predicate and takes it; the others stay, in order.
    pub async fn expect(
        &mut self,
        kind: &str,
        mut predicate: impl FnMut(&Value) -> bool,
        within: Duration,
    ) -> Result<Value, Error> {
        let expected = format!("a matching `{kind}`");
        self.wait_for(&expected, within, |event| event_type(event) == kind && predicate(event)).await
    }

    /// Succeeds if no such event is present or arrives in this time; the others stay, in order.
    pub async fn expect_none(
        &mut self,
        kind: &str,
        predicate: impl FnMut(&Value) -> bool,
        within: Duration,
    ) -> Result<(), Error> {
        match self.expect(kind, predicate, within).await {
            Ok(event) => Err(Error::Unexpected(event)),
            Err(Error::Timeout { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes every event that has already arrived.
    pub fn drain(&mut self) -> Vec<Value> {
        let mut events: Vec<Value> = self.passed_over.drain(..).collect();
        while let Ok(event) = self.connection.events.try_recv() {
            events.push(event);
        }
        events
    }

    async fn wait_for(
        &mut self,
        expected: &str,
        within: Duration,
        mut matches: impl FnMut(&Value) -> bool,
    ) -> Result<Value, Error> {
        if let Some(at) = self.passed_over.iter().position(&mut matches)
            && let Some(event) = self.passed_over.remove(at)
        {
            return Ok(event);
        }
        let deadline = Instant::now() + within.min(MAX_WAIT);
        loop {
            match timeout_at(deadline, self.connection.events.recv()).await {
                Ok(Some(event)) if matches(&event) => return Ok(event),
                Ok(Some(event)) => {
                    if self.passed_over.len() >= MAX_PASSED_OVER {
                        return Err(Error::TooManyWaiting(MAX_PASSED_OVER));
                    }
                    self.passed_over.push_back(event);
                }
                Ok(None) => return Err(self.ended()),
                Err(_) => {
                    return Err(Error::Timeout {
                        expected: expected.to_owned(),
                        waited: within,
                        arrived: self.passed_over.iter().cloned().collect(),
                    });
                }
            }
        }
    }

    fn ended(&self) -> Error {
        let close = self.close_info().unwrap_or_else(|| CloseInfo::lost("aborted"));
        Error::Closed { close, arrived: self.passed_over.iter().cloned().collect() }
    }

    /// How the connection ended; `None` while it lives.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.connection.end.get().cloned()
    }

    /// Waits until the server ends the connection and returns how; the events until then can still be read.
    pub async fn wait_closed(&mut self, within: Duration) -> Result<CloseInfo, Error> {
        match self.wait_for("the end of the connection", within, |_| false).await {
            Err(Error::Closed { close, .. }) => Ok(close),
            Err(error) => Err(error),
            Ok(event) => Err(Error::Unexpected(event)),
        }
    }

    pub(crate) async fn closed(&mut self) -> CloseInfo {
        self.wait_closed(CLOSE_WITHIN).await.unwrap_or_else(|error| CloseInfo::lost(error.to_string()))
    }

    /// Closes according to the protocol and returns how the connection ended. Events that came before can still be
    /// read.
    pub async fn close(&mut self) -> CloseInfo {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // Fails if the connection is already over; its end is then known anyway.
        let _ = self.send_message(Message::Close(Some(frame))).await;
        let close = self.closed().await;
        self.connection.abort().await;
        close
    }

    /// Drops the TCP connection without a close frame, as a crash or a lost network would.
    pub async fn abort(mut self) {
        self.connection.abort().await;
    }
}
