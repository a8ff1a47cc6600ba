//! Facts that must be known before a batch is stored and that its statement does not find out: the messages replied to,
//! and whom a group message mentions. Batches of plain messages need neither, and then nothing is queried.

use std::collections::{HashMap, HashSet};

use crate::store::session::PgSession;
use shared::events::group::MentionedInGroup;
use shared::events::message::{Mention, Message, ReplyPreview};
use shared::ids::{ConversationId, EventId, GroupId, MessageId, UserId};
use shared::limits::REPLY_PREVIEW_CHARACTERS;
use shared::protocol::Rejection;
use uuid::Uuid;

use super::Send;
use crate::app::App;
use crate::error::Failure;
use crate::mentions::{self, MAX_SHOWN_USERS, Mentioned, Writing};
use crate::store::sends::Verdict;
use crate::store::{events, groups, history, users};

#[derive(Default)]
pub struct Facts {
    replied_to: HashMap<MessageId, RepliedTo>,
    /// The users mentioned in each message that has mentions.
    mentions: HashMap<Uuid, Mentions>,
}

struct RepliedTo {
    conversation: ConversationId,
    preview: ReplyPreview,
    /// Those who may know of the message, among the users who reply to it in this batch.
    known_to: HashSet<UserId>,
    /// Users who hid it, and get no preview of it.
    hidden_from: Vec<UserId>,
}

/// The users mentioned in one message, in order of appearance.
pub struct Mentions {
    pub shown: Vec<Mention>,
    stored: Vec<i64>,
    /// All users to be notified.
    pub users: Vec<UserId>,
}

impl Mentions {
    /// As a Postgres array; 0 stands for everyone.
    pub fn array_literal(&self) -> String {
        let ids: Vec<String> = self.stored.iter().map(i64::to_string).collect();
        format!("{{{}}}", ids.join(","))
    }
}

/// Those whom mentions of everyone notify.
#[derive(Default)]
struct Called {
    /// In the order that replays use.
    members: HashMap<GroupId, Vec<UserId>>,
    /// Authors, with members who block them or whom they block.
    blocked: HashSet<(UserId, UserId)>,
}

impl Called {
    async fn load(db: &mut PgSession, writings: &[Writing<'_>], mentioned: &[Vec<Mentioned>]) -> sqlx::Result<Called> {
        let calling = writings.iter().zip(mentioned).filter(|(_, mentioned)| mentioned.contains(&Mentioned::Everyone));
        let calling: HashSet<(GroupId, UserId)> = calling.map(|(writing, _)| (writing.group, writing.author)).collect();
        let mut called = Called::default();
        if calling.is_empty() {
            return Ok(called);
        }
        let groups: HashSet<GroupId> = calling.iter().map(|(group, _)| *group).collect();
        for (group, user) in groups::list_members_with_accounts(db, &groups.into_iter().collect::<Vec<_>>()).await? {
            called.members.entry(group).or_default().push(user);
        }
        let pairs =
            calling.iter().flat_map(|(group, author)| called.others(*group, *author).map(|user| (*author, user)));
        let (authors, others): (Vec<UserId>, Vec<UserId>) = pairs.unzip();
        let blocked = users::list_blocked_among(db, &authors, &others).await?;
        called.blocked = blocked.iter().map(|pair| (pair.user_id, pair.other_id)).collect();
        Ok(called)
    }

    fn others(&self, group: GroupId, author: UserId) -> impl Iterator<Item = UserId> {
        self.members.get(&group).into_iter().flatten().copied().filter(move |user| *user != author)
    }

    fn mentions(&self, Writing { group, author, .. }: Writing<'_>, mentioned: Vec<Mentioned>) -> Mentions {
        let stored = mentioned.iter().map(Mentioned::to_stored).collect();
        let mut users: Vec<UserId> = mentioned.iter().filter_map(Mentioned::user).collect();
        let mut everyone = Vec::new();
        if mentioned.contains(&Mentioned::Everyone) {
            users = self.others(group, author).collect();
            if users.len() <= MAX_SHOWN_USERS {
                everyone.clone_from(&users);
            }
            users.retain(|user| !self.blocked.contains(&(author, *user)));
        }
        let shown = mentioned.into_iter().map(|one| match one {
            Mentioned::Everyone => Mention::Everyone { user_ids: everyone.clone() },
            Mentioned::User { id, username } => Mention::User { user_id: id, username },
        });
        Mentions { shown: shown.collect(), stored, users }
    }
}

/// A `mentioned_in_group` event to store and publish with its message.
pub struct MentionEvent {
    group: GroupId,
    mentioned_by: UserId,
    /// The message's place in the batch.
    pub place: usize,
    /// The message's id, so that a redelivered command produces the same event.
    pub event_id: Uuid,
    pub conversation: ConversationId,
    pub users: Vec<UserId>,
}

impl MentionEvent {
    /// The event for connected users. The stored event has no message, because the message's number is not known yet; a
    /// replay adds it.
    pub fn with_message(&self, message: &Message) -> Vec<u8> {
        self.payload(&message.sender_username, Some(message), message.version)
    }

