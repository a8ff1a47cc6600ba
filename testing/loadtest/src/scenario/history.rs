//! `history`: pairs write some messages, then read pages and lists, in turn.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rand::Rng as _;

use super::{Connections, Stage};
use crate::connection::{Connection, Handler};
use crate::mark::Mark;
use crate::plan::{Pace, Request};
use crate::scan;

const CONTENT_BYTES: usize = 100;
/// Unanswered per connection while the messages are written.
const PRELOAD_WINDOW: u32 = 16;
const PRELOADED_WITHIN: Duration = Duration::from_secs(600);

struct Reading {
    stage: Rc<Stage>,
    page: u32,
    preload: u32,
    requests: Vec<Request>,
    /// By account, where the next part of the online users begins.
    cursors: RefCell<HashMap<usize, String>>,
    connections: RefCell<Connections>,
    /// Per account: messages written and acknowledged, and the conversation's highest number seen.
    written: RefCell<Vec<(u32, u32, u64)>>,
    /// By request id: which request, by whom, and when it was due.
    open: RefCell<HashMap<u64, (Request, usize, Instant)>>,
    next: Cell<u64>,
    closed_loop: Cell<bool>,
}

pub async fn run(stage: &Rc<Stage>, preload: u32, page: u32, requests: &[Request]) -> Result<()> {
    let count = stage.plan.accounts.len();
    ensure!(!requests.is_empty(), "`history` needs a request");
    ensure!(count >= 2 && count.is_multiple_of(2), "`history` needs an even number of accounts");
    let reading = Rc::new(Reading {
        stage: stage.clone(),
        page,
        preload,
        requests: requests.to_vec(),
        cursors: RefCell::default(),
        connections: RefCell::default(),
        written: RefCell::new(vec![(0, 0, 0); count]),
        open: RefCell::default(),
        next: Cell::new(1_000_000),
        closed_loop: Cell::new(false),
    });
    let handler: Rc<dyn Handler> = reading.clone();
    let connections = stage.connect(0..count, &handler).await?;
    reading.connections.replace(connections);
    reading.write_all().await?;
    stage.ready().await?;
    reading.read_all().await?;
    stage.drain(|| reading.open.borrow().is_empty()).await;
    let unanswered = reading.open.borrow().len() as u64;
    stage.tally.borrow_mut().verdict.unanswered += unanswered;
    Ok(())
}

