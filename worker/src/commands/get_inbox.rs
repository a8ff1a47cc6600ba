//! `get_inbox`: lists all of the caller's conversations (direct, groups and communities) in one order.

use std::collections::{HashMap, HashSet};

use shared::commands::{GetInbox, InboxPosition};
use shared::cursor::Cursor;
use shared::events::inbox::{ConversationKind, Inbox, InboxEntry, InboxParticipant};
use shared::events::message::Message;
use shared::ids::{ConversationId, MessageId, UserId};
use shared::limits::MAX_ANSWER_BYTES;
use time::OffsetDateTime;

use super::{Context, Handle, quiet};
use crate::app::App;
use crate::error::Failure;
use crate::history as pages;
use crate::metadata;
use crate::outcome::Outcome;
use crate::presence;
use crate::store::history;
use crate::store::inbox::{self, EntryRow};
use crate::store::user_search::{self, UserRow};

/// Unread messages are counted up to here: an exact large number is not worth a scan.
pub const MAX_UNREAD: i64 = 1_000;

impl Handle for GetInbox {
    async fn handle(self, context: &mut Context<'_>) -> Result<Outcome, Failure> {
        let user = context.caller();
        let after = self.after.map(|place| {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(place.active_at_us) * 1_000);
            (at.unwrap_or(OffsetDateTime::UNIX_EPOCH), place.conversation)
        });
        // Reading one more than requested shows if there are more.
        let limit = self.limit as usize;
        let mut rows = inbox::list_entries(context.db, user, after, limit as i64 + 1, MAX_UNREAD).await?;
        let found = rows.len();
        rows.truncate(limit);
        quiet::mark_if_many(context.app, context.db, user, rows.first().map_or(0, |row| row.active_count)).await;
        let messages = newest_messages(context, &rows).await?;
        rows.truncate(fitting(&rows, &messages));
        let next_cursor = rows.last().filter(|_| found > rows.len()).map(cursor);
        let peers = peers(context, &rows).await?;
        let total_unread = match rows.first() {
            Some(row) => row.total_unread,
            // The conversation after which the page was to begin has moved to the front.
            None if after.is_some() => {
                let first = inbox::list_entries(context.db, user, None, 1, MAX_UNREAD).await?;
                first.first().map_or(0, |row| row.total_unread)
            }
            None => 0,
        };
        let entries = rows.into_iter().map(|row| entry(context.app, row, user, &messages, &peers)).collect();
        Ok(Outcome::answered(context.envelope, &Inbox { entries, next_cursor, total_unread }))
    }
}

fn cursor(row: &EntryRow) -> String {
    let active_at_us = (row.active_at.unix_timestamp_nanos() / 1_000) as i64;
    InboxPosition { active_at_us, conversation: row.conversation_id }.to_text()
}

/// How many of the entries fit into the answer; at least one.
fn fitting(rows: &[EntryRow], messages: &HashMap<MessageId, Message>) -> usize {
    let mut bytes = 0;
    let fits = |row: &&EntryRow| {
        bytes += row.message_id.and_then(|id| messages.get(&id)).map_or(0, pages::json_bytes);
        bytes += row.metadata.as_ref().map_or(0, Vec::len);
        bytes <= MAX_ANSWER_BYTES
    };
    rows.iter().take_while(fits).count().max(1)
}

/// The newest messages in the form of pages.
async fn newest_messages(context: &mut Context<'_>, rows: &[EntryRow]) -> Result<HashMap<MessageId, Message>, Failure> {
    let ids: Vec<MessageId> = rows.iter().filter_map(|row| row.message_id).collect();
    let stored = history::list_by_id(context.db, &ids).await?;
    let shown = pages::show(context.app, context.db, context.envelope.user, &stored).await?;
    Ok(shown.into_iter().map(|message| (message.message_id, message)).collect())
}

/// The other user of a direct conversation.
struct Peer {
    participant: InboxParticipant,
    /// In either direction.
    is_blocked: bool,
}

/// The other users of direct conversations. One who is gone has no name.
async fn peers(context: &mut Context<'_>, rows: &[EntryRow]) -> Result<HashMap<UserId, Peer>, Failure> {
    let caller = context.caller();
    let other = |row: &EntryRow| row.conversation_id.other(caller);
    let users: HashSet<UserId> = rows.iter().filter_map(other).collect();
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<UserId> = users.iter().copied().collect();
    let profiles = user_search::list_profiles(context.db, &ids).await?;
    let mut profiles: HashMap<UserId, UserRow> = profiles.into_iter().map(|row| (row.user_id, row)).collect();
    let blocked = context.blocked_either_way().await?;
    let visible: Vec<UserId> = users.iter().copied().filter(|user| !blocked.contains(user)).collect();
    let online = presence::online_among(context.app, &visible).await;
    let peer = |user: UserId| {
        let profile = profiles.remove(&user);
        let username = profile.as_ref().map(|profile| profile.username.clone()).unwrap_or_default();
        let participant = InboxParticipant {
            user_id: user,
            display_name: profile.as_ref().and_then(|p| p.display_name.clone()).unwrap_or_else(|| username.clone()),
            profile_image: profile.and_then(|profile| profile.profile_picture),
            username,
            online: online.contains(&user),
        };
        (user, Peer { participant, is_blocked: blocked.contains(&user) })
    };
    Ok(users.into_iter().map(peer).collect())
}

fn entry(
    app: &App,
    row: EntryRow,
    caller: UserId,
    messages: &HashMap<MessageId, Message>,
    peers: &HashMap<UserId, Peer>,
) -> InboxEntry {
    let conversation_id = row.conversation_id;
    let other = conversation_id.other(caller);
    let peer = other.and_then(|other| peers.get(&other));
    let peer_read_seq = row.peer_read_seq.filter(|_| peer.is_some_and(|peer| !peer.is_blocked));
    let kind = match (conversation_id, &row.community_id) {
        (ConversationId::Direct(..), _) => ConversationKind::Direct,
        (ConversationId::Group(_), None) => ConversationKind::Group,
        (ConversationId::Group(_), Some(_)) => ConversationKind::Community,
    };
    InboxEntry {
        kind,
        conversation_id,
        group_id: conversation_id.group(),
        community_id: row.community_id.map(|community| community.0),
        name: row.name,
        metadata: conversation_id.group().and_then(|group| metadata::of_group(app, group, row.metadata.as_deref())),
        participant: peer.map(|peer| peer.participant.clone()),
        last_message: row.message_id.and_then(|message| messages.get(&message)).cloned(),
        last_activity_at: row.active_at.into(),
        last_seq: row.last_seq,
        read_seq: row.read_seq,
        peer_read_seq: other.map(|_| peer_read_seq.unwrap_or(0)),
        unread_count: row.unread_count,
        unread_mentions: row.unread_mentions,
        version: row.version,
        muted_until: row.muted_until.map(Into::into),
        pinned: row.pinned,
        marked_unread: row.marked_unread,
        my_role: row.role,
    }
}
