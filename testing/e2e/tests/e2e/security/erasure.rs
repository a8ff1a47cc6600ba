//! Nothing that an erased user wrote is left anywhere, sealed or not, and what others have to learn still reaches them.

use anyhow::{Context as _, Result, ensure};
use e2e::{Deployment, Options};
use serde_json::json;
use shared::crypto::{EncryptionSettings, Keyring};
use shared::metadata::Metadata;
use shared::wire::{Wire, WireFormat};
use uuid::Uuid;

use super::SOON;

/// A word in everything that Bob writes.
const WORD: &str = "bobsword";

/// Decrypts everything that is sealed in the database.
fn opened(deployment: &Deployment, keyring: &Keyring, wire: &Wire) -> Result<Vec<(Uuid, String)>> {
    // If you add a sealed column, check it here. Those of API keys and their requests are hashes.
    let sealed = "SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY table_name, column_name)
                  FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'bytea'
                  AND table_name NOT IN ('_sqlx_migrations', 'api_keys', 'api_requests')";
    let known = "applied_commands.outcome conversation_changes.body event_log.body group_chats.metadata group_sanctions.reason message_reports.reason private_messages.content private_messages.iv private_messages.mac private_messages.metadata webhook_deliveries.body webhook_endpoints.secrets";
    assert_eq!(deployment.sql(sealed)?, known);
    let mut texts = Vec::new();
    let rows = deployment.sql(
        "SELECT message_id || ' ' || key_id || ' ' || encode(iv, 'hex') || ' ' || encode(mac, 'hex') || ' ' || encode(content, 'hex')
         FROM private_messages",
    )?;
    for row in rows.lines() {
        let [id, key_id, iv, mac, content] = row.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("five columns: {row}")
        };
        let id: Uuid = id.parse()?;
        let plain = keyring.open(id, key_id.parse()?, &bytes(iv)?, Some(&bytes(mac)?), &bytes(content)?)?;
        texts.push((id, String::from_utf8_lossy(&plain).into_owned()));
    }
    let rows = deployment.sql(
        "SELECT event_id || ' ' || encode(body, 'hex') FROM event_log UNION ALL
         SELECT event_id || ' ' || encode(body, 'hex') FROM conversation_changes WHERE body IS NOT NULL UNION ALL
         SELECT event_id || ' ' || encode(body, 'hex') FROM webhook_deliveries WHERE body IS NOT NULL UNION ALL
         SELECT sanction_id || ' ' || encode(reason, 'hex') FROM group_sanctions WHERE reason IS NOT NULL UNION ALL
         SELECT report_id || ' ' || encode(reason, 'hex') FROM message_reports UNION ALL
         SELECT command_id || ' ' || encode(outcome, 'hex') FROM applied_commands WHERE outcome IS NOT NULL",
    )?;
    for row in rows.lines() {
        let (id, blob) = row.split_once(' ').context("two columns")?;
        let id: Uuid = id.parse()?;
        // Events, and the outcomes of commands, which are sealed separately.
        let blob = bytes(blob)?;
        let plain = keyring.open_blob(id, &blob).or_else(|_| wire.open_outcome(id, &blob))?;
        texts.push((id, String::from_utf8_lossy(&plain).into_owned()));
    }
    let rows = deployment.sql(
        "SELECT message_id || ' ' || encode(metadata, 'hex') FROM private_messages WHERE metadata IS NOT NULL UNION ALL
         SELECT right(group_id, 36) || ' ' || encode(metadata, 'hex') FROM group_chats WHERE metadata IS NOT NULL",
    )?;
    for row in rows.lines() {
        let (id, sealed) = row.split_once(' ').context("two columns")?;
        let id: Uuid = id.parse()?;
        texts.push((id, Metadata::open(keyring, id, &bytes(sealed)?)?.as_json().to_owned()));
    }
    Ok(texts)
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let byte = |at| Ok(u8::from_str_radix(hex.get(at..at + 2).context("two digits")?, 16)?);
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_erased_user_wrote_is_left_anywhere() -> Result<()> {
    let deployment = Deployment::start("erasure", Options { workers: 1, gateways: 1, ..Options::default() })?;
    let [alice, bob, carol] = deployment.users(["alice", "bob", "carol"])?;
    let (mut a, mut b) = (deployment.login(0, &alice).await?, deployment.login(0, &bob).await?);
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": [bob.id]});
    let group = a.request_ok(create).await?["groupId"].clone();
    a.request_ok(json!({"type": "promote_member", "groupId": group, "userId": bob.id})).await?;
    let said = a.request_ok(json!({"type": "send_group_message", "groupId": group, "content": "by alice"})).await?;
    let send = json!({"type": "send_message", "recipientId": bob.id, "content": "to bob"});
    let direct = a.request_ok(send).await?;
    // From here on everything is queued for her.
    a.close().await;

    let words = |n: u32| format!("{WORD} {n}");
    let metadata = json!({"k": words(0)});
    let send = json!({"type": "send_message", "recipientId": alice.id, "content": words(1), "metadata": metadata});
    let sent = b.request_ok(send).await?;
    b.request_ok(json!({"type": "edit_message", "messageId": sent["messageId"], "content": words(2)})).await?;
    let gone = b.request_ok(json!({"type": "send_message", "recipientId": alice.id, "content": words(3)})).await?;
    b.request_ok(json!({"type": "edit_message", "messageId": gone["messageId"], "content": words(4)})).await?;
    b.request_ok(json!({"type": "delete_message", "messageId": gone["messageId"]})).await?;
    b.request_ok(json!({"type": "add_reaction", "messageId": direct["messageId"], "reaction": WORD})).await?;
    let mention = format!("@{} {}", alice.name, words(5));
    let in_group = b.request_ok(json!({"type": "send_group_message", "groupId": group, "content": mention})).await?;
    let edit = json!({"type": "edit_group_message", "messageId": in_group["messageId"], "content": words(6)});
    b.request_ok(edit).await?;
    b.request_ok(json!({"type": "send_announcement", "groupId": group, "content": words(7)})).await?;
    b.request_ok(json!({"type": "add_group_reaction", "messageId": said["messageId"], "reaction": WORD})).await?;
    b.request_ok(json!({"type": "pin_message", "groupId": group, "messageId": in_group["messageId"]})).await?;
    b.request_ok(json!({"type": "add_group_member", "groupId": group, "userId": carol.id})).await?;
    let mute = json!({"type": "mute_member", "groupId": group, "userId": carol.id, "reason": words(8)});
    b.request_ok(mute).await?;
    let report = json!({"type": "report_message", "messageId": said["messageId"], "reason": words(9)});
    b.request_ok(report).await?;
    b.request_ok(json!({"type": "leave_group", "groupId": group})).await?;
    b.close().await;

    let secrets = deployment.fleet.secrets();
    let settings = EncryptionSettings::single(&secrets.encryption_key, &secrets.encryption_salt);
    let keyring = Keyring::derive(&settings)?;
    let wire = Wire::new(Keyring::derive(&settings)?, WireFormat::Two);
    let by_bob = |texts: &[(Uuid, String)]| texts.iter().filter(|(_, text)| text.contains(WORD)).count();
    ensure!(by_bob(&opened(&deployment, &keyring, &wire)?) >= 12, "there is something to erase");
    let id = bob.id.to_string();
    deployment.chatctl(&["user", "erase", &id, "--account", "--yes"])?;
    for (id, text) in opened(&deployment, &keyring, &wire)? {
        ensure!(!text.contains(WORD) && !text.contains(&bob.name), "{id} still says {text}");
    }
    let dump = std::process::Command::new(deployment.postgres.psql().with_file_name("pg_dump"))
        .args(["--inserts", &deployment.postgres.url("chat")])
        .output()?;
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    ensure!(dump.contains(&alice.name) && !dump.contains(WORD) && !dump.contains(&bob.name), "in the clear");
    let audited = "SELECT details ->> 'events' <> '0' FROM audit_log WHERE details ->> 'state' = 'finished'";
    assert_eq!(deployment.sql(audited)?, "t");

    // Events about who came and went still reach her, without the name.
    let mut a = deployment.login(0, &alice).await?;
    let carol_id = carol.id.to_string();
    let added = a.expect("member_added", |event| event["userId"] == carol_id, SOON).await?;
    assert_eq!(added["username"], carol.name.as_str());
    let left = a.expect("member_left", |event| event["userId"] == id, SOON).await?;
    assert_eq!(left["username"], format!("deleted-{id}"));
    ensure!(a.drain().iter().all(|event| !event.to_string().contains(WORD)), "the replay tells what was erased");
    Ok(())
}
