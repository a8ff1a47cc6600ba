//! The history checker: what was acknowledged to senders, what each recipient saw, and what is stored must agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::Deployment;

/// What people saw of some conversations.
#[derive(Default)]
pub struct Witness {
    /// By conversation: each acknowledged message.
    acknowledged: HashMap<String, HashMap<String, Acknowledged>>,
    /// By recipient and conversation, in the order of first arrival.
    seen: BTreeMap<(String, String), Seen>,
    /// By message: the contents that were acknowledged to its editor, in order.
    edits: HashMap<String, Edits>,
    /// Messages with an edit whose outcome is not known.
    uncertain: HashSet<String>,
    /// By recipient and message: the edited contents in the order of first arrival.
    edits_seen: HashMap<(String, String), Vec<String>>,
}

struct Acknowledged {
    seq: i64,
    client_message_id: Option<String>,
}

#[derive(Default)]
struct Seen {
    order: Vec<(i64, String)>,
    ids: HashSet<String>,
}

struct Edits {
    editor: String,
    conversation: String,
    contents: Vec<String>,
}

/// A stored message.
struct Row {
    seq: i64,
    id: String,
    sender: String,
    client_message_id: String,
}

impl Witness {
    /// Notes a sender's acknowledgement.
    pub fn acknowledged(&mut self, answer: &Value) {
        let acknowledged = Acknowledged {
            seq: answer["seq"].as_i64().unwrap_or_default(),
            client_message_id: answer["clientMessageId"].as_str().map(str::to_owned),
        };
        let messages = self.acknowledged.entry(text(answer, "conversationId")).or_default();
        messages.insert(text(answer, "messageId"), acknowledged);
    }

    /// Notes that an edit was acknowledged to its editor, who has no other edit of this message in progress.
    pub fn edited(&mut self, editor: &str, conversation: &str, answer: &Value) {
        let edits = self.edits.entry(text(answer, "messageId")).or_insert_with(|| Edits {
            editor: editor.to_owned(),
            conversation: conversation.to_owned(),
            contents: Vec::new(),
        });
        edits.contents.push(text(answer, "content"));
    }

    /// Notes that an edit had no answer or was temporarily rejected: it may have been applied.
    pub fn edit_is_uncertain(&mut self, message: &str) {
        self.uncertain.insert(message.to_owned());
    }

    /// Returns what an edited message must say in the end; messages with an edit of unknown outcome are left out.
    pub fn last_edits(&self) -> HashMap<String, String> {
        let certain = self.edits.iter().filter(|(message, _)| !self.uncertain.contains(*message));
        certain.filter_map(|(message, edits)| Some((message.clone(), edits.contents.last()?.clone()))).collect()
    }

    /// Notes that a user takes part in a conversation, and so has to see all of it.
    pub fn expects(&mut self, recipient: &str, conversation: &str) {
        self.seen.entry((recipient.to_owned(), conversation.to_owned())).or_default();
    }

    /// Notes what arrived at a recipient: others' messages and edits. Repetitions are ignored.
    pub fn saw(&mut self, recipient: &str, event: &Value) {
        match client::event_type(event) {
            "new_message" | "new_group_message" | "group_announcement" if event["senderUsername"] != recipient => {
                let id = text(event, "messageId");
                let seen = self.seen.entry((recipient.to_owned(), text(event, "conversationId"))).or_default();
                if seen.ids.insert(id.clone()) {
                    seen.order.push((event["seq"].as_i64().unwrap_or_default(), id));
                }
            }
            // The editor's own answer is not an event.
            "message_edited" | "group_message_edited" if event["eventId"].is_string() => {
                let contents = self.edits_seen.entry((recipient.to_owned(), text(event, "messageId"))).or_default();
                let content = text(event, "content");
                if !contents.contains(&content) {
                    contents.push(content);
                }
            }
            _ => {}
        }
    }

