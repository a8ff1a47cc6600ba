//! The data stored about one user, as `chatctl user export` and workers export it.

use serde_json::Value;

use crate::crypto::Keyring;
use crate::ids::GroupId;
use crate::metadata::Metadata;

/// The sections that the database's function `chat_personal_data` knows, in the order of an export; each is a list of rows.
pub const SECTIONS: [&str; 17] = [
    "account",
    "profile",
    "following",
    "blocked",
    "status",
    "deactivated",
    "signIns",
    "conversations",
    "groups",
    "communities",
    "progress",
    "challenges",
    "reactions",
    "pins",
    "createdGroups",
    "hidden",
    "audit",
];

/// The section whose rows have sealed metadata.
pub const CREATED_GROUPS: &str = "createdGroups";

/// Opens the metadata in a row of [`CREATED_GROUPS`], which is `null` if there is none or it does not decrypt.
pub fn open_group(keyring: &Keyring, row: &mut Value) {
    let opened = || {
        let group: GroupId = row["group_id"].as_str()?.parse().ok()?;
        let sealed = unhex(row["metadata"].as_str()?.strip_prefix("\\x")?)?;
        Metadata::open(keyring, group.0, &sealed).ok()
    };
    let metadata = opened().and_then(|metadata| serde_json::from_str(metadata.as_json()).ok());
    row["metadata"] = metadata.unwrap_or_default();
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(digits).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::crypto::EncryptionSettings;

    #[test]
    fn the_metadata_of_a_created_group_is_exported_in_the_clear() {
        let keyring = Keyring::derive(&EncryptionSettings::single("export", "export")).unwrap();
        let (group, metadata) = (GroupId(Uuid::from_u128(5)), json!({"a": [1]}));
        let sealed = Metadata::new(&metadata).unwrap().seal(&keyring, group.0);
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut row = json!({"group_id": group, "metadata": format!("\\x{hex}")});
        open_group(&keyring, &mut row);
        assert_eq!(row["metadata"], metadata);
        for sealed in [json!(null), json!("\\x00"), json!("\\xzz")] {
            let mut row = json!({"group_id": group, "metadata": sealed});
            open_group(&keyring, &mut row);
            assert_eq!(row["metadata"], json!(null));
        }
    }
}
