//! Checks that the configured keys are those that stored messages were sealed with. A worker with another key under the
//! same id would leave out everything that is stored, and store what no other process can read.

use std::collections::BTreeMap;

use anyhow::bail;
use shared::crypto::Keyring;

use crate::store::history::SealedRow;

/// Checks some of the newest stored messages.
///
/// # Errors
/// When none of the messages under a configured key opens with it.
pub fn check(keyring: &Keyring, newest: &[SealedRow]) -> anyhow::Result<()> {
    let mut opened: BTreeMap<i16, bool> = BTreeMap::new();
    for row in newest {
        let opens = keyring.open(row.message_id, row.key_id, &row.iv, row.mac.as_deref(), &row.content).is_ok();
        *opened.entry(row.key_id).or_default() |= opens;
    }
    let configured: Vec<i16> = keyring.key_ids().collect();
    for key_id in opened.into_iter().filter_map(|(key_id, opens)| (!opens).then_some(key_id)) {
        if configured.contains(&key_id) {
            bail!(
                "the stored messages with key id {key_id} were sealed with another key, or under another salt, than \
                 CHAT_ENCRYPTION_KEY (or CHAT_ENCRYPTION_KEYS, CHAT_ENCRYPTION_LEGACY_KEY) and CHAT_ENCRYPTION_SALT say; \
                 a new key needs a new id"
            );
        }
        tracing::error!(key_id, "messages are stored under a key that is not configured; they are left out");
    }
    Ok(())
}
