//! A stored message, opened, with its reactions and the message it quotes: the same for every reader. What differs by
//! reader (read marks, hidden messages) and what is not ours to keep (names) is added last.

use std::collections::{HashMap, HashSet};

use crate::store::session::PgSession;
use serde::{Deserialize, Serialize};
use shared::events::message::{Mention, Message, ReplyPreview};
use shared::ids::{ConversationId, GroupId, MessageId, UserId};
use shared::limits::REPLY_PREVIEW_CHARACTERS;

use super::open::{add_reactions, open_message};
use crate::app::App;
use crate::error::Failure;
use crate::mentions::MAX_SHOWN_USERS;
use crate::store::conversations::Scope;
use crate::store::history::{self, MessageRow};
use crate::store::{groups, users};

/// How many reactions of one message are shown; more are left out, so that one message of a large community does not
/// fill a page.
const MAX_REACTIONS: i64 = 500;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub message: Message,
    /// The sender and place of the quoted message.
    quoted: Option<Quoted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Quoted {
    sender: UserId,
    seq: i64,
}

/// Opens rows, in their order; unreadable ones are left out. Needs at most two queries, however many rows there are.
pub async fn open(app: &App, db: &mut PgSession, rows: &[MessageRow]) -> Result<Vec<Entry>, Failure> {
    let mut messages: Vec<Message> = rows.iter().filter_map(|row| open_message(app, row)).collect();
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<MessageId> = messages.iter().map(|message| message.message_id).collect();
    add_reactions(&mut messages, history::list_reactions(db, &ids, MAX_REACTIONS).await?);
    let mut entries: Vec<Entry> = messages.into_iter().map(|message| Entry { message, quoted: None }).collect();
    add_quotes(app, db, &mut entries).await?;
    Ok(entries)
}

/// Adds the quoted messages that still exist.
async fn add_quotes(app: &App, db: &mut PgSession, entries: &mut [Entry]) -> Result<(), Failure> {
    let ids: HashSet<MessageId> = entries.iter().filter_map(|entry| entry.message.reply_to_message_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = history::list_by_id(db, &ids.into_iter().collect::<Vec<_>>()).await?;
    let quoted: HashMap<_, _> =
        rows.iter().filter_map(|row| open_message(app, row)).map(|message| (message.message_id, message)).collect();
    for entry in entries {
        let Some(quoted) = entry.message.reply_to_message_id.and_then(|id| quoted.get(&id)) else { continue };
        if quoted.conversation_id != entry.message.conversation_id {
            continue;
        }
        entry.quoted = Some(Quoted { sender: quoted.sender_id, seq: quoted.seq });
        entry.message.reply_to = Some(ReplyPreview {
            message_id: quoted.message_id,
            seq: quoted.seq,
            sender_username: quoted.sender_username.clone(),
            content: quoted.content.chars().take(REPLY_PREVIEW_CHARACTERS).collect(),
            created_at: quoted.created_at,
        });
    }
    Ok(())
}

/// The size of a message's fields without its texts.
const FIELDS_BYTES: usize = 700;
const LISTED_BYTES: usize = 120;

/// About how many bytes a message takes as JSON.
pub fn json_bytes(message: &Message) -> usize {
    let preview = message.reply_to.as_ref().map_or(0, |preview| text_bytes(&preview.content) + LISTED_BYTES);
    let lists = (message.mentions.len() + message.reactions.len()) * LISTED_BYTES;
    let metadata = message.metadata.as_ref().map_or(0, |metadata| metadata.as_json().len());
    FIELDS_BYTES + text_bytes(&message.content) + preview + lists + metadata
}

/// The size of a text with JSON escapes.
fn text_bytes(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 2,
            ..0x20 => 6,
            _ => 1,
        })
        .sum()
}

/// How many of these fit into `max_bytes`; at least one.
pub fn fitting<'a>(messages: impl Iterator<Item = &'a Message>, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        bytes += json_bytes(message);
        bytes <= max_bytes
    };
    messages.take_while(fits).count().max(1)
}

impl Entry {
    /// Sets if the recipient of a direct message has read it, as of this scope of the reader.
    pub fn set_read(&mut self, reader: UserId, scope: &Scope) {
        self.message.is_read = self.message.recipient_id.map(|recipient| {
            let read_seq = if recipient == reader { scope.read_seq } else { scope.other_read_seq };
            self.message.seq <= read_seq
        });
    }

    /// All users whose names it shows.
    fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        let mentioned = self.message.mentions.iter().filter_map(|mention| match mention {
            Mention::User { user_id, .. } => Some(*user_id),
            Mention::Everyone { .. } => None,
        });
        let reacted = self.message.reactions.iter().map(|reaction| reaction.user_id);
        let quoted = self.quoted.map(|quoted| quoted.sender);
        mentioned.chain(reacted).chain(quoted).chain([self.message.sender_id])
    }

    /// The message with current names; deleted users keep the last known name.
    fn named(self, names: &HashMap<UserId, String>) -> Message {
        let Entry { mut message, quoted } = self;
        let put = |user: UserId, into: &mut String| {
            if let Some(name) = names.get(&user) {
                into.clone_from(name);
            }
        };
        put(message.sender_id, &mut message.sender_username);
        for mention in &mut message.mentions {
            if let Mention::User { user_id, username } = mention {
                put(*user_id, username);
            }
        }
        for reaction in &mut message.reactions {
            put(reaction.user_id, &mut reaction.username);
        }
        if let (Some(quoted), Some(preview)) = (quoted, &mut message.reply_to) {
            put(quoted.sender, &mut preview.sender_username);
        }
        message
    }
}

