//! Where the database holds sealed content that is one byte string, and how each is opened. Columns of `private_messages` that go with
//! its key id are not here.

use shared::crypto::{Keyring, OpenError};
use shared::metadata::Metadata;
use shared::wire;
use uuid::Uuid;

/// A column of sealed content.
pub struct Blob {
    pub table: &'static str,
    /// The column of the row's id.
    pub key: &'static str,
    /// What `key` is of an id.
    key_of: KeyOf,
    pub column: &'static str,
    seal: Seal,
}

enum KeyOf {
    Id,
    /// `group_<uuid>`
    Group,
}

enum Seal {
    Plain,
    Outcome,
    Metadata,
}

impl Blob {
    const fn plain(table: &'static str, key: &'static str, column: &'static str) -> Blob {
        Blob { table, key, key_of: KeyOf::Id, column, seal: Seal::Plain }
    }

    /// As reports name it: its table, if that has no other sealed column.
    pub fn name(&self) -> String {
        match self.seal {
            Seal::Plain | Seal::Outcome => self.table.to_owned(),
            Seal::Metadata => format!("{}.{}", self.table, self.column),
        }
    }

    /// The row's id as SQL.
    pub fn id(&self) -> String {
        match self.key_of {
            KeyOf::Id => self.key.to_owned(),
            KeyOf::Group => format!("right({}, 36)::uuid", self.key),
        }
    }

    /// What the key column holds of an id, as SQL. The keys are in the order of the ids.
    pub fn key_of(&self, id: &str) -> String {
        match self.key_of {
            KeyOf::Id => id.to_owned(),
            KeyOf::Group => format!("'group_' || {id}"),
        }
    }

    /// Seals it again, under the newest key.
    ///
    /// # Errors
    /// When it does not open.
    pub fn reseal(&self, keyring: &Keyring, id: Uuid, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        match self.seal {
            Seal::Plain => keyring.open_blob(id, sealed).map(|plain| keyring.seal_blob(id, &plain)),
            Seal::Outcome => wire::reseal_outcome(keyring, id, sealed),
            Seal::Metadata => Metadata::reseal(keyring, id, sealed),
        }
    }
}

pub const BLOBS: [Blob; 9] = [
    Blob { seal: Seal::Metadata, ..Blob::plain("private_messages", "message_id", "metadata") },
    Blob { seal: Seal::Metadata, key_of: KeyOf::Group, ..Blob::plain("group_chats", "group_id", "metadata") },
    Blob::plain("event_log", "event_id", "body"),
    Blob::plain("conversation_changes", "event_id", "body"),
    Blob { seal: Seal::Outcome, ..Blob::plain("applied_commands", "command_id", "outcome") },
    // Of an event for several endpoints all rows have the same bytes, and are replaced together.
    Blob::plain("webhook_deliveries", "event_id", "body"),
    Blob::plain("webhook_endpoints", "endpoint_id", "secrets"),
    Blob::plain("group_sanctions", "sanction_id", "reason"),
    Blob::plain("message_reports", "report_id", "reason"),
];
