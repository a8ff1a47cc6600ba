//! Events about the user that still wait for others, or are kept to answer a command again. The bodies are sealed, so
//! each is decrypted and inspected. What the others should learn stays (a member joined, a role changed), without the
//! user's name.

use anyhow::Result;
use serde_json::{Map, Value};
use shared::crypto::Keyring;
use sqlx::PgConnection;
use uuid::Uuid;

use super::BATCH;
use crate::progress::Progress;

/// Events that contain only what the user said.
const SAID: [&str; 2] = ["reaction_added", "group_reaction_added"];
/// Fields next to a user's id.
const ABOUT_A_USER: [&str; 6] = ["username", "displayName", "profileImage", "email", "bio", "senderUsername"];

/// The authors of a `reason`.
const GIVES_A_REASON: [&str; 3] = ["mutedBy", "bannedBy", "reporterId"];

/// What happens to one event.
#[derive(Debug, PartialEq)]
enum Fate {
    Stays,
    Rewritten(Value),
    Goes,
}

/// Where events are stored, and how to delete or replace them.
struct Store {
    table: &'static str,
    change: &'static str,
}

const STORES: [Store; 3] = [
    Store {
        table: "event_log",
        change: "WITH waiting AS (DELETE FROM event_queue WHERE event_id = ANY($1)),
                      said AS (DELETE FROM event_log WHERE event_id = ANY($1))
                 UPDATE event_log t SET body = n.new FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS n (id, old, new)
                 WHERE t.event_id = n.id AND t.body = n.old",
    },
    // The change itself stays: it only says that there was one.
    Store {
        table: "conversation_changes",
        change: "WITH said AS (
                     UPDATE conversation_changes SET event_id = NULL, actor_id = NULL, about = NULL, body = NULL
                     WHERE event_id = ANY($1)
                 )
                 UPDATE conversation_changes t SET body = n.new
                 FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS n (id, old, new)
                 WHERE t.event_id = n.id AND t.body = n.old",
    },
    // Deliveries without a body are about a message, which is erased itself.
    Store {
        table: "webhook_deliveries",
        change: "WITH said AS (DELETE FROM webhook_deliveries WHERE event_id = ANY($1))
                 UPDATE webhook_deliveries t SET body = n.new
                 FROM unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS n (id, old, new)
                 WHERE t.event_id = n.id AND t.body = n.old",
    },
];

/// Returns how many events were changed or deleted, and how many do not decrypt.
pub async fn erase(connection: &mut PgConnection, keyring: &Keyring, user: i64) -> Result<(u64, u64)> {
    let (mut changed, mut unreadable) = (0, 0);
    for store in &STORES {
        let (of_store, unreadable_of_store) = erase_in(connection, keyring, user, store).await?;
        changed += of_store;
        unreadable += unreadable_of_store;
    }
    Ok((changed, unreadable))
}

async fn erase_in(
    connection: &mut PgConnection,
    keyring: &Keyring,
    user: i64,
    Store { table, change }: &Store,
) -> Result<(u64, u64)> {
    let select = format!(
        "SELECT event_id, body FROM {table} WHERE event_id > $1 AND body IS NOT NULL ORDER BY event_id LIMIT $2"
    );
    let mut progress = Progress::new("events");
    let (mut after, mut unreadable) = (Uuid::nil(), 0);
    loop {
        let rows: Vec<(Uuid, Vec<u8>)> =
            sqlx::query_as(&select).bind(after).bind(BATCH).fetch_all(&mut *connection).await?;
        let Some((last, _)) = rows.last() else { return Ok((progress.count(), unreadable)) };
        after = *last;
        let (mut gone, mut ids, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, body) in rows {
            let Ok(plain) = keyring.open_blob(id, &body) else {
                unreadable += 1;
                eprintln!("{table} {id} does not decrypt");
                continue;
            };
            match serde_json::from_slice(&plain).map_or(Fate::Stays, |event| fate(event, user)) {
                Fate::Stays => {}
                Fate::Goes => gone.push(id),
                Fate::Rewritten(event) => {
                    ids.push(id);
                    new.push(keyring.seal_blob(id, event.to_string().as_bytes()));
                    old.push(body);
                }
            }
        }
        sqlx::query(change).bind(&gone).bind(&ids).bind(&old).bind(&new).execute(&mut *connection).await?;
        progress.add((gone.len() + ids.len()) as u64);
    }
}

