//! A message about a conversation whose id was made up by a client of the original, or about a group that had another
//! id in the original. A worker is asked what the id stands for, and nothing that the connection sends meanwhile
//! overtakes the message.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use shared::ids::UserId;
use shared::stream::{Internal, InternalReply};

use crate::gateway::Gateway;
use crate::session::decode::{HeldId, HeldKind, Known, Rejected};
use crate::session::inflow::READ_PAUSE_BYTES;

pub struct Lookup {
    pub text: String,
    /// The field that holds the id.
    pub field: &'static str,
    /// What was looked up before it.
    pub known: Known,
    /// What is answered if the id stands for nothing.
    pub rejected: Box<Rejected>,
    /// What arrived after it.
    pub later: VecDeque<String>,
    reply: Pin<Box<dyn Future<Output = InternalReply> + Send>>,
}

impl Lookup {
    /// Asks what `held` stands for.
    pub fn begin(
        gateway: &Gateway,
        caller: UserId,
        held: HeldId,
        text: &str,
        known: Known,
        rejected: Box<Rejected>,
    ) -> Self {
        let requests = gateway.requests.clone();
        let question = match held.kind {
            HeldKind::Conversation => Internal::HeldConversation { held: held.id },
            HeldKind::Message => Internal::HeldMessage { held: held.id },
        };
        let reply = async move { requests.ask(caller, &question, None).await };
        let (text, later) = (text.to_owned(), VecDeque::new());
        Lookup { text, field: held.field, known, rejected, later, reply: Box::pin(reply) }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<InternalReply> {
        self.reply.as_mut().poll(cx)
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
