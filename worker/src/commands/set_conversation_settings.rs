//! `set_conversation_settings`: mutes a conversation, pins it or marks it as unread, for the caller only. It raises no
//! version, since nobody else can see it.

use shared::commands::SetConversationSettings;
use shared::events::inbox::ConversationSettings;
use shared::ids::{ConversationId, UserId};

use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::Outcome;
use crate::store::inbox::{self, Settings};
use crate::store::session::PgSession;

impl Handle for SetConversationSettings {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        context.reject_outsiders(self.conversation).await?;
        let (user, conversation) = (context.caller(), self.conversation);
        let before = inbox::find_settings(context.db, user, conversation).await?;
        let after = Settings {
            muted_until: self.muted_until.map_or(before.muted_until, |until| until.map(|until| until.to_datetime())),
            pinned: self.pinned.unwrap_or(before.pinned),
            marked_unread: self.marked_unread.unwrap_or(before.marked_unread),
        };
        let changed = after != before;
        if changed {
            inbox::update_settings(context.db, user, conversation, &after).await?;
        }
        let event = event(self.conversation, after);
        let mut outcome = Outcome::answered(context.envelope, &event);
        if changed {
            context.tell_own_connections(&mut outcome, &event);
        }
        Ok(outcome)
    }
}

/// A user's settings for a conversation, in the form sent to the user's clients.
pub async fn find(
    db: &mut PgSession,
    user: UserId,
    conversation: ConversationId,
) -> Result<ConversationSettings, Failure> {
    Ok(event(conversation, inbox::find_settings(db, user, conversation).await?))
}

fn event(conversation_id: ConversationId, settings: Settings) -> ConversationSettings {
    ConversationSettings {
        conversation_id,
        muted_until: settings.muted_until.map(Into::into),
        pinned: settings.pinned,
        marked_unread: settings.marked_unread,
    }
}
