//! Open HTTP connections, by how long they have been in their present state. If all places are taken, the connection
//! that has waited longest for a request loses its place; if none is waiting, the one with the longest-running request.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A guard that releases a connection's place when dropped.
pub type Guard = Box<dyn Any + Send>;

/// The open HTTP connections with their places, which are kept here so that they can be taken away.
#[derive(Default)]
pub struct HttpConnections {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: BTreeMap<Turn, (Guard, CancellationToken)>,
}

/// Its ordering is the order in which connections are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_busy: bool,
    since: u64,
}

impl Open {
    fn insert(&mut self, is_busy: bool, entry: (Guard, CancellationToken)) -> Turn {
        let turn = Turn { is_busy, since: self.next };
        self.next += 1;
        self.places.insert(turn, entry);
        turn
    }
}

impl HttpConnections {
    /// Ends a connection to free its place; false if there is none.
    pub fn end_one(&self) -> bool {
        let first = self.open.lock().places.pop_first();
        let Some((_, (place, ended))) = first else { return false };
        ended.cancel();
        drop(place);
        true
    }
}

/// An HTTP connection with a place, until it is dropped or ended.
pub struct HttpConnection {
    all: Arc<HttpConnections>,
    ended: CancellationToken,
    turn: Mutex<Turn>,
}

impl HttpConnection {
    pub fn new(all: Arc<HttpConnections>, place: Guard) -> Self {
        let ended = CancellationToken::new();
        let turn = Mutex::new(all.open.lock().insert(false, (place, ended.clone())));
        HttpConnection { all, ended, turn }
    }

    /// Cancelled when another connection got its place.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Records that a request has arrived, or that its answer was sent.
    pub fn set_busy(&self, is_busy: bool) {
        let mut turn = self.turn.lock();
        let mut open = self.all.open.lock();
        if let Some(entry) = open.places.remove(&turn) {
            *turn = open.insert(is_busy, entry);
        }
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        let place = self.all.open.lock().places.remove(self.turn.get_mut());
        // Not under the lock, because dropping it takes other locks.
        drop(place);
    }
}
