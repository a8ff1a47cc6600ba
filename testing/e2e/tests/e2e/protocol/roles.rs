//! Who may do what in a group: every command by owner, admin, member, outsider and removed member.

use anyhow::{Context as _, Result};
use client::event_type;
use serde_json::{Value, json};

use super::Person;

const ROLES: [&str; 5] = ["owner", "admin", "member", "outsider", "removed"];

/// What commands refer to: created for each row, so that rows do not affect each other.
struct Scene {
    group: Value,
    /// Messages of somebody else, one for each role.
    messages: Vec<Value>,
    /// Members, one for each role, an admin, and users outside, one for each role.
    targets: Vec<i64>,
    second_admin: i64,
    newcomers: Vec<i64>,
}

struct Cast {
    /// In the order of `ROLES`.
    actors: Vec<Person>,
    author: Person,
    targets: Vec<i64>,
    second_admin: i64,
    newcomers: Vec<i64>,
}

impl Cast {
    async fn new() -> Result<Cast> {
        let mut actors = Vec::new();
        for (place, role) in ROLES.into_iter().enumerate() {
            actors.push(Person::connect(role, place % 2).await?);
        }
        let fleet = super::fleet()?;
        let ids = |name: &str| -> Result<Vec<i64>> { (0..3).map(|_| Ok(fleet.user(name)?.id)).collect() };
        Ok(Cast {
            actors,
            author: Person::connect("author", 1).await?,
            targets: ids("target")?,
            second_admin: fleet.user("second")?.id,
            newcomers: ids("newcomer")?,
        })
    }

    async fn scene(&mut self) -> Result<Scene> {
        let mut members: Vec<i64> = [1, 2, 4].map(|actor: usize| self.actors[actor].user.id).to_vec();
        members.extend(&self.targets);
        members.extend([self.second_admin, self.author.user.id]);
        let (admin, removed) = (self.actors[1].user.id, self.actors[4].user.id);
        let owner = &mut self.actors[0];
        let create = json!({"type": "create_group", "groupName": "roles", "initialMembers": members});
        let group = owner.ask(create, "group_created", &[]).await?["groupId"].clone();
        for admin in [admin, self.second_admin] {
            let promote = json!({"type": "promote_member", "groupId": group, "userId": admin});
            owner.ask(promote, "member_promoted", &[]).await?;
        }
        let mut messages = Vec::new();
        for _ in 0..3 {
            let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
            messages.push(self.author.ask(send, "group_message_sent", &[]).await?["messageId"].clone());
        }
        let remove = json!({"type": "remove_group_member", "groupId": group, "userId": removed});
        owner.ask(remove, "member_removed", &[]).await?;
        let (targets, newcomers) = (self.targets.clone(), self.newcomers.clone());
        Ok(Scene { group, messages, targets, second_admin: self.second_admin, newcomers })
    }
}

const OK: &str = "";
const DENIED: &str = "PERMISSION_DENIED";
const STAYS: &str = "OWNER_CANNOT_LEAVE";

type Command = fn(&Scene, usize) -> Value;

