//! A fleet with what attacks need: long conversations, a community, a user who missed very much, groups whose members
//! missed very much, and a user who hid very much.

use anyhow::{Context as _, Result};
use client::{Client, Connect};
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
/// Groups of the strangers, and events of each that wait for each of them: within `WAITING_EVENTS_PER_USER` together.
const CROWDED_GROUPS: usize = 8;
const WAITING: usize = 1_000;
/// Messages that the attacker's fourth account hid, and events of a conversation that it did not confirm: `WAITING_EVENTS_PER_USER`.
const HIDDEN: usize = 20_000;
const TOLD: usize = 10_000;
/// Users who sign in during the attacks.
const VISITORS: usize = 200;

pub struct Stage {
    pub deployment: Deployment,
    pub bystanders: Vec<User>,
    pub visitors: Vec<User>,
    pub attacker: User,
    /// With whom the attacker has a long conversation of long messages.
    pub partner: User,
    /// With whom the attacker has [`DEEP`] messages.
    pub confidant: User,
    /// As many as a group may have, so that each is large.
    pub strangers: Vec<User>,
    /// The attacker's second account, which missed [`DEEP`] messages and more.
    pub returner: User,
    /// The attacker's third account, which owns groups of strangers.
    pub owner: User,
    pub crowded: Vec<Value>,
    /// Users whom the attacker does not know.
    pub unknown: Vec<User>,
    /// The attacker's fourth account, which hid [`HIDDEN`] messages, and whom events wait for.
    pub hider: User,
    pub told: Vec<Value>,
    /// A message of the attacker.
    pub written: Value,
    /// With bystanders among its members, and the attacker.
    pub community: Value,
    /// A message in it.
    pub said: Value,
}

fn options() -> Result<Options> {
    let mut options = Options { gateways: 1, ..Options::default() };
    for (name, value) in [
        // The defaults, which other tests raise.
        ("MESSAGE_RATE_LIMIT", "240"),
        ("REPLAY_LIMIT", "1000"),
        ("NEW_CONVERSATION_LIMIT", "100"),
        ("MAX_CONNECTIONS_PER_IP", "10"),
        ("MAX_CONNECTIONS_PER_USER", "20"),
        ("IP_RATE_LIMIT", "3000"),
        // So that places run out.
        ("MAX_PENDING", "100"),
        // For attacks of a hundred addresses, and so that everybody has one.
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

/// Where a user lives: one does not share the limits of an address with others.
pub fn home(user: &User) -> String {
    let [.., high, middle, low] = user.id.to_be_bytes();
    format!("10.{high}.{middle}.{low}")
}

/// How the user connects to the gateway.
pub fn connect(deployment: &Deployment, user: &User) -> Connect {
    Connect::new(&deployment.gateway_url(0)).forwarded_for(&home(user))
}

pub async fn login(deployment: &Deployment, user: &User) -> Result<Client> {
    let mut client = connect(deployment, user).open().await?;
    client.authenticate(&user.token).await?;
    Ok(client)
}

impl Stage {
    pub async fn set() -> Result<Stage> {
        let deployment = Deployment::start("hostile", options()?)?;
        let [attacker, partner, confidant, returner, owner, hider] =
            deployment.users(["attacker", "partner", "confidant", "returner", "owner", "hider"])?;
        let visitors = deployment.many_users("visitor", VISITORS)?;
        let unknown = deployment.many_users("unknown", VISITORS)?;
        let bystanders = deployment.many_users("bystander", 2 * BYSTANDERS)?;
        let strangers = deployment.many_users("stranger", STRANGERS)?;
        let text = "\u{8a9e}".repeat(5_000);
        write(login(&deployment, &partner).await?, attacker.id, &text, 200).await?;
        for (writer, reader) in [(&attacker, &confidant), (&confidant, &returner), (&confidant, &hider)] {
            write(login(&deployment, writer).await?, reader.id, "the first", 1).await?;
            deepen(&deployment, &client::conversation_id(writer.id, reader.id))?;
        }
        let told = hide_and_tell(&deployment, &client::conversation_id(confidant.id, hider.id), &hider)?;
        // What is replayed can be read.
        let mut writing = JoinSet::new();
        for stranger in strangers.iter().take(6) {
            writing.spawn(write(login(&deployment, stranger).await?, returner.id, "come back", 200));
        }
        while let Some(written) = writing.join_next().await {
            written??;
        }
        let mut founder = login(&deployment, &attacker).await?;
        let group =
            founder.request_ok(json!({"type": "create_group", "groupName": "community"})).await?["groupId"].clone();
        populate(&deployment, group.as_str().context("a group")?)?;
        let say = json!({"type": "send_group_message", "groupId": group, "content": "welcome"});
        let said = founder.request_ok(say).await?["messageId"].clone();
        let say = json!({"type": "send_private_message", "recipientId": partner.id, "content": "the first"});
        let written = founder.request_ok(say).await?["messageId"].clone();
        let crowded = crowd(&deployment, &owner, &strangers).await?;
        Ok(Stage {
            deployment,
            bystanders,
            visitors,
            attacker,
            partner,
            confidant,
            strangers,
            returner,
            owner,
            crowded,
            unknown,
            hider,
            told,
            written,
            community: group,
            said,
        })
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

/// Lets the user hide the newest messages of a conversation, and wait for events of it, which nobody could read; returns
/// their ids.
fn hide_and_tell(deployment: &Deployment, conversation: &str, user: &User) -> Result<Vec<Value>> {
    let event = |n: usize| format!("00000000-0000-7000-8000-{n:012}");
    deployment.sql(&format!(
        "INSERT INTO message_deletions (user_id, conversation_id, seq, message_id, version) \
         SELECT {0}, conversation_id, seq, message_id, 1 FROM private_messages \
         WHERE conversation_id = '{conversation}' AND seq > {DEEP} - {HIDDEN}; \
         INSERT INTO conversation_changes (conversation_id, version, kind, event_id, body) \
         SELECT '{conversation}', {DEEP} + n, 1, ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '' \
         FROM generate_series(1, {TOLD}) AS n; \
         UPDATE conversations SET version = {DEEP} + {TOLD}, told_version = {DEEP} + {TOLD}, told_at = now() \
         WHERE conversation_id = '{conversation}'; \
         ANALYZE message_deletions; ANALYZE conversation_changes",
        user.id
    ))?;
    Ok((1..=TOLD).map(|n| Value::from(event(n))).collect())
}

/// Makes groups of the strangers, who missed much in each, which nobody could read.
async fn crowd(deployment: &Deployment, owner: &User, strangers: &[User]) -> Result<Vec<Value>> {
    let mut client = login(deployment, owner).await?;
    let members: Vec<i64> = strangers.iter().map(|stranger| stranger.id).collect();
    let mut groups = Vec::new();
    for _ in 0..CROWDED_GROUPS {
        let create = json!({"type": "create_group", "groupName": "crowded", "initialMembers": members});
        let group = client.request_ok(create).await?["groupId"].clone();
        let id = group.as_str().context("a group")?;
        deployment.sql(&format!(
            "WITH logged AS (
                 INSERT INTO event_log (event_id, conversation_id, body)
                 SELECT gen_random_uuid(), '{id}', '' FROM generate_series(1, {WAITING}) RETURNING event_id
             )
             INSERT INTO event_queue (user_id, event_id)
             SELECT user_id, event_id FROM logged, group_members WHERE group_id = '{id}' AND role = 'member'"
        ))?;
        groups.push(group);
    }
    deployment.sql("ANALYZE event_log; ANALYZE event_queue")?;
    Ok(groups)
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