    /// Returns how many messages of a conversation this recipient saw.
    pub fn seen_count(&self, recipient: &str, conversation: &str) -> usize {
        self.seen.get(&(recipient.to_owned(), conversation.to_owned())).map_or(0, |seen| seen.order.len())
    }

    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.values().map(HashMap::len).sum()
    }

    /// Returns what did not reach participants, one line each: messages that are stored, edits that were acknowledged.
    pub fn missing(&self, deployment: &Deployment) -> Result<Vec<String>> {
        let stored = self.stored(deployment)?;
        let mut missing = Vec::new();
        for ((recipient, conversation), seen) in &self.seen {
            for row in &stored[conversation] {
                if row.sender != *recipient && !seen.ids.contains(&row.id) {
                    missing.push(format!("{recipient} did not get number {} of {conversation}, {}", row.seq, row.id));
                }
            }
            for (message, edits) in self.edits.iter().filter(|(_, edits)| edits.conversation == *conversation) {
                if edits.editor == *recipient {
                    continue;
                }
                let got = self.edits_seen.get(&(recipient.clone(), message.clone()));
                for content in &edits.contents {
                    if !got.is_some_and(|got| got.contains(content)) {
                        missing.push(format!("{recipient} did not get the edit of {message} to {content:?}"));
                    }
                }
            }
        }
        Ok(missing)
    }

    /// Checks everything noted against the database.
    ///
    /// # Errors
    /// If an acknowledged message is not stored exactly once under its number, numbers have gaps, somebody saw another
    /// order, or (with `complete`) somebody did not see everything.
    pub fn check(&self, deployment: &Deployment, complete: bool) -> Result<()> {
        let stored = self.stored(deployment)?;
        for (conversation, rows) in &stored {
            check_numbers(conversation, rows)?;
        }
        for (conversation, messages) in &self.acknowledged {
            let by_id: HashMap<&str, &Row> = stored[conversation].iter().map(|row| (row.id.as_str(), row)).collect();
            for (id, acknowledged) in messages {
                let Some(row) = by_id.get(id.as_str()) else {
                    bail!("{conversation}: {id} was acknowledged as number {} and is not stored", acknowledged.seq);
                };
                ensure!(
                    row.seq == acknowledged.seq,
                    "{conversation}: {id} was acknowledged as number {} and is {}",
                    acknowledged.seq,
                    row.seq
                );
                if let Some(name) = &acknowledged.client_message_id {
                    ensure!(row.client_message_id == *name, "{conversation}: {id} is not stored as {name}");
                }
            }
        }
        for ((recipient, conversation), seen) in &self.seen {
            let rows = &stored[conversation];
            for pair in seen.order.windows(2) {
                ensure!(pair[0].0 < pair[1].0, "{recipient} saw {:?} before {:?} of {conversation}", pair[0], pair[1]);
            }
            let known: HashSet<(i64, &str)> = rows.iter().map(|row| (row.seq, row.id.as_str())).collect();
            for (seq, id) in &seen.order {
                ensure!(known.contains(&(*seq, id.as_str())), "{recipient} saw {id} as {seq}, which is not stored so");
            }
        }
        self.check_edits()?;
        if complete {
            let missing = self.missing(deployment)?;
            if let Some(first) = missing.first() {
                bail!("{first}, first of {} that are missing", missing.len());
            }
        }
        Ok(())
    }

    /// Checks that acknowledged edits of a message arrived in order.
    fn check_edits(&self) -> Result<()> {
        for ((recipient, message), seen) in &self.edits_seen {
            let Some(edits) = self.edits.get(message) else { continue };
            let places: Vec<usize> =
                seen.iter().filter_map(|content| edits.contents.iter().position(|known| known == content)).collect();
            ensure!(places.is_sorted(), "{recipient} saw the edits of {message} in the order {seen:?}");
        }
        Ok(())
    }

    /// Returns the rows of every recorded conversation, in order.
    fn stored(&self, deployment: &Deployment) -> Result<BTreeMap<String, Vec<Row>>> {
        let conversations: BTreeSet<&String> =
            self.acknowledged.keys().chain(self.seen.keys().map(|(_, conversation)| conversation)).collect();
        let mut stored: BTreeMap<String, Vec<Row>> =
            conversations.iter().map(|conversation| ((*conversation).clone(), Vec::new())).collect();
        let list = conversations.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
        if list.is_empty() {
            return Ok(stored);
        }
        let rows = deployment.sql(&format!(
            "SELECT m.conversation_id, m.seq, 'msg_' || m.message_id, u.username, coalesce(m.client_message_id, '')
             FROM private_messages m JOIN users_auth u ON u.user_id = m.sender_id
             WHERE m.conversation_id IN ({list}) ORDER BY 1, 2"
        ))?;
        for line in rows.lines().filter(|line| !line.is_empty()) {
            let mut columns = line.split('|').map(str::to_owned);
            let mut column = || columns.next().context("five columns");
            let (conversation, seq, id, sender, client_message_id) =
                (column()?, column()?.parse()?, column()?, column()?, column()?);
            stored.entry(conversation).or_default().push(Row { seq, id, sender, client_message_id });
        }
        Ok(stored)
    }
}

/// Checks that numbers start at 1 without gaps; no message twice, by its id or by its sender's own name for it.
fn check_numbers(conversation: &str, rows: &[Row]) -> Result<()> {
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for (place, row) in rows.iter().enumerate() {
        ensure!(
            row.seq == place as i64 + 1,
            "{conversation}: {} has number {} at place {}",
            row.id,
            row.seq,
            place + 1
        );
        ensure!(ids.insert(&row.id), "{conversation}: {} is stored twice", row.id);
        let is_first = row.client_message_id.is_empty() || names.insert((&row.sender, &row.client_message_id));
        ensure!(is_first, "{conversation}: {}'s {} is stored twice", row.sender, row.client_message_id);
    }
    Ok(())
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
