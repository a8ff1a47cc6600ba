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
use crate::mentions::{self, MAX_SHOWN_USERS, Mentioned, Names};
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
    sender_username: String,
    /// All users to be notified.
    pub users: Vec<UserId>,
}

impl Mentions {
    /// As a Postgres array; 0 stands for everyone.
    pub fn array_literal(&self) -> String {
        let ids: Vec<String> = self
            .shown
            .iter()
            .map(|mention| match mention {
                Mention::User { user_id, .. } => user_id.to_string(),
                Mention::Everyone { .. } => "0".to_owned(),
            })
            .collect();
        format!("{{{}}}", ids.join(","))
    }
}

/// A `mentioned_in_group` event to store and publish with its message.
pub struct MentionEvent {
    group: GroupId,
    mentioned_by: UserId,
    mentioned_by_username: String,
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
        self.payload(Some(message), message.version)
    }

    fn payload(&self, message: Option<&Message>, version: Option<i64>) -> Vec<u8> {
        let event = MentionedInGroup {
            message_id: MessageId(self.event_id),
            group_id: self.group,
            mentioned_by: self.mentioned_by,
            mentioned_by_username: &self.mentioned_by_username,
            message,
            version,
        };
        shared::events::durable(&event, self.event_id)
    }

    pub async fn insert(&self, app: &App, db: &mut PgSession, version: Option<i64>) -> sqlx::Result<()> {
        let sealed = app.keyring.seal_blob(self.event_id, &self.payload(None, version));
        events::insert_event(db, EventId(self.event_id), Some(self.conversation), &sealed, &self.users).await
    }
}

impl Facts {
    pub async fn load(app: &App, db: &mut PgSession, batch: &[&Send]) -> Result<Facts, Failure> {
        let mut facts = Facts::default();
        facts.load_replied_to(app, db, batch).await?;
        facts.load_mentions(db, batch, app.settings.everyone_group_size as usize).await?;
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

    /// In groups of more than `everyone_size` members, an ordinary member's mention of everyone is plain text.
    async fn load_mentions(
        &mut self,
        db: &mut PgSession,
        batch: &[&Send],
        everyone_size: usize,
    ) -> Result<(), Failure> {
        let with_at = |send: &&&Send| send.refusal.is_none() && send.content.contains('@');
        let groups: Vec<GroupId> = batch.iter().filter(with_at).filter_map(|send| send.conversation.group()).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let mut members: HashMap<GroupId, Vec<(UserId, String)>> = HashMap::new();
        let mut leaders: HashSet<(GroupId, UserId)> = HashSet::new();
        for member in groups::list_member_names(db, &groups).await? {
            if member.role.is_owner_or_admin() {
                leaders.insert((member.group_id, member.user_id));
            }
            members.entry(member.group_id).or_default().push((member.user_id, member.username));
        }
        let names: HashMap<GroupId, Names<'_>> = members.iter().map(|(group, of)| (*group, Names::of(of))).collect();
        for send in batch.iter().filter(with_at) {
            let Some(group) = send.conversation.group() else { continue };
            let (Some(members), Some(names)) = (members.get(&group), names.get(&group)) else { continue };
            let mut found = mentions::find(&send.content, send.envelope.user, names);
            if members.len() > everyone_size && !leaders.contains(&(group, send.envelope.user)) {
                found.retain(|mentioned| *mentioned != Mentioned::Everyone);
            }
            if found.is_empty() {
                continue;
            }
            let everyone = found.contains(&Mentioned::Everyone);
            let others = members.iter().map(|(user, _)| *user).filter(|user| *user != send.envelope.user);
            let mut users: Vec<UserId> =
                if everyone { others.collect() } else { found.iter().filter_map(Mentioned::user).collect() };
            if everyone {
                // In the order that replays use.
                users.sort_unstable();
            }
            let shown_users = if users.len() <= MAX_SHOWN_USERS { users.as_slice() } else { &[] };
            let shown = found
                .into_iter()
                .map(|mentioned| match mentioned {
                    Mentioned::Everyone => Mention::Everyone { user_ids: shown_users.to_vec() },
                    Mentioned::User { id, username } => Mention::User { user_id: id, username },
                })
                .collect();
            let sender = members.iter().find(|(user, _)| *user == send.envelope.user);
            let sender_username = sender.map(|(_, username)| username.clone()).unwrap_or_default();
            self.mentions.insert(send.envelope.id, Mentions { shown, sender_username, users });
        }
        self.spare_the_blocked(db, batch).await
    }

    /// Removes mentions between users of whom one blocks the other. The text stays as it is.
    async fn spare_the_blocked(&mut self, db: &mut PgSession, batch: &[&Send]) -> Result<(), Failure> {
        let (mut senders, mut told) = (Vec::new(), Vec::new());
        for send in batch {
            for user in self.mentions.get(&send.envelope.id).into_iter().flat_map(|mentions| &mentions.users) {
                senders.push(send.envelope.user);
                told.push(*user);
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        let blocked = users::list_blocked_among(db, &senders, &told).await?;
        let blocked: HashSet<(UserId, UserId)> = blocked.iter().map(|pair| (pair.user_id, pair.other_id)).collect();
        for send in batch {
            if let Some(mentions) = self.mentions.get_mut(&send.envelope.id) {
                mentions.users.retain(|user| !blocked.contains(&(send.envelope.user, *user)));
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
                mentioned_by_username: mentions.sender_username.clone(),
                place,
                event_id: send.envelope.id,
                conversation: send.conversation,
                users: mentions.users.clone(),
            })
        };
        batch.iter().enumerate().filter_map(event).collect()
    }
}