    fn payload(&self, username: &str, message: Option<&Message>, version: Option<i64>) -> Vec<u8> {
        let event = MentionedInGroup {
            message_id: MessageId(self.event_id),
            group_id: self.group,
            mentioned_by: self.mentioned_by,
            mentioned_by_username: username,
            message,
            version,
        };
        shared::events::durable(&event, self.event_id)
    }

    /// Stores the event of a message with this verdict.
    pub async fn insert(&self, app: &App, db: &mut PgSession, verdict: &Verdict) -> sqlx::Result<()> {
        let payload = self.payload(&verdict.sender_username, None, verdict.version);
        let sealed = app.keyring.seal_blob(self.event_id, &payload);
        events::insert_event(db, EventId(self.event_id), Some(self.conversation), &sealed, &self.users).await
    }
}

impl Facts {
    pub async fn load(app: &App, db: &mut PgSession, batch: &[&Send]) -> Result<Facts, Failure> {
        let mut facts = Facts::default();
        facts.load_replied_to(app, db, batch).await?;
        facts.load_mentions(db, batch, app.settings.everyone_group_size).await?;
        Ok(facts)
    }

    async fn load_replied_to(&mut self, app: &App, db: &mut PgSession, batch: &[&Send]) -> Result<(), Failure> {
        let replies = batch.iter().filter_map(|send| Some((send.envelope.user, send.reply_to?)));
        let (users, messages): (Vec<UserId>, Vec<MessageId>) = replies.unzip();
        if messages.is_empty() {
            return Ok(());
        }
        for row in history::list_by_id(db, &messages).await? {
            let Some(message) = crate::history::open_message(app, &row) else { continue };
            let preview = ReplyPreview {
                message_id: message.message_id,
                seq: message.seq,
                sender_username: message.sender_username,
                content: message.content.chars().take(REPLY_PREVIEW_CHARACTERS).collect(),
                created_at: message.created_at,
            };
            let found = RepliedTo {
                conversation: message.conversation_id,
                preview,
                known_to: HashSet::new(),
                hidden_from: Vec::new(),
            };
            self.replied_to.insert(message.message_id, found);
        }
        for (message, user) in history::list_hidden_from(db, &messages).await? {
            if let Some(found) = self.replied_to.get_mut(&message) {
                found.hidden_from.push(user);
            }
        }
        let known = history::list_known(db, &users, &messages).await?;
        for ((user, message), known) in users.into_iter().zip(messages).zip(known) {
            if let Some(found) = self.replied_to.get_mut(&message).filter(|_| known) {
                found.known_to.insert(user);
            }
        }
        Ok(())
    }

    async fn load_mentions(&mut self, db: &mut PgSession, batch: &[&Send], everyone_size: u32) -> Result<(), Failure> {
        let (mut ids, mut writings) = (Vec::new(), Vec::new());
        for send in batch.iter().filter(|send| send.refusal.is_none() && send.content.contains('@')) {
            if let Some(group) = send.conversation.group() {
                ids.push(send.envelope.id);
                writings.push(Writing { group, author: send.envelope.user, text: &send.content });
            }
        }
        let mentioned = mentions::list_allowed(db, &writings, everyone_size).await?;
        let called = Called::load(db, &writings, &mentioned).await?;
        for ((id, writing), mentioned) in ids.into_iter().zip(writings).zip(mentioned) {
            if !mentioned.is_empty() {
                self.mentions.insert(id, called.mentions(writing, mentioned));
            }
        }
        Ok(())
    }

    /// Why this message's reply is not allowed.
    pub fn rejection(&self, send: &Send) -> Option<Rejection> {
        let found = self.replied_to.get(&send.reply_to?);
        // A reply must not reveal the existence of a message in another user's conversation.
        let known = found.filter(|found| found.known_to.contains(&send.envelope.user));
        match known {
            Some(found) if found.conversation == send.conversation => None,
            Some(_) => {
                let details = "`replyToMessageId` must name a message of the same conversation";
                Some(Rejection::invalid("replyToMessageId", details))
            }
            None => Some(Rejection::not_found("replyToMessageId", "There is no such message to reply to")),
        }
    }

    pub fn preview(&self, send: &Send) -> Option<ReplyPreview> {
        send.reply_to.and_then(|message| self.replied_to.get(&message)).map(|found| found.preview.clone())
    }

    /// The users who must not see the preview.
    pub fn preview_hidden_from(&self, send: &Send) -> &[UserId] {
        send.reply_to.and_then(|message| self.replied_to.get(&message)).map_or(&[], |found| &found.hidden_from)
    }

    pub fn mentions(&self, send: &Send) -> Option<&Mentions> {
        self.mentions.get(&send.envelope.id)
    }

    /// The events for mentioned users, of the messages that may be stored.
    pub fn mention_events(&self, batch: &[&Send], refused: &[Option<Rejection>]) -> Vec<MentionEvent> {
        let event = |(place, send): (usize, &&Send)| {
            let mentions = self.mentions(send).filter(|_| refused[place].is_none())?;
            if mentions.users.is_empty() {
                return None;
            }
            let group: GroupId = send.conversation.group()?;
            Some(MentionEvent {
                group,
                mentioned_by: send.envelope.user,
                place,
                event_id: send.envelope.id,
                conversation: send.conversation,
                users: mentions.users.clone(),
            })
        };
        batch.iter().enumerate().filter_map(event).collect()
    }
}
