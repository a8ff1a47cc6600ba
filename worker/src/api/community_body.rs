//! The body of `POST /community/progression`: its form and all its bounds. Uses no database.

use serde_json::{Map, Value};
use shared::held_ids;
use shared::ids::{CommunityId, GroupId, UserId};
use shared::limits::{
    MAX_COMMUNITY_DESCRIPTION_CHARACTERS, MAX_COMMUNITY_MEMBERS, MAX_COMMUNITY_NAME_CHARACTERS,
    MAX_FOREIGN_ID_CHARACTERS, MAX_URL_CHARACTERS, MAX_XP,
};
use shared::protocol::fields::is_blank;
use shared::protocol::{Fields, Invalid, Rejection};
use shared::role::Role;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug)]
pub struct Body {
    pub community: Community,
    /// Each user once; the last mention counts.
    pub members: Option<Vec<(UserId, Role)>>,
    /// For the members that say so, if they mute the community.
    pub muted: Vec<(UserId, bool)>,
    pub members_complete: bool,
    pub event: Option<Event>,
    pub progress: Option<Progress>,
}

#[derive(Debug)]
pub struct Community {
    pub id: CommunityId,
    /// The id, if no name is given.
    pub name: String,
    /// True if the body has a name; otherwise the name stays as it is.
    pub is_named: bool,
    pub description: Option<String>,
    pub avatar_url: Option<String>,
    pub default_group: Option<GroupId>,
    pub is_active: Option<bool>,
}

#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub user: UserId,
    pub challenge_id: Option<String>,
    pub challenge_type: Option<String>,
    pub xp_awarded: i64,
    pub occurred_at: Option<OffsetDateTime>,
    pub payload: Option<Value>,
}

/// Absent fields stay as they are.
#[derive(Debug)]
pub struct Progress {
    pub user: UserId,
    pub total_xp: Option<i64>,
    pub daily_streak: Option<i32>,
    pub weekly_streak: Option<i32>,
    pub last_challenge_id: Option<String>,
    pub last_challenge_type: Option<String>,
    pub last_completed_at: Option<OffsetDateTime>,
}

pub fn parse(body: &[u8]) -> Result<Body, Rejection> {
    let map = super::object(body)?;
    let fields = Fields(&map);
    let community = match section(fields, "community")? {
        Some(community) => within("community", read_community(Fields(community)))?,
        None => implied_community(fields)?,
    };
    let (members, muted) = read_members(fields)?;
    let members_complete = fields.boolean("membersComplete")?.unwrap_or(false);
    if members_complete && members.is_none() {
        return Err(Rejection::invalid("members", "`members` is required with `membersComplete`"));
    }
    let event = section(fields, "event")?.map(|event| within("event", read_event(Fields(event)))).transpose()?;
    let event_user = event.as_ref().map(|event| event.user);
    let progress = section(fields, "progress")?
        .map(|progress| within("progress", read_progress(Fields(progress), event_user)))
        .transpose()?;
    Ok(Body { community, members, muted, members_complete, event, progress })
}

fn section<'a>(fields: Fields<'a>, name: &'static str) -> Result<Option<&'a Map<String, Value>>, Invalid> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(Invalid::new(name, format!("`{name}` must be an object"))),
    }
}

/// Adds the part of the body that the error is in.
fn within<T>(section: &str, read: Result<T, Invalid>) -> Result<T, Invalid> {
    read.map_err(|invalid| Invalid { details: format!("In `{section}`: {}", invalid.details), ..invalid })
}

/// Finds the community in a body that has only an event or a progress.
fn implied_community(fields: Fields<'_>) -> Result<Community, Invalid> {
    let mut id = fields.foreign_id("communityId", MAX_FOREIGN_ID_CHARACTERS)?;
    for name in ["event", "progress"] {
        if let (None, Some(section)) = (&id, section(fields, name)?) {
            id = within(name, Fields(section).foreign_id("communityId", MAX_FOREIGN_ID_CHARACTERS))?;
        }
    }
    let id = id.ok_or_else(|| Invalid::required("community"))?;
    let (description, avatar_url) = (None, None);
    Ok(Community {
        name: id.clone(),
        id: CommunityId(id),
        is_named: false,
        description,
        avatar_url,
        default_group: None,
        is_active: None,
    })
}

