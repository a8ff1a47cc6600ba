//! HTTP connections, by how long they have done what they do: when all places are taken, the one that has waited longest for a
//! request gives up its place; if none waits, the one that has been at its request longest.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Whatever frees the place of a connection when it is dropped.
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

/// Its order is that in which connections are given up.
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
    /// Ends a connection, so that its place is free; false when there is none.
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

    /// Cancelled when its place went to another.
    pub fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// A request has come, or its answer has gone.
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
        // Not under the lock: it has locks of its own.
        drop(place);
    }
}
