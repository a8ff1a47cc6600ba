//! The bounded queue of admitted commands. Only admitted ones can be put into it; `append` takes them out.

use tokio::sync::mpsc;

use crate::lanes::admit::Admitted;

const QUEUE: usize = 16_384;

/// Where admitted commands are put.
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

    /// Hands a command over; its origin is told the outcome.
    pub fn submit(&self, admitted: Admitted) -> Result<(), Full> {
        self.sender.try_send(admitted).map_err(|_| Full)
    }
}