impl Reading {
    async fn write_all(&self) -> Result<()> {
        let accounts = self.stage.plan.accounts.len();
        for _ in 0..PRELOAD_WINDOW.min(self.preload) {
            (0..accounts).for_each(|index| self.write(index));
            tokio::task::yield_now().await;
        }
        let deadline = Instant::now() + PRELOADED_WITHIN;
        while self.written.borrow().iter().any(|(_, acknowledged, _)| *acknowledged < self.preload) {
            if Instant::now() > deadline || !self.stage.tally.borrow().refused.is_empty() {
                bail!("the messages could not be written: {:?}", self.stage.tally.borrow().refused);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn write(&self, index: usize) {
        let number = {
            let sent = &mut self.written.borrow_mut()[index].0;
            if *sent >= self.preload {
                return;
            }
            *sent += 1;
            u64::from(*sent)
        };
        let partner = self.stage.plan.accounts[index ^ 1].user_id;
        let mut command = Vec::with_capacity(256);
        let _ = write!(
            command,
            "{{\"type\":\"send_private_message\",\"recipientId\":\"{partner}\",\"requestId\":{number},\"content\":\""
        );
        let mark = Mark { run: self.stage.plan.run, room: 0, slot: 0, number, due_us: 0 };
        mark.write(&mut command, CONTENT_BYTES);
        command.extend_from_slice(b"\"}");
        self.send(index, &command);
    }

    fn send(&self, index: usize, command: &[u8]) {
        if let Some(Some(connection)) = self.connections.borrow().get(index) {
            connection.send(command);
        }
    }

    async fn read_all(self: &Rc<Self>) -> Result<()> {
        let accounts = self.stage.plan.accounts.len();
        self.stage.begin_measuring();
        let end = Instant::now() + Duration::from_millis(self.stage.plan.duration_ms);
        match self.stage.plan.pace {
            Pace::Rate(rate) => {
                self.stage.at_rate(rate, end, |number, due| self.ask(number as usize % accounts, due)).await?;
            }
            Pace::Window(window) => {
                self.closed_loop.set(true);
                for _ in 0..window {
                    (0..accounts).for_each(|index| self.ask(index, Instant::now()));
                }
                tokio::time::sleep_until(end.into()).await;
                self.closed_loop.set(false);
            }
        }
        self.stage.end_measuring();
        Ok(())
    }

    fn ask(&self, index: usize, due: Instant) {
        let id = self.next.get();
        self.next.set(id + 1);
        let request = self.requests[id as usize % self.requests.len()];
        let (partner, page) = (self.stage.plan.accounts[index ^ 1].user_id, self.page);
        let last = self.written.borrow()[index].2.max(2);
        let command = match request {
            Request::NewestPage => format!(
                r#"{{"type":"get_private_messages","recipientId":"{partner}","limit":{page},"requestId":{id}}}"#
            ),
            Request::PageBySeq => format!(
                r#"{{"type":"get_private_messages","recipientId":"{partner}","limit":{page},"beforeSeq":{},"requestId":{id}}}"#,
                rand::rng().random_range(2..=last)
            ),
            Request::Conversations => format!(r#"{{"type":"get_conversations","limit":{page},"requestId":{id}}}"#),
            Request::Inbox => format!(r#"{{"type":"get_inbox","limit":{page},"requestId":{id}}}"#),
            Request::PartOfOnlineUsers => {
                let cursor = self.cursors.borrow_mut().remove(&index);
                let cursor = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":"{cursor}""#));
                format!(r#"{{"type":"get_online_users","limit":{page}{cursor},"requestId":{id}}}"#)
            }
            Request::OnlineUsers => format!(r#"{{"type":"get_online_users","requestId":{id}}}"#),
        };
        self.open.borrow_mut().insert(id, (request, index, due));
        self.send(index, command.as_bytes());
        if self.stage.is_measuring() {
            self.stage.tally.borrow_mut().add("sent", 1);
        }
    }

    fn answered(&self, text: &[u8], at: Instant, is_error: bool) {
        let id = scan::number(text, b"\"requestId\":");
        let Some((request, index, due)) = id.and_then(|id| self.open.borrow_mut().remove(&id)) else { return };
        if !is_error {
            let mut tally = self.stage.tally.borrow_mut();
            tally.add("acknowledged", 1);
            tally.latencies(request.name()).record(at.saturating_duration_since(due));
        }
        if self.closed_loop.get() {
            self.ask(index, at);
        }
    }
}

impl Handler for Reading {
    fn text(&self, connection: &Rc<Connection>, text: &[u8], at: Instant) {
        match scan::kind(text) {
            b"message_sent" => {
                self.written.borrow_mut()[connection.index].1 += 1;
                self.write(connection.index);
            }
            b"new_message" => {
                let seq = scan::number(text, b"\"seq\":").unwrap_or(0);
                let highest = &mut self.written.borrow_mut()[connection.index].2;
                *highest = seq.max(*highest);
            }
            b"private_messages" | b"conversations" | b"inbox" => self.answered(text, at, false),
            b"online_users" => {
                if let Some(cursor) = scan::text(text, b"\"nextCursor\":") {
                    self.cursors.borrow_mut().insert(connection.index, cursor.to_owned());
                }
                self.answered(text, at, false);
            }
            b"error" => {
                self.stage.tally.borrow_mut().refused(scan::text(text, b"\"code\":").unwrap_or("no code"));
                self.answered(text, at, true);
            }
            _ => {}
        }
    }

    fn closed(&self, _connection: &Rc<Connection>, why: &str) {
        self.stage.lost_connection(why);
    }
}
