//! `typing`: the caller is typing, or has stopped. It has no answer and is never stored. The typing state is kept in
//! Redis, where it expires by itself; see [`crate::jobs::typing`].

use std::time::Duration;

use shared::commands::Typing;
use shared::ids::ConversationId;
use shared::protocol::Rejection;
use shared::redis::typing::{self, Typist};

use super::{Context, Handle};
use crate::error::Failure;
use crate::jobs;
use crate::outcome::Outcome;
use crate::store::groups::{self, MAX_SIGNAL_MEMBERS};
use crate::store::users;

/// Typing ends this long after its last sign.
const LASTS: Duration = Duration::from_secs(3);

impl Handle for Typing {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let user = context.caller();
        match self.conversation {
            ConversationId::Group(group) => {
                drop(context.membership(group).await?);
                if groups::is_larger_than(context.db, group, MAX_SIGNAL_MEMBERS).await? {
                    return Ok(Outcome::default());
                }
            }
            ConversationId::Direct(..) => {
                let no_such = || Rejection::not_found("recipientId", "There is no such user");
                let other = self.conversation.other(user).ok_or_else(no_such)?;
                let found = users::find_counterpart(context.db, user, other).await?.ok_or_else(no_such)?;
                if found.blocked {
                    return Ok(Outcome::default());
                }
            }
        }
        let typist = Typist { user, conversation: self.conversation, username: context.caller_name().await? };
        let (redis, wire, key) = (&context.app.redis, &context.app.wire, context.app.keys.typing());
        if self.is_typing {
            typing::start(redis, wire, &key, &typist, LASTS).await?;
        } else {
            typing::stop(redis, wire, &key, &typist).await?;
        }
        let mut outcome = Outcome::default();
        outcome.publications.push(jobs::typing::publication(&typist, self.is_typing));
        Ok(outcome)
    }
}
