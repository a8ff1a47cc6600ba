//! The bounded queue of admitted commands. Only what was admitted can be put into it; `append` takes it out.

use tokio::sync::mpsc;

use crate::lanes::admit::Admitted;

const QUEUE: usize = 16_384;

/// Where admitted commands go.
#[derive(Clone)]
pub struct Enqueue {
    sender: mpsc::Sender<Admitted>,
}

/// Too many commands are waiting for Redis.
#[derive(Debug)]
pub struct Full;

impl Enqueue {
    pub fn new() -> (Self, mpsc::Receiver<Admitted>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Enqueue { sender }, receiver)
    }

    /// Hands a command over; what becomes of it is told to its origin.
    pub fn submit(&self, admitted: Admitted) -> Result<(), Full> {
        self.sender.try_send(admitted).map_err(|_| Full)
    }
}
