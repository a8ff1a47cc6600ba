//! Ends the typing of users who gave no further sign of it. Any worker can do it, and what one takes the others do not
//! get, so typing ends even if the worker that began it is gone.

use std::sync::Arc;
use std::time::Duration;

use fred::prelude::*;
use shared::events;
use shared::events::direct::UserTyping;
use shared::lifecycle::Lifecycle;
use shared::publication::{EventHeader, Header, Receipt};
use shared::redis::typing::{TypingEnds, Typist};

use crate::app::App;
use crate::outcome::{Audience, Publication};
use crate::publish;

const INTERVAL: Duration = Duration::from_millis(200);
/// How many typists are taken at once.
const CHUNK: usize = 500;

pub async fn run(app: Arc<App>, lifecycle: Lifecycle) -> anyhow::Result<()> {
    let ends = TypingEnds::default();
    let mut ticks = lifecycle.every(INTERVAL);
    while ticks.next().await {
        // Losing these on an error is acceptable: clients end a typing state that is not renewed.
        if let Err(error) = end(&app, &ends).await {
            tracing::debug!(%error, "typing could not be ended");
        }
    }
    Ok(())
}

async fn end(app: &App, ends: &TypingEnds) -> Result<(), Error> {
    loop {
        let (over, has_more) = ends.take(&app.redis, &app.wire, &app.keys.typing(), CHUNK).await?;
        let publications: Vec<Publication> = over.iter().map(|typist| publication(typist, false)).collect();
        if !publications.is_empty() {
            publish::publish(app, &publications).await?;
        }
        if !has_more {
            return Ok(());
        }
    }
}

/// The event for the conversation's other participants, never for the typist.
pub fn publication(typist: &Typist, is_typing: bool) -> Publication {
    let event = UserTyping {
        user_id: typist.user,
        username: &typist.username,
        is_typing,
        conversation_id: typist.conversation,
    };
    let audience = match (typist.conversation.other(typist.user), typist.conversation.group()) {
        (Some(other), _) => Audience::User(other),
        (None, Some(group)) => Audience::Group(group),
        // A conversation between other users: nobody is notified. `Typist`s are only made for the user's own
        // conversations.
        (None, None) => Audience::User(typist.user),
    };
    let header = EventHeader { exclude_users: vec![typist.user], ..EventHeader::new(Receipt::None) };
    Publication { audience, header: Header::Event(header), payload: events::broadcast(&event) }
}
