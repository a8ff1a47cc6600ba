//! Who is online, and how others are told. The registry is in Redis (`shared::redis::presence`); this module decides
//! who may know.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::config::PresenceScope;
use shared::events;
use shared::events::presence::{PresentUser, UserOffline, UserOnline};
use shared::ids::UserId;
use shared::publication::{EventHeader, Header, Receipt};

use crate::app::App;
use crate::outcome::{Audience, Publication};
use crate::publish;
use crate::store::groups::MAX_SIGNAL_MEMBERS;
use crate::store::users::UserPair;
use crate::store::{presence, users};
use crate::webhooks::record;

/// A gateway sends a heartbeat every second; one whose heartbeat is older is checked.
pub const LATE_AFTER: Duration = Duration::from_secs(3);

/// With `PRESENCE_SCOPE=contacts` no more followed users, followers, and users who share a conversation or a group are told,
/// of each.
const MAX_CONTACTS_OF_A_KIND: i64 = 5_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    CameOnline,
    WentOffline,
}

/// Which of these users are online; none if Redis does not answer.
pub async fn online_among(app: &App, users: &[UserId]) -> HashSet<UserId> {
    app.presence.online_among(&app.redis, users).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "presence is not known");
        HashSet::new()
    })
}

/// Announces that these users came online or went offline, if others believe otherwise, to everyone except users
/// blocked in either direction, or only to the users' contacts. What others believe is stored in Postgres and changes
/// together with the publication, so this can be repeated until it succeeds; of two transitions of a user, the second
/// waits for the first.
pub async fn announce(app: &App, db: &mut PgSession, users: &[UserId], transition: Transition) -> anyhow::Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let mut transaction = db.begin().await?;
    let came = transition == Transition::CameOnline;
    let returning = if came { record::returning(app, &mut transaction, users).await? } else { Vec::new() };
    let mut changed = presence::update_status(&mut transaction, users, came).await?;
    if changed.is_empty() {
        return Ok(());
    }
    // Users who are back by now never went offline, and users who are gone by now were never seen.
    let online = app.presence.online_among(&app.redis, &changed).await?;
    let otherwise: Vec<UserId> = changed.iter().copied().filter(|user| online.contains(user) != came).collect();
    if !otherwise.is_empty() && (!came || app.presence.complete(&app.redis).await?.is_some()) {
        presence::update_status(&mut transaction, &otherwise, !came).await?;
        changed.retain(|user| online.contains(user) == came);
    }
    let publications = publications(app, &mut transaction, &changed, transition).await?;
    record::presence(app, &mut transaction, &changed, came, &returning).await?;
    publish::publish(app, &publications).await?;
    transaction.commit().await?;
    app.webhooks.announce();
    Ok(())
}

async fn publications(
    app: &App,
    db: &mut PgSession,
    ids: &[UserId],
    transition: Transition,
) -> sqlx::Result<Vec<Publication>> {
    let names = users::list_names(db, ids).await?;
    let blocked = by_user(users::list_blocked_pairs(db, ids).await?);
    let contacts = match app.settings.common.presence_scope {
        PresenceScope::All => HashMap::new(),
        PresenceScope::Contacts => {
            by_user(presence::list_contacts(db, ids, MAX_SIGNAL_MEMBERS, MAX_CONTACTS_OF_A_KIND).await?)
        }
    };
    let timestamp = Timestamp::now();
    let mut publications = Vec::new();
    for user in ids.iter().copied() {
        let name = names.iter().find(|name| name.user_id == user);
        // A deleted account has no name any more, but still goes offline.
        if name.is_none() && transition == Transition::CameOnline {
            continue;
        }
        let username = name.map_or_else(String::new, |name| name.username.clone());
        let display_name = name.and_then(|name| name.display_name.clone()).unwrap_or_else(|| username.clone());
        let present = PresentUser { id: user, user_id: user, display_name, username };
        let payload = match transition {
            Transition::CameOnline => events::broadcast(&UserOnline { user: &present, timestamp }),
            Transition::WentOffline => events::broadcast(&UserOffline { user: &present, timestamp }),
        };
        let hidden_from = blocked.get(&user).into_iter().flatten().copied();
        let exclude_users: Vec<UserId> = hidden_from.chain([user]).collect();
        if app.settings.common.presence_scope == PresenceScope::All {
            let header = Header::Event(EventHeader { exclude_users, ..EventHeader::new(Receipt::None) });
            publications.push(Publication { audience: Audience::Everybody, header, payload });
            continue;
        }
        let exclude_users: HashSet<UserId> = exclude_users.into_iter().collect();
        let known = contacts.get(&user).into_iter().flatten().copied();
        for contact in known.filter(|contact| !exclude_users.contains(contact)) {
            let header = Header::Event(EventHeader::new(Receipt::None));
            publications.push(Publication { audience: Audience::User(contact), header, payload: payload.clone() });
        }
    }
    Ok(publications)
}

fn by_user(pairs: Vec<UserPair>) -> HashMap<UserId, Vec<UserId>> {
    let mut by_user: HashMap<UserId, Vec<UserId>> = HashMap::new();
    for UserPair { user_id, other_id } in pairs {
        by_user.entry(user_id).or_default().push(other_id);
    }
    by_user
}