fn read_community(fields: Fields<'_>) -> Result<Community, Invalid> {
    let name = required(fields.bounded("name", 1, MAX_COMMUNITY_NAME_CHARACTERS)?, "name")?;
    if is_blank(&name) {
        return Err(Invalid::new("name", "`name` must not be empty"));
    }
    Ok(Community {
        id: CommunityId(required(fields.foreign_id("communityId", MAX_FOREIGN_ID_CHARACTERS)?, "communityId")?),
        name,
        is_named: true,
        description: fields.bounded("description", 0, MAX_COMMUNITY_DESCRIPTION_CHARACTERS)?,
        avatar_url: fields.bounded("avatarUrl", 0, MAX_URL_CHARACTERS)?,
        // Any text is accepted, because other servers had groups of any name.
        default_group: fields
            .foreign_id("defaultGroupId", held_ids::MAX_CHARACTERS)?
            .and_then(|id| held_ids::group_id(&id)),
        is_active: fields.boolean("isActive")?,
    })
}

type Members = (Option<Vec<(UserId, Role)>>, Vec<(UserId, bool)>);

fn read_members(fields: Fields<'_>) -> Result<Members, Invalid> {
    let malformed =
        |place: usize, details: &str| Invalid::new("members", format!("In `members`, entry {place}: {details}"));
    let items = match fields.get("members") {
        None => return Ok((None, Vec::new())),
        Some(Value::Array(items)) if items.len() <= MAX_COMMUNITY_MEMBERS => items,
        Some(_) => {
            return Err(Invalid::new(
                "members",
                format!("`members` must be a list of at most {MAX_COMMUNITY_MEMBERS} members"),
            ));
        }
    };
    let mut members = std::collections::BTreeMap::new();
    let mut muted = std::collections::BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        let Value::Object(item) = item else { return Err(malformed(place, "it must be an object")) };
        let item = Fields(item);
        let user = item.required_user_id("userId").map_err(|invalid| malformed(place, &invalid.details))?;
        let role = item.string("role").map_err(|invalid| malformed(place, &invalid.details))?;
        let role = role.map_or(Ok(Role::Member), |role| role.to_ascii_lowercase().parse());
        let role = role.map_err(|error| malformed(place, &format!("`role` {error}")))?;
        members.insert(user, role);
        if let Some(is_muted) = item.boolean("isMuted").map_err(|invalid| malformed(place, &invalid.details))? {
            muted.insert(user, is_muted);
        }
    }
    Ok((Some(members.into_iter().collect()), muted.into_iter().collect()))
}

fn read_event(fields: Fields<'_>) -> Result<Event, Invalid> {
    let payload = fields.get("payload").cloned();
    if payload.as_ref().is_some_and(has_nul) {
        return Err(Invalid::new("payload", "`payload` must not contain the character U+0000"));
    }
    Ok(Event {
        id: required(fields.foreign_id("eventId", MAX_FOREIGN_ID_CHARACTERS)?, "eventId")?,
        user: fields.required_user_id("userId")?,
        challenge_id: fields.foreign_id("challengeId", MAX_FOREIGN_ID_CHARACTERS)?,
        challenge_type: fields.bounded("challengeType", 0, MAX_FOREIGN_ID_CHARACTERS)?,
        xp_awarded: fields.integer("xpAwarded", 0, MAX_XP)?.unwrap_or(0),
        occurred_at: time(fields, "occurredAt")?,
        payload,
    })
}

fn read_progress(fields: Fields<'_>, event_user: Option<UserId>) -> Result<Progress, Invalid> {
    let user = fields.user_id("userId")?.or(event_user).ok_or_else(|| Invalid::required("userId"))?;
    if event_user.is_some_and(|event_user| event_user != user) {
        return Err(Invalid::new("userId", "`userId` must be the event's"));
    }
    let streak = |name| fields.integer(name, 0, i64::from(i32::MAX)).map(|streak| streak.map(|days| days as i32));
    Ok(Progress {
        user,
        total_xp: fields.integer("totalXp", 0, MAX_XP)?,
        daily_streak: streak("dailyStreak")?,
        weekly_streak: streak("weeklyStreak")?,
        last_challenge_id: fields.foreign_id("lastChallengeId", MAX_FOREIGN_ID_CHARACTERS)?,
        last_challenge_type: fields.bounded("lastChallengeType", 0, MAX_FOREIGN_ID_CHARACTERS)?,
        last_completed_at: time(fields, "lastCompletedAt")?,
    })
}

fn required<T>(value: Option<T>, field: &'static str) -> Result<T, Invalid> {
    value.ok_or_else(|| Invalid::required(field))
}

const FIRST_SECOND_OF_10000: i64 = 253_402_300_800;

