//! A connection's commands that wait: until there is room for their answers, and until their user has a turn. They keep
//! their order.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use shared::commands::{Command, DeleteConversation, EditGroupMessage, EditMessage, Route};
use shared::ids::UserId;
use shared::protocol::{ErrorCode, Rejection, RequestId};
use tokio::time::Sleep;

use crate::connection::{Connection, Signals};
use crate::gateway::{Gateway, LONGEST_WAIT};
use crate::session::inflow::READ_PAUSE_BYTES;

/// What a connection may have in flight, measured in cost. Queries cost what their answers may weigh, so that a client
/// which reads as fast as it can is never too slow for what it requested. Commands cost the time that they take in
/// their lane, which others share, so that one account does not fill it.
const MAX_COST: usize = 24;
const PAGE_COST: usize = 6;
const LIST_COST: usize = 12;

/// An edit counts once, and once more for every so many bytes of its text.
const EDIT_UNIT: usize = 1_024;

/// A command with the id of its request.
pub type Requested = (Command, Option<RequestId>);

/// What happens to a command.
pub enum Next {
    Pass(Requested),
    Refuse(Requested, Rejection),
    /// Nothing for now.
    Wait,
}

#[derive(Default)]
pub struct Waiting {
    commands: VecDeque<Requested>,
    /// The turn of the first of them.
    turn: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub fn clear(&mut self) {
        self.commands.clear();
    }

    /// Keeps a command that may not be passed on yet.
    pub fn take_in(&mut self, gateway: &Gateway, connection: &Connection, user: UserId, requested: Requested) -> Next {
        let cost = cost(&requested.0, user);
        // Nothing may overtake the waiting commands.
        if self.commands.is_empty() && (cost == 0 || has_room(&connection.signals(), cost)) {
            match take_turn(gateway, user, &requested.0) {
                Some(wait) if wait.is_zero() => return Next::Pass(requested),
                Some(wait) => self.turn = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Next::Refuse(requested, too_many(gateway)),
            }
        }
        if self.commands.len() >= gateway.settings.max_in_flight {
            let rejection = Rejection::unavailable("Too many commands of this connection are waiting", 1);
            return Next::Refuse(requested, rejection);
        }
        self.commands.push_back(requested);
        Next::Wait
    }

    /// Takes out the first command if there is room for it and it has its turn, or if it would wait for too long.
    pub fn poll_next(
        &mut self,
        gateway: &Gateway,
        connection: &Connection,
        user: UserId,
        cx: &mut Context<'_>,
    ) -> Next {
        let Some((command, _)) = self.commands.front() else { return Next::Wait };
        if !has_room(&connection.signals(), cost(command, user)) {
            return Next::Wait;
        }
        let mut refusal = None;
        if self.turn.is_none() {
            match take_turn(gateway, user, command) {
                Some(wait) if wait.is_zero() => {}
                Some(wait) => self.turn = Some(Box::pin(tokio::time::sleep(wait))),
                None => refusal = Some(too_many(gateway)),
            }
        }
        if let Some(turn) = &mut self.turn {
            if turn.as_mut().poll(cx).is_pending() {
                return Next::Wait;
            }
            self.turn = None;
        }
        match (self.commands.pop_front(), refusal) {
            (Some(requested), None) => Next::Pass(requested),
            (Some(requested), Some(rejection)) => Next::Refuse(requested, rejection),
            (None, _) => Next::Wait,
        }
    }
}

/// How long the command has to wait because of others of its user; `None` if that is too long. Messages wait for nothing,
/// queries are paced by the workers, and typing signs are counted.
fn take_turn(gateway: &Gateway, user: UserId, command: &Command) -> Option<Duration> {
    let now_ms = gateway.clock.now_ms();
    match command {
        Command::CreateGroup(group) => gateway.founding.take_several(user, 1 + group.members.len(), now_ms),
        Command::RemoveGroupMember(_)
        | Command::BanMember(_)
        | Command::LeaveGroup(_)
        | Command::ResignFromGroup(_)
        | Command::DeleteGroup(_)
        | Command::DeleteConversation(DeleteConversation { for_everyone: true, .. }) => {
            gateway.removals.take(user, now_ms)
        }
        Command::EditMessage(EditMessage { content, .. })
        | Command::EditGroupMessage(EditGroupMessage { content, .. }) => {
            gateway.edits.take_several(user, 1 + content.len() / EDIT_UNIT, now_ms)
        }
        Command::Typing(_) => Some(Duration::ZERO),
        command if command.is_message() || matches!(command.route(user), Route::Query) => Some(Duration::ZERO),
        _ => gateway.changes.take(user, now_ms),
    }
}

fn too_many(gateway: &Gateway) -> Rejection {
    gateway.metrics.rate_limited.with("changes").increment(1);
    let rejection = Rejection::new(ErrorCode::RateLimitExceeded, "You have changed much at once");
    Rejection { retry_after: Some(LONGEST_WAIT.as_secs() as u32), ..rejection }
}

/// A command's share of [`MAX_COST`]: a page is bounded, a list can be larger, messages are stored together.
pub fn cost(command: &Command, user: UserId) -> usize {
    match command {
        // Without an answer there is nothing to make room for, and no way to tell when it is done.
        command if command.is_message() || !command.has_answer() => 0,
        Command::GetPrivateMessages(_) | Command::GetGroupMessages(_) => PAGE_COST,
        Command::Sync(_) | Command::CreateGroup(_) => MAX_COST,
        command if matches!(command.route(user), Route::Query) => LIST_COST,
        _ => 1,
    }
}

fn has_room(signals: &Signals, cost: usize) -> bool {
    signals.cost + cost <= MAX_COST && signals.unwritten_bytes < READ_PAUSE_BYTES
}
