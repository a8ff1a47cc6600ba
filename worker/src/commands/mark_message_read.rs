//! `mark_message_read`: marks a message and all before it as read, direct or group. The mark is stored; the event is
//! not durable. Pages read the marks each time, so that no cached page has to be dropped for this.

use shared::commands::MarkMessageRead;
use shared::events::change::MessageRead;
use shared::ids::ConversationId;

use super::about_message::reject_mismatch;
use super::set_conversation_settings;
use super::{Context, Handle};
use crate::error::Failure;
use crate::outcome::{Audience, Outcome};
use crate::store::{conversations, groups, inbox, users};

impl Handle for MarkMessageRead {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let found = context.message(self.message).await?;
        if let Some(named) = self.conversation {
            reject_mismatch(&found, named)?;
        }
        let reader = context.caller();
        let moved = conversations::update_read(context.db, reader, found.conversation, found.row.seq).await?;
        let event = MessageRead {
            message_id: found.message_id(),
            conversation_id: found.conversation,
            group_id: found.conversation.group(),
            read_by: reader,
            seq: found.row.seq,
        };
        let mut outcome = Outcome::answered(context.envelope, &event);
        if inbox::update_no_longer_marked(context.db, reader, found.conversation).await? {
            let settings = set_conversation_settings::find(context.db, reader, found.conversation).await?;
            outcome.ephemeral(Audience::User(reader), &settings, None);
        }
        // Reading one's own message is of no interest to others.
        if moved && found.row.sender_id != reader {
            // In a group, the message's sender if still a member; otherwise the other participant.
            let sender = found.row.sender_id;
            let told = match found.conversation {
                // Users who are blocked in either direction do not learn that the other is there.
                _ if users::is_blocked(context.db, reader, sender).await? => None,
                ConversationId::Direct(..) => Some(sender),
                ConversationId::Group(group) => {
                    groups::find_membership(context.db, group, sender).await?.map(|_| sender)
                }
            };
            for user in [Some(reader), told].into_iter().flatten() {
                outcome.ephemeral(Audience::User(user), &event, Some(context.envelope.reply_to));
            }
        }
        Ok(outcome)
    }
}