/// Removes previews of messages that are hidden from this reader.
pub async fn hide_quotes(db: &mut PgSession, reader: UserId, entries: &mut [Entry]) -> Result<(), Failure> {
    let quotes = entries.iter().filter_map(|entry| Some((entry.message.conversation_id, entry.quoted?.seq)));
    let (conversations, seqs): (Vec<ConversationId>, Vec<i64>) = quotes.unzip();
    if seqs.is_empty() {
        return Ok(());
    }
    let hidden: HashSet<_> = history::list_hidden(db, reader, &conversations, &seqs).await?.into_iter().collect();
    for entry in entries {
        let Some(quoted) = entry.quoted else { continue };
        if hidden.contains(&(entry.message.conversation_id, quoted.seq)) {
            entry.message.reply_to = None;
        }
    }
    Ok(())
}

/// Fills in all names with one query.
pub async fn name(db: &mut PgSession, entries: Vec<Entry>) -> Result<Vec<Message>, Failure> {
    let users: HashSet<UserId> = entries.iter().flat_map(Entry::users).collect();
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let rows = users::list_names(db, &users.into_iter().collect::<Vec<_>>()).await?;
    let names: HashMap<UserId, String> = rows.into_iter().map(|row| (row.user_id, row.username)).collect();
    Ok(entries.into_iter().map(|entry| entry.named(&names)).collect())
}

/// Takes away the read marks of recipients who block the reader, or whom the reader blocks.
async fn hide_read_marks(db: &mut PgSession, reader: UserId, entries: &mut [Entry]) -> Result<(), Failure> {
    let is_marked = |entry: &&Entry| entry.message.sender_id == reader && entry.message.is_read == Some(true);
    let marked: HashSet<UserId> = entries.iter().filter(is_marked).filter_map(|e| e.message.recipient_id).collect();
    if marked.is_empty() {
        return Ok(());
    }
    let recipients: Vec<UserId> = marked.into_iter().collect();
    let pairs = users::list_blocked_among(db, &vec![reader; recipients.len()], &recipients).await?;
    let blocked: HashSet<UserId> = pairs.into_iter().map(|pair| pair.other_id).collect();
    for Entry { message, .. } in entries {
        if message.sender_id == reader && message.recipient_id.is_some_and(|recipient| blocked.contains(&recipient)) {
            message.is_read = Some(false);
        }
    }
    Ok(())
}

/// Rows as their reader sees them, in their order, of any conversations; at most five queries, whatever their number.
pub async fn show(app: &App, db: &mut PgSession, reader: UserId, rows: &[MessageRow]) -> Result<Vec<Message>, Failure> {
    let mut entries = open(app, db, rows).await?;
    hide_quotes(db, reader, &mut entries).await?;
    hide_read_marks(db, reader, &mut entries).await?;
    name(db, entries).await
}

/// Like [`show`], with the version that each message made and the users that a mention of everyone stands for, as in
/// the event of a new message.
pub async fn show_as_new(
    app: &App,
    db: &mut PgSession,
    reader: UserId,
    rows: &[MessageRow],
) -> Result<Vec<Message>, Failure> {
    let mut messages = show(app, db, reader, rows).await?;
    let versions: HashMap<MessageId, i64> =
        rows.iter().filter_map(|row| Some((row.message_id, row.version?))).collect();
    for message in &mut messages {
        message.version = versions.get(&message.message_id).copied();
    }
    name_everyone(db, &mut messages).await?;
    Ok(messages)
}

/// Adds the users that a mention of everyone stands for: the current members.
async fn name_everyone(db: &mut PgSession, messages: &mut [Message]) -> Result<(), Failure> {
    let is_everyone = |mention: &Mention| matches!(mention, Mention::Everyone { .. });
    let mut groups: Vec<GroupId> = Vec::new();
    for message in messages.iter().filter(|message| message.mentions.iter().any(is_everyone)) {
        groups.extend(message.group_id);
    }
    if groups.is_empty() {
        return Ok(());
    }
    groups.sort_unstable();
    groups.dedup();
    let mut members: HashMap<GroupId, Vec<UserId>> = HashMap::new();
    // One more than are shown, and the sender, who is not shown.
    let most = MAX_SHOWN_USERS as i64 + 2;
    for (group, user) in groups::list_some_members(db, &groups, most).await? {
        members.entry(group).or_default().push(user);
    }
    for message in messages {
        let Some(members) = message.group_id.and_then(|group| members.get(&group)) else { continue };
        let others: Vec<UserId> = members.iter().copied().filter(|user| *user != message.sender_id).collect();
        for mention in &mut message.mentions {
            if let Mention::Everyone { user_ids } = mention
                && others.len() <= MAX_SHOWN_USERS
            {
                user_ids.clone_from(&others);
            }
        }
    }
    Ok(())
}
