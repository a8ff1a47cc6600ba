//! A fleet with what attacks need: long conversations, a community, a user who missed very much.

use anyhow::{Context as _, Result};
use client::Client;
use e2e::{Deployment, Options, User};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Pairs of bystanders, each of which sends a message after the other is told.
const BYSTANDERS: usize = 8;
/// `GROUP_MAX_MEMBERS`, without the founder.
const STRANGERS: usize = 49;
/// Messages of the conversation whose depths are asked for, and of the one that the returner missed.
pub const DEEP: usize = 100_000;
/// Members of the community, and users who are online.
const COMMUNITY: usize = 5_000;
const ONLINE: usize = 100_000;

pub struct Stage {
    pub deployment: Deployment,
    pub bystanders: Vec<User>,
    pub attacker: User,
    /// With whom the attacker has a long conversation of long messages.
    pub partner: User,
    /// With whom the attacker has [`DEEP`] messages.
    pub confidant: User,
    /// As many as a group may have, so that each is large.
    pub strangers: Vec<User>,
    /// The attacker's second account, which missed [`DEEP`] messages and more.
    pub returner: User,
    /// With bystanders among its members, and the attacker.
    pub community: Value,
    /// A message in it.
    pub said: Value,
}

fn options() -> Result<Options> {
    let mut options = Options { gateways: 1, ..Options::default() };
    for (name, value) in [
        ("MESSAGE_RATE_LIMIT", "240"),
        ("REPLAY_LIMIT", "1000"),
        // So that places run out.
        ("MAX_PENDING", "100"),
        // For the attack of a hundred addresses.
        ("BUILTIN_AUTH", "true"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ] {
        options = options.with(name, value);
    }
    for setting in std::env::var("HOSTILE_SETTINGS").unwrap_or_default().split_whitespace() {
        let (name, value) = setting.split_once('=').context("NAME=value in HOSTILE_SETTINGS")?;
        options = options.with(name, value);
    }
    Ok(options)
}

impl Stage {
    pub async fn set() -> Result<Stage> {
        let deployment = Deployment::start("hostile", options()?)?;
        let [attacker, partner, confidant, returner] =
            deployment.users(["attacker", "partner", "confidant", "returner"])?;
        let bystanders = deployment.many_users("bystander", 2 * BYSTANDERS)?;
        let strangers = deployment.many_users("stranger", STRANGERS)?;
        let text = "\u{8a9e}".repeat(5_000);
        write(deployment.login(0, &partner).await?, attacker.id, &text, 200).await?;
        for (writer, reader) in [(&attacker, &confidant), (&confidant, &returner)] {
            write(deployment.login(0, writer).await?, reader.id, "the first", 1).await?;
            deepen(&deployment, &client::conversation_id(writer.id, reader.id))?;
        }
        // What is replayed can be read.
        let mut writing = JoinSet::new();
        for stranger in strangers.iter().take(6) {
            writing.spawn(write(deployment.login(0, stranger).await?, returner.id, "come back", 200));
        }
        while let Some(written) = writing.join_next().await {
            written??;
        }
        let mut founder = deployment.login(0, &attacker).await?;
        let group =
            founder.request_ok(json!({"type": "create_group", "groupName": "community"})).await?["groupId"].clone();
        populate(&deployment, group.as_str().context("a group")?)?;
        let say = json!({"type": "send_group_message", "groupId": group, "content": "welcome"});
        let said = founder.request_ok(say).await?["messageId"].clone();
        Ok(Stage { deployment, bystanders, attacker, partner, confidant, strangers, returner, community: group, said })
    }
}

async fn write(mut writer: Client, reader: i64, text: &str, count: usize) -> Result<()> {
    for _ in 0..count {
        let message = json!({"type": "send_private_message", "recipientId": reader, "content": text});
        writer.request_ok(message).await?;
        writer.drain();
    }
    Ok(())
}

/// Gives the conversation of one message as many as [`DEEP`], which nobody could read.
fn deepen(deployment: &Deployment, conversation: &str) -> Result<()> {
    deployment.sql(&format!(
        "INSERT INTO private_messages \
         (message_id, conversation_id, seq, sender_id, recipient_id, content, iv, mac, key_id, created_at, version) \
         SELECT gen_random_uuid(), conversation_id, seq + n, sender_id, recipient_id, content, iv, mac, key_id, \
         created_at, version FROM private_messages, generate_series(1, {DEEP} - 1) AS n \
         WHERE conversation_id = '{conversation}'; \
         UPDATE conversations SET last_seq = {DEEP}, message_count = {DEEP} WHERE conversation_id = '{conversation}'; \
         ANALYZE private_messages"
    ))?;
    Ok(())
}

/// Lets the group have members as a community's, all bystanders among them, and many users be online.
fn populate(deployment: &Deployment, group: &str) -> Result<()> {
    deployment.many_users("member", COMMUNITY)?;
    deployment.sql(&format!(
        "UPDATE group_chats SET max_members = 10000 WHERE group_id = '{group}'; \
         INSERT INTO group_members (group_id, user_id, role) SELECT '{group}', user_id, 'member' FROM users_auth \
         WHERE username LIKE 'member%' OR username LIKE 'bystander%' ON CONFLICT DO NOTHING; \
         ANALYZE group_members"
    ))?;
    let script = format!("for n = 1, {ONLINE} do redis.call('ZADD', KEYS[1], n, 1000000 + n) end");
    deployment.redis.command(&["EVAL", &script, "1", "{presence}online_users"])?;
    Ok(())
}
