//! Reading communities: the mirror is filled here as the main backend's webhook would do.

use anyhow::Result;
use serde_json::json;

use super::Kind::{Bool, Int, List, Map, Str, Time};
use super::{Person, fleet, has_fields};

#[tokio::test(flavor = "multi_thread")]
async fn members_read_their_communities_and_outsiders_do_not() -> Result<()> {
    let (mut alice, mut bob) = (Person::connect("alice", 0).await?, Person::connect("bob", 1).await?);
    let group = json!({"type": "create_group", "groupName": "c"});
    let group = alice.ask(group, "group_created", &[]).await?["groupId"].clone();
    let community = format!("c-{}", alice.user.id);
    let (id, group_id) = (alice.user.id, group.as_str().unwrap_or_default());
    for statement in [
        format!(
            "INSERT INTO communities (community_id, name, description, avatar_url, default_group_id)
             VALUES ('{community}', 'Runners', 'We run', 'https://example.org/a.png', '{group_id}')"
        ),
        format!("INSERT INTO community_members (community_id, user_id, role) VALUES ('{community}', {id}, 'owner')"),
        format!("INSERT INTO user_community_progress VALUES ('{community}', {id}, 120, 3, 1, 'ch-1', 'daily', now())"),
    ] {
        fleet()?.sql(&statement)?;
    }
    let list = json!({"type": "get_communities"});
    let listed = alice.ask(list.clone(), "community_list", &[("communities", List)]).await?;
    let entry = &listed["communities"][0];
    let fields = &[
        ("communityId", Str),
        ("name", Str),
        ("description", Str),
        ("avatarUrl", Str),
        ("defaultGroupId", Str),
        ("role", Str),
        ("joinedAt", Time),
        ("isMuted", Bool),
    ];
    has_fields(entry, fields)?;
    assert_eq!((&entry["communityId"], &entry["role"]), (&json!(community), &json!("owner")));
    assert_eq!(bob.ask(list, "community_list", &[]).await?["communities"], json!([]));

    let members = json!({"type": "get_community_members", "communityId": community});
    let answer = alice.ask(members.clone(), "community_members", &[("communityId", Str), ("members", List)]).await?;
    let entry = &answer["members"][0];
    has_fields(entry, &[("userId", Str), ("username", Str), ("role", Str), ("joinedAt", Time), ("isMuted", Bool)])?;
    assert!(entry.get("lastSeenAt").is_some(), "{entry}");
    let progress = json!({"type": "get_community_progress", "communityId": community});
    let answer = alice.ask(progress.clone(), "community_progress", &[("communityId", Str), ("progress", Map)]).await?;
    let fields = &[
        ("communityId", Str),
        ("userId", Str),
        ("totalXp", Int),
        ("dailyStreak", Int),
        ("weeklyStreak", Int),
        ("lastChallengeId", Str),
        ("lastChallengeType", Str),
        ("lastCompletedAt", Time),
    ];
    has_fields(&answer["progress"], fields)?;
    assert_eq!((&answer["progress"]["totalXp"], &answer["progress"]["dailyStreak"]), (&json!(120), &json!(3)));
    for command in [members, progress] {
        bob.refused(command, "PERMISSION_DENIED").await?;
    }
    alice.refused(json!({"type": "get_community_members"}), "VALIDATION_ERROR").await?;
    Ok(())
}
