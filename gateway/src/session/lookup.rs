//! A message with ids that only the original and its clients used. A worker is asked what they stand for, and nothing
//! that the connection sends meanwhile overtakes the message.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use shared::ids::UserId;
use shared::protocol::Rejection;

use crate::gateway::Gateway;
use crate::lanes::held_ids::{HeldIds, KnownIds};
use crate::session::decode::Rejected;
use crate::session::inflow::READ_PAUSE_BYTES;

/// Our ids; `None` if one of the held ids stands for nothing.
type Found = Result<Option<KnownIds>, Rejection>;

pub struct Lookup {
    pub text: String,
    /// What was looked up before it.
    pub known: Vec<KnownIds>,
    /// What is answered if an id stands for nothing.
    pub rejected: Box<Rejected>,
    /// What arrived after it.
    pub later: VecDeque<String>,
    found: Pin<Box<dyn Future<Output = Found> + Send>>,
}

impl Lookup {
    /// Asks what the `held` ids stand for.
    pub fn begin(
        gateway: &Gateway,
        caller: UserId,
        held: HeldIds,
        text: &str,
        known: Vec<KnownIds>,
        rejected: Box<Rejected>,
    ) -> Self {
        let requests = gateway.requests.clone();
        let found = async move { held.look_up(&requests, caller).await };
        let (text, later) = (text.to_owned(), VecDeque::new());
        Lookup { text, known, rejected, later, found: Box::pin(found) }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        self.found.as_mut().poll(cx)
    }

    /// Keeps a message that came after it; false if that is too much. It is little unless it was compressed: nothing
    /// more is read meanwhile.
    #[must_use]
    pub fn keep(&mut self, text: &str) -> bool {
        let kept: usize = self.later.iter().map(String::len).sum();
        let fits = kept + text.len() <= READ_PAUSE_BYTES;
        if fits {
            self.later.push_back(text.to_owned());
        }
        fits
    }
}