/// What owner, admin and member get; the other two always get `RESOURCE_NOT_FOUND`.
const TABLE: &[([&str; 3], Command)] = &[
    ([OK, OK, OK], |s, _| json!({"type": "send_group_message", "groupId": s.group, "content": "x"})),
    ([OK, OK, OK], |s, _| json!({"type": "get_group_messages", "groupId": s.group})),
    ([OK, OK, OK], |s, _| json!({"type": "get_group_members", "groupId": s.group})),
    ([OK, OK, OK], |s, _| json!({"type": "get_group_info", "groupId": s.group})),
    ([OK, OK, OK], |s, _| json!({"type": "get_pinned_messages", "groupId": s.group})),
    ([OK, OK, OK], |s, i| json!({"type": "add_group_reaction", "messageId": s.messages[i], "reaction": "x"})),
    ([OK, OK, OK], |s, i| json!({"type": "mark_message_read", "messageId": s.messages[i], "groupId": s.group})),
    (
        [OK, OK, OK],
        |s, i| json!({"type": "delete_group_message", "messageId": s.messages[i], "deleteForEveryone": false}),
    ),
    ([OK, OK, DENIED], |s, i| json!({"type": "delete_group_message", "messageId": s.messages[i]})),
    (
        [DENIED, DENIED, DENIED],
        |s, i| json!({"type": "edit_group_message", "messageId": s.messages[i], "content": "x"}),
    ),
    ([OK, OK, DENIED], |s, _| json!({"type": "send_announcement", "groupId": s.group, "content": "x"})),
    ([OK, OK, DENIED], |s, i| json!({"type": "pin_message", "messageId": s.messages[i], "groupId": s.group})),
    ([OK, OK, DENIED], |s, i| json!({"type": "unpin_message", "messageId": s.messages[i], "groupId": s.group})),
    ([OK, OK, DENIED], |s, _| json!({"type": "update_group_info", "groupId": s.group, "groupName": "new"})),
    ([OK, OK, DENIED], |s, i| json!({"type": "add_group_member", "groupId": s.group, "userId": s.newcomers[i]})),
    ([OK, OK, DENIED], |s, i| json!({"type": "remove_group_member", "groupId": s.group, "userId": s.targets[i]})),
    ([OK, DENIED, DENIED], |s, _| json!({"type": "remove_group_member", "groupId": s.group, "userId": s.second_admin})),
    ([OK, DENIED, DENIED], |s, i| json!({"type": "promote_member", "groupId": s.group, "userId": s.targets[i]})),
    ([OK, DENIED, DENIED], |s, _| json!({"type": "demote_member", "groupId": s.group, "userId": s.second_admin})),
    ([OK, DENIED, DENIED], |s, i| json!({"type": "transfer_ownership", "groupId": s.group, "userId": s.targets[i]})),
    (
        [OK, OK, DENIED],
        |s, i| json!({"type": "mute_member", "groupId": s.group, "userId": s.targets[i], "seconds": 60}),
    ),
    ([OK, DENIED, DENIED], |s, _| json!({"type": "mute_member", "groupId": s.group, "userId": s.second_admin})),
    ([OK, OK, DENIED], |s, i| json!({"type": "ban_member", "groupId": s.group, "userId": s.targets[i], "seconds": 60})),
    ([OK, DENIED, DENIED], |s, _| json!({"type": "ban_member", "groupId": s.group, "userId": s.second_admin})),
    ([OK, OK, DENIED], |s, _| json!({"type": "get_banned_members", "groupId": s.group})),
    ([OK, OK, DENIED], |s, _| json!({"type": "set_slow_mode", "groupId": s.group, "seconds": 5})),
    ([OK, OK, OK], |s, i| json!({"type": "report_message", "messageId": s.messages[i], "reason": "x"})),
    ([STAYS, OK, OK], |s, _| json!({"type": "leave_group", "groupId": s.group})),
    ([OK, DENIED, DENIED], |s, _| json!({"type": "delete_group", "groupId": s.group})),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_the_table_says() -> Result<()> {
    let mut cast = Cast::new().await?;
    let mut wrong = Vec::new();
    for (expected, command) in TABLE {
        let scene = cast.scene().await?;
        // The least powerful first: what succeeds for the owner may end the group.
        for (role, name) in ROLES.iter().enumerate().rev() {
            let command = command(&scene, role.min(2));
            let answer = cast.actors[role].client.request(command.clone()).await.context(command.to_string())?;
            let expected = expected.get(role).copied().unwrap_or("RESOURCE_NOT_FOUND");
            let found = if event_type(&answer) == "error" { answer["code"].as_str().unwrap_or("?") } else { OK };
            if found != expected {
                wrong.push(format!("{name}: {command}: expected {expected:?}: {answer}"));
            }
        }
        for actor in &mut cast.actors {
            actor.client.drain();
        }
        cast.author.client.drain();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_do_not_name_themselves_and_rights_come_with_the_role() -> Result<()> {
    let mut cast = Cast::new().await?;
    let group = cast.scene().await?.group;
    let owner_id = cast.actors[0].user.id;
    for command in [
        "add_group_member",
        "remove_group_member",
        "promote_member",
        "demote_member",
        "transfer_ownership",
        "mute_member",
        "unmute_member",
        "ban_member",
        "unban_member",
    ] {
        let command = json!({"type": command, "groupId": group, "userId": owner_id});
        cast.actors[0].refused(command, "VALIDATION_ERROR").await?;
    }
    // Promotion grants `canAddMembers`, demotion revokes it.
    let admin_id = cast.actors[1].user.id;
    let demote = json!({"type": "demote_member", "groupId": group, "userId": admin_id});
    cast.actors[0].ask(demote, "member_demoted", &[]).await?;
    let add = json!({"type": "add_group_member", "groupId": group, "userId": cast.newcomers[0]});
    cast.actors[1].refused(add, "PERMISSION_DENIED").await?;
    // Unknown users, and users who block the one who adds them, cannot be added.
    let unknown = json!({"type": "add_group_member", "groupId": group, "userId": 999_999_999});
    cast.actors[0].refused_field(unknown, "RESOURCE_NOT_FOUND", "userId").await?;
    super::fleet()?.sql(&format!(
        "INSERT INTO blocked_relationships (blocker_id, blocked_id) VALUES ({}, {owner_id})",
        cast.newcomers[1]
    ))?;
    let blocked = json!({"type": "add_group_member", "groupId": group, "userId": cast.newcomers[1]});
    cast.actors[0].refused(blocked, "USER_BLOCKED").await?;
    Ok(())
}
