//! `start_conversation`: opens the direct conversation with a user; stores nothing.

use shared::commands::{PageRequest, Position, StartConversation};
use shared::config::FollowPolicy;
use shared::events::direct::{ConversationStarted, Participant};
use shared::ids::ConversationId;
use shared::limits::DEFAULT_PAGE;
use shared::protocol::{ErrorCode, Rejection};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::users;

impl Handle for StartConversation {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = users::find_counterpart(context.db, context.caller(), self.recipient).await?;
        let found = found.ok_or_else(|| Rejection::not_found("recipientId", "There is no such user"))?;
        let rejected = |code, details| Rejection { field: Some("recipientId"), ..Rejection::new(code, details) };
        if found.blocked {
            return Err(rejected(ErrorCode::UserBlocked, "One of you blocks the other").into());
        }
        let policy = context.app.settings.follow_policy;
        if !found.followed && policy == FollowPolicy::Enforce {
            return Err(rejected(ErrorCode::NotFollowing, "You can write only to users whom you follow").into());
        }
        let conversation_id = ConversationId::direct(context.caller(), self.recipient);
        let newest = PageRequest { limit: DEFAULT_PAGE, position: Position::Offset(0) };
        let page = context.read_page(conversation_id, newest).await?;
        let recipient = Participant {
            user_id: self.recipient,
            display_name: found.display_name.unwrap_or_else(|| found.username.clone()),
            username: found.username,
        };
        let event = ConversationStarted {
            conversation_id,
            recipient: &recipient,
            participant: &recipient,
            messages: page.messages,
            has_more: page.pagination.has_more,
            version: page.version,
            warning: (!found.followed && policy == FollowPolicy::Warn).then_some(ErrorCode::NotFollowing.as_str()),
        };
        Ok(Outcome::answered(context.envelope, &event))
    }
}
