//! Moderation between people on two gateways, and what an operator and a backend see of it.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Kind, Person, fleet};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_moderated_and_its_members_see_it() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let mut carol = Person::connect("carol", 1).await?;
    let members = json!([bob.user.id, carol.user.id]);
    let create = json!({"type": "create_group", "groupName": "g", "initialMembers": members});
    let group = alice.ask(create, "group_created", &[]).await?["groupId"].clone();
    for person in [&mut bob, &mut carol] {
        person.sees_durable("group_created", ("groupId", &group), &[]).await?;
    }
    let about_bob =
        |kind: &str| json!({"type": kind, "groupId": group, "userId": bob.user.id, "seconds": 60, "reason": "r"});
    let (mute, unmute, ban) = (about_bob("mute_member"), about_bob("unmute_member"), about_bob("ban_member"));
    let (unban, add) = (about_bob("unban_member"), about_bob("add_group_member"));
    let send = json!({"type": "send_group_message", "groupId": group, "content": "x"});
    let named = json!(bob.id());

    let sanction = [("userId", Kind::Str), ("username", Kind::Str), ("until", Kind::Time), ("reason", Kind::Str)];
    alice.ask(mute, "member_muted", &sanction).await?;
    for person in [&mut bob, &mut carol] {
        person.sees_durable("member_muted", ("userId", &named), &sanction).await?;
    }
    bob.refused_field(send.clone(), "MEMBER_MUTED", "groupId").await?;
    alice.ask(unmute, "member_unmuted", &[("unmutedBy", Kind::Str)]).await?;
    bob.sees_durable("member_unmuted", ("userId", &named), &[]).await?;

    let slow = json!({"type": "set_slow_mode", "groupId": group, "seconds": 60});
    alice.ask(slow, "group_info_updated", &[("slowModeSeconds", Kind::Int)]).await?;
    bob.sees_durable("group_info_updated", ("slowModeSeconds", &json!(60)), &[]).await?;
    let sent = bob.ask(send.clone(), "group_message_sent", &[]).await?["messageId"].clone();
    let refused = bob.refused(send.clone(), "SLOW_MODE").await?;
    assert!(refused["retryAfter"].as_i64().is_some_and(|wait| (1..=60).contains(&wait)), "{refused}");

    let report = json!({"type": "report_message", "messageId": sent, "reason": "the reason"});
    let reported =
        carol.ask(report, "message_reported", &[("reportId", Kind::Str), ("reportedAt", Kind::Time)]).await?;

    alice.ask(ban, "member_banned", &sanction).await?;
    for person in [&mut bob, &mut carol] {
        person.sees_durable("member_banned", ("userId", &named), &sanction).await?;
        person.sees_durable("member_removed", ("userId", &named), &[]).await?;
    }
    bob.refused(send.clone(), "RESOURCE_NOT_FOUND").await?;
    alice.refused(add.clone(), "MEMBER_BANNED").await?;
    let list = json!({"type": "get_banned_members", "groupId": group});
    assert_eq!(alice.ask(list, "banned_members", &[]).await?["members"][0]["userId"], named);
    alice.ask(unban, "member_unbanned", &[("unbannedBy", Kind::Str)]).await?;
    alice.ask(add, "member_added", &[]).await?;
    bob.sees_durable("group_created", ("groupId", &group), &[]).await?;
    an_operator_closes(reported["reportId"].as_str().unwrap_or_default(), &sent)
}

fn an_operator_closes(id: &str, message: &Value) -> Result<()> {
    let listed = fleet()?.chatctl(&["reports", "list", "--limit", "100000"])?;
    let line = listed.lines().find(|line| line.starts_with(id)).unwrap_or_default();
    let fields: Vec<&str> = line.split('\t').collect();
    assert_eq!((fields.len(), fields[2], Some(fields[3]), fields[6]), (7, "open", message.as_str(), "the reason"));
    let shown: Value = serde_json::from_str(&fleet()?.chatctl(&["reports", "show", id])?)?;
    assert_eq!(
        (&shown["content"], &shown["reason"], &shown["state"]),
        (&json!("x"), &json!("the reason"), &json!("open"))
    );
    fleet()?.chatctl(&["reports", "resolve", id])?;
    assert!(
        fleet()?
            .chatctl(&["reports", "dismiss", id])
            .is_err_and(|error| error.to_string().contains("resolved already"))
    );
    assert!(!fleet()?.chatctl(&["reports", "list", "--limit", "100000"])?.contains(id));
    assert!(fleet()?.chatctl(&["reports", "list", "--all", "--limit", "100000"])?.contains(id));
    let audited = fleet()?.sql(&format!(
        "SELECT string_agg(action, ' ' ORDER BY audit_id) FROM audit_log WHERE details ->> 'report' = '{id}'"
    ))?;
    assert_eq!(audited, "report_show report_close");
    Ok(())
}
