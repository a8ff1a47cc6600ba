//! Turns ids that the original server assigned, as its clients and tables hold them, into ours: the same text becomes
//! the same id in every process and in every run of an import. Conversation ids that clients made up cannot be derived
//! from their text; they are in the table `held_conversation_ids`.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ids::{GroupId, MessageId};

/// The longest id that the original stored.
pub const MAX_CHARACTERS: usize = 255;

/// The message with this id in the original: `msg_{uuid}` and a bare UUID become that UUID, any other text a version 8
/// UUID derived from it. `None` for a text that cannot have been an id.
pub fn message_id(held: &str) -> Option<MessageId> {
    uuid_of(held, "msg_", "message").map(MessageId)
}

/// Like [`message_id`], for a group.
pub fn group_id(held: &str) -> Option<GroupId> {
    uuid_of(held, "group_", "group").map(GroupId)
}

/// True if our id was derived from a text. If so, only the tables of held ids know the original's id.
pub fn is_made_from_text(id: Uuid) -> bool {
    id.get_version_num() == 8
}

/// Whether a text can have been an id in the original's tables.
pub fn can_be_held(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0') && text.chars().count() <= MAX_CHARACTERS
}

fn uuid_of(held: &str, prefix: &str, kind: &str) -> Option<Uuid> {
    if !can_be_held(held) {
        return None;
    }
    let bare = held.strip_prefix(prefix).unwrap_or(held);
    // Only the hyphenated form, as everywhere else.
    if bare.len() == 36
        && let Ok(uuid) = Uuid::try_parse(bare)
    {
        return Some(uuid);
    }
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(held).finalize();
    let bytes: [u8; 16] = digest[..16].try_into().ok()?;
    Some(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_uuid_stays_what_it_is() {
        let uuid = "1f799220-3207-47e8-b532-bce31d62573e";
        let expected = MessageId(uuid.parse().unwrap());
        assert_eq!(message_id(uuid), Some(expected));
        assert_eq!(message_id(&format!("msg_{uuid}")), Some(expected));
        assert_eq!(group_id(&format!("group_{uuid}")).unwrap().0, expected.0);
        assert!(!is_made_from_text(expected.0));
    }

    #[test]
    fn any_other_text_becomes_the_same_uuid_every_time() {
        // Stored ids were derived this way: another value would leave clients with ids that lead nowhere.
        let id = message_id("msg_1762000000000_k3j9x2").unwrap();
        assert_eq!(id.0.to_string(), "6e682169-3754-8b07-aab1-51790aa4e5a0");
        let group = group_id("general").unwrap();
        assert_eq!(group.0.to_string(), "fe70bbbe-b7c2-8b0b-94f8-fa24edf5f715");
        assert!(is_made_from_text(id.0) && is_made_from_text(group.0));
        assert_ne!(message_id("general").unwrap().0, group.0);
    }

    #[test]
    fn what_cannot_have_been_an_id_is_none() {
        assert_eq!(message_id(""), None);
        assert_eq!(message_id(&"x".repeat(256)), None);
        assert_eq!(message_id("no text of Postgres\0"), None);
    }
}