fn time(fields: Fields<'_>, name: &'static str) -> Result<Option<OffsetDateTime>, Invalid> {
    let Some(text) = fields.string(name)? else { return Ok(None) };
    match OffsetDateTime::parse(text, &Rfc3339) {
        // Within the range that the database and every client can show.
        Ok(time) if (0..FIRST_SECOND_OF_10000).contains(&time.unix_timestamp()) => Ok(Some(time)),
        _ => Err(Invalid::new(name, format!("`{name}` must be a time as in `2026-03-01T09:15:02.481Z`"))),
    }
}

/// Postgres cannot store it.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(body: Value) -> Result<Body, Rejection> {
        parse(body.to_string().as_bytes())
    }

    #[test]
    fn the_least_and_the_most_that_a_body_may_say() {
        let least = parsed(json!({"community": {"communityId": 7, "name": "Runners"}})).unwrap();
        assert_eq!((least.community.id.0.as_str(), least.members.is_none()), ("7", true));
        let most = json!({
            "community": {"communityId": "c", "name": "x", "description": null, "isActive": false, "unknown": 1},
            "members": [{"userId": 1, "role": "OWNER"}, {"userId": "2"}, {"userId": 2, "role": "admin"}],
            "membersComplete": true,
            "event": {"eventId": "e", "userId": 1, "challengeId": 5, "xpAwarded": 10,
                      "occurredAt": "2026-03-01T10:15:02+01:00", "payload": {"a": [1]}},
            "progress": {"totalXp": 5, "dailyStreak": 1},
        });
        let most = parsed(most).unwrap();
        assert_eq!(most.members.unwrap(), [(UserId(1), Role::Owner), (UserId(2), Role::Admin)]);
        assert_eq!(most.progress.unwrap().user, UserId(1));
        assert_eq!(most.event.unwrap().challenge_id.as_deref(), Some("5"));
    }

    #[test]
    fn a_group_may_have_any_name_and_its_event_the_community() {
        let event = json!({"event": {"eventId": "e", "userId": 1, "communityId": 7}});
        let event = parsed(event).unwrap();
        assert_eq!((event.community.id.0.as_str(), event.community.is_named), ("7", false));
        let progress = parsed(json!({"progress": {"communityId": "c", "userId": 1, "totalXp": 5}})).unwrap();
        assert_eq!(progress.community.id.0, "c");
        let members = json!([{"userId": 1, "isMuted": true}, {"userId": 2}]);
        let community = json!({"communityId": "c", "name": "x", "defaultGroupId": "general"});
        let body = parsed(json!({"community": community, "members": members})).unwrap();
        assert_eq!(body.community.default_group, held_ids::group_id("general"));
        assert_eq!(body.muted, [(UserId(1), true)]);
    }

    #[test]
    fn a_rejection_names_its_field() {
        let community = json!({"communityId": "c", "name": "x"});
        let event = |event: Value| json!({"community": community, "event": event});
        let cases = [
            (json!({}), "community"),
            (json!({"community": []}), "community"),
            (json!({"community": {"name": "x"}}), "communityId"),
            (json!({"community": {"communityId": "c"}}), "name"),
            (json!({"community": {"communityId": "c", "name": " "}}), "name"),
            (json!({"community": {"communityId": "c", "name": "x".repeat(256)}}), "name"),
            (json!({"event": {"eventId": "e", "userId": 1}}), "community"),
            (json!({"community": community, "members": {}}), "members"),
            (json!({"community": community, "members": [{"userId": 1, "role": "king"}]}), "members"),
            (json!({"community": community, "members": [{"userId": "x"}]}), "members"),
            (json!({"community": community, "membersComplete": true}), "members"),
            (event(json!({"userId": 1})), "eventId"),
            (event(json!({"eventId": "e"})), "userId"),
            (event(json!({"eventId": "e", "userId": 1, "xpAwarded": -1})), "xpAwarded"),
            (event(json!({"eventId": "e", "userId": 1, "xpAwarded": 1.5})), "xpAwarded"),
            (event(json!({"eventId": "e", "userId": 1, "occurredAt": "yesterday"})), "occurredAt"),
            (event(json!({"eventId": "e", "userId": 1, "occurredAt": "1970-01-01T00:00:00+00:01"})), "occurredAt"),
            (event(json!({"eventId": "e", "userId": 1, "occurredAt": "9999-12-31T23:59:59-23:59"})), "occurredAt"),
            (event(json!({"eventId": "e", "userId": 1, "payload": {"a\u{0}": 1}})), "payload"),
            (json!({"community": community, "progress": {"totalXp": 1}}), "userId"),
        ];
        for (body, field) in cases {
            assert_eq!(parsed(body.clone()).unwrap_err().field, Some(field), "{body}");
        }
        assert_eq!(parse(b"{").unwrap_err().code, shared::protocol::ErrorCode::InvalidJson);
    }
}
