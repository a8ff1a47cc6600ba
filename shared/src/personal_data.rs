//! The data stored about one user, as `chatctl user export` and workers export it.

use serde_json::Value;
use uuid::Uuid;

use crate::crypto::Keyring;
use crate::ids::GroupId;
use crate::metadata::Metadata;

/// The sections that the database's function `chat_personal_data` knows, in the order of an export; each is a list of rows.
pub const SECTIONS: [&str; 19] = [
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
    "sanctions",
    "reports",
    "audit",
];

/// The sections whose rows have something sealed.
pub const SEALED_SECTIONS: [&str; 3] = ["createdGroups", "sanctions", "reports"];

/// Opens what is sealed in a row of this section. It is `null` if there is none or it does not decrypt.
pub fn open_row(keyring: &Keyring, section: &str, row: &mut Value) {
    match section {
        "createdGroups" => open_group(keyring, row),
        "sanctions" => open_reason(keyring, "sanction_id", row),
        "reports" => open_reason(keyring, "report_id", row),
        _ => {}
    }
}

fn sealed(field: &Value) -> Option<Vec<u8>> {
    unhex(field.as_str()?.strip_prefix("\\x")?)
}

fn open_reason(keyring: &Keyring, id: &str, row: &mut Value) {
    let opened = || {
        let id = Uuid::try_parse(row[id].as_str()?).ok()?;
        String::from_utf8(keyring.open_blob(id, &sealed(&row["reason"])?).ok()?).ok()
    };
    row["reason"] = opened().map(Value::from).unwrap_or_default();
}

fn open_group(keyring: &Keyring, row: &mut Value) {
    let opened = || {
        let group: GroupId = row["group_id"].as_str()?.parse().ok()?;
        Metadata::open(keyring, group.0, &sealed(&row["metadata"])?).ok()
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

    use super::*;
    use crate::crypto::EncryptionSettings;

    fn hex(sealed: &[u8]) -> String {
        sealed.iter().fold("\\x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
    }

    #[test]
    fn reasons_are_exported_in_the_clear() {
        let keyring = Keyring::derive(&EncryptionSettings::single("export", "export")).unwrap();
        let id = Uuid::from_u128(5);
        for (section, field) in [("sanctions", "sanction_id"), ("reports", "report_id")] {
            let mut row = json!({field: id, "reason": hex(&keyring.seal_blob(id, b"because"))});
            open_row(&keyring, section, &mut row);
            assert_eq!(row["reason"], "because");
            let mut row = json!({field: id, "reason": null});
            open_row(&keyring, section, &mut row);
            assert_eq!(row["reason"], json!(null));
        }
    }

    #[test]
    fn the_metadata_of_a_created_group_is_exported_in_the_clear() {
        let keyring = Keyring::derive(&EncryptionSettings::single("export", "export")).unwrap();
        let (group, metadata) = (GroupId(Uuid::from_u128(5)), json!({"a": [1]}));
        let sealed = Metadata::new(&metadata).unwrap().seal(&keyring, group.0);
        let mut row = json!({"group_id": group, "metadata": hex(&sealed)});
        open_group(&keyring, &mut row);
        assert_eq!(row["metadata"], metadata);
        for sealed in [json!(null), json!("\\x00"), json!("\\xzz")] {
            let mut row = json!({"group_id": group, "metadata": sealed});
            open_group(&keyring, &mut row);
            assert_eq!(row["metadata"], json!(null));
        }
    }
}