/// Outcomes only serve to answer a command that arrives a second time, within moments of the first: all of them are
/// deleted, for every user, and a repeated command is still not applied twice.
pub async fn forget_outcomes(connection: &mut PgConnection) -> Result<u64> {
    let mut progress = Progress::new("outcomes");
    loop {
        let gone = sqlx::query(
            "UPDATE applied_commands SET outcome = NULL WHERE command_id IN (
                 SELECT command_id FROM applied_commands WHERE outcome IS NOT NULL LIMIT $1)",
        )
        .bind(BATCH)
        .execute(&mut *connection)
        .await?
        .rows_affected();
        progress.add(gone);
        if gone < BATCH.unsigned_abs() {
            return Ok(progress.count());
        }
    }
}

fn fate(mut event: Value, user: i64) -> Fate {
    let id = user.to_string();
    let is = |field: &str, value: &str| event.get(field).and_then(Value::as_str) == Some(value);
    if SAID.iter().any(|kind| is("type", kind)) && is("userId", &id) {
        return Fate::Goes;
    }
    match anonymise(&mut event, &id) {
        true => Fate::Rewritten(event),
        false => Fate::Stays,
    }
}

/// Removes the name wherever the user's id occurs, and the reason of a mute, a ban or a report by or of the user. Returns
/// true if there was one.
fn anonymise(value: &mut Value, id: &str) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| anonymise(item, id) | changed),
        Value::Object(fields) => {
            let changed = fields.iter_mut().fold(false, |changed, (_, field)| anonymise(field, id) | changed);
            anonymise_fields(fields, id) | changed
        }
        _ => false,
    }
}

fn anonymise_fields(fields: &mut Map<String, Value>, id: &str) -> bool {
    let naming: Vec<String> =
        fields.iter().filter(|(_, value)| value.as_str() == Some(id)).map(|(name, _)| name.clone()).collect();
    let mut changed = !naming.is_empty()
        && GIVES_A_REASON.iter().any(|author| fields.contains_key(*author))
        && fields.remove("reason").is_some();
    for field in naming {
        let own = format!("{field}Username");
        let is_user = matches!(field.as_str(), "userId" | "id" | "senderId");
        let names = ABOUT_A_USER.into_iter().filter(|_| is_user).chain([own.as_str()]);
        for name in names {
            if let Some(known) = fields.get_mut(name).filter(|known| known.is_string()) {
                let replacement = Value::from(format!("deleted-{id}"));
                changed |= *known != replacement;
                *known = replacement;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_go_wherever_the_id_stands_and_nothing_else() {
        let event = json!({"type": "member_added", "groupId": "g", "userId": "7", "username": "bob",
            "user": {"userId": "7", "username": "bob"}, "addedBy": "8", "addedByUsername": "alice",
            "members": [{"userId": "8", "username": "alice"}]});
        let rewritten = json!({"type": "member_added", "groupId": "g", "userId": "7", "username": "deleted-7",
            "user": {"userId": "7", "username": "deleted-7"}, "addedBy": "8", "addedByUsername": "alice",
            "members": [{"userId": "8", "username": "alice"}]});
        assert_eq!(fate(event.clone(), 7), Fate::Rewritten(rewritten.clone()));
        assert_eq!(fate(rewritten, 7), Fate::Stays, "a second run changes nothing");
        assert_eq!(fate(event, 9), Fate::Stays);
        let mention = json!({"type": "mentioned_in_group", "mentionedBy": "7", "mentionedByUsername": "bob"});
        let Fate::Rewritten(mention) = fate(mention, 7) else { panic!("the name stays") };
        assert_eq!(mention["mentionedByUsername"], "deleted-7");
    }

    #[test]
    fn reasons_by_and_about_the_user_go() {
        let muted = json!({"type": "member_muted", "userId": "7", "mutedBy": "8", "reason": "r"});
        for user in [7, 8] {
            let rewritten = json!({"type": "member_muted", "userId": "7", "mutedBy": "8"});
            assert_eq!(fate(muted.clone(), user), Fate::Rewritten(rewritten));
        }
        assert_eq!(fate(muted, 9), Fate::Stays);
    }

    #[test]
    fn what_the_user_said_goes_and_what_others_said_stays() {
        let reaction =
            |user: &str| json!({"type": "group_reaction_added", "userId": user, "username": "x", "reaction": "y"});
        assert_eq!(fate(reaction("7"), 7), Fate::Goes);
        assert_eq!(fate(reaction("8"), 7), Fate::Stays);
    }
}
