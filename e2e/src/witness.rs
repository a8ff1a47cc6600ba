//! The history checker: what was acknowledged to senders, what each recipient saw, and what is stored must agree.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::Deployment;

/// What people saw of some conversations.
#[derive(Default)]
pub struct Witness {
    /// By conversation: message id and seq of each acknowledgement.
    acknowledged: HashMap<String, HashMap<String, i64>>,
    /// By recipient and conversation, in the order of first arrival.
    seen: BTreeMap<(String, String), Vec<(i64, String)>>,
}

impl Witness {
    /// Notes a sender's acknowledgement.
    pub fn acknowledged(&mut self, answer: &Value) {
        let conversation = text(answer, "conversationId");
        let seq = answer["seq"].as_i64().unwrap_or_default();
        self.acknowledged.entry(conversation).or_default().insert(text(answer, "messageId"), seq);
    }

    /// Notes what arrived at a recipient; anything but messages is passed over, and so are repetitions.
    pub fn saw(&mut self, recipient: &str, event: &Value) {
        if !matches!(client::event_type(event), "new_message" | "new_group_message" | "group_announcement") {
            return;
        }
        let id = text(event, "messageId");
        let seen = self.seen.entry((recipient.to_owned(), text(event, "conversationId"))).or_default();
        if !seen.iter().any(|(_, known)| *known == id) {
            seen.push((event["seq"].as_i64().unwrap_or_default(), id));
        }
    }

    /// How many messages of a conversation this recipient saw.
    pub fn seen_count(&self, recipient: &str, conversation: &str) -> usize {
        self.seen.get(&(recipient.to_owned(), conversation.to_owned())).map_or(0, Vec::len)
    }

    pub fn acknowledged_count(&self) -> usize {
        self.acknowledged.values().map(HashMap::len).sum()
    }

    /// Checks everything noted against the database.
    ///
    /// # Errors
    /// When an acknowledged message is not stored exactly once under its number, numbers have gaps, somebody saw another
    /// order, or (with `complete`) somebody did not see everything.
    pub fn check(&self, deployment: &Deployment, complete: bool) -> Result<()> {
        let conversations: HashSet<&String> =
            self.acknowledged.keys().chain(self.seen.keys().map(|(_, conversation)| conversation)).collect();
        let mut stored: HashMap<&String, Vec<(i64, String)>> = HashMap::new();
        for conversation in conversations {
            let rows = deployment.stored(conversation)?;
            for (place, (seq, id)) in rows.iter().enumerate() {
                ensure!(*seq == place as i64 + 1, "{conversation}: {id} has number {seq} at place {}", place + 1);
            }
            let ids: HashSet<&String> = rows.iter().map(|(_, id)| id).collect();
            ensure!(ids.len() == rows.len(), "{conversation}: a message is stored twice");
            stored.insert(conversation, rows);
        }
        for (conversation, messages) in &self.acknowledged {
            for (id, seq) in messages {
                if !stored[conversation].contains(&(*seq, id.clone())) {
                    bail!("{conversation}: {id} was acknowledged as number {seq} and is not stored so");
                }
            }
        }
        for ((recipient, conversation), seen) in &self.seen {
            let rows = &stored[conversation];
            for pair in seen.windows(2) {
                ensure!(pair[0].0 < pair[1].0, "{recipient} saw {:?} before {:?}", pair[0], pair[1]);
            }
            for message in seen {
                ensure!(rows.contains(message), "{recipient} saw {message:?}, which is not stored so");
            }
            if complete && seen.len() != rows.len() {
                let missing = rows.iter().find(|row| !seen.contains(row));
                bail!(
                    "{recipient} saw {} of {} messages of {conversation}; the first missing: {missing:?}",
                    seen.len(),
                    rows.len()
                );
            }
        }
        Ok(())
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
