//! Who is online, and telling others about it. The registry is in Redis (`shared::redis::presence`); here are the rules of
//! who may know.

use std::collections::HashSet;

use crate::store::session::PgSession;
use shared::clock::Timestamp;
use shared::config::PresenceScope;
use shared::events;
use shared::events::presence::{PresentUser, UserOffline, UserOnline};
use shared::ids::UserId;
use shared::publication::{EventHeader, Header, Receipt};

use crate::app::App;
use crate::outcome::{Audience, Publication};
use crate::store::{presence, users};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    CameOnline,
    WentOffline,
}

/// Which of these users are online. Nobody, when Redis does not tell.
pub async fn online_among(app: &App, users: &[UserId]) -> HashSet<UserId> {
    app.presence.online_among(&app.redis, users).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "presence is not known");
        HashSet::new()
    })
}

/// The publications that tell of these users' transitions: to everybody but those blocked in either direction, or to the
/// users' contacts. Keeps it in Postgres with the time.
pub async fn announce(
    app: &App,
    db: &mut PgSession,
    users: &[UserId],
    transition: Transition,
) -> sqlx::Result<Vec<Publication>> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = users.iter().map(|user| user.0).collect();
    presence::update_status(db, &ids, transition == Transition::CameOnline).await?;
    let names = users::list_names(db, &ids).await?;
    let blocked = users::list_blocked_pairs(db, &ids).await?;
    let contacts = match app.settings.common.presence_scope {
        PresenceScope::All => Vec::new(),
        PresenceScope::Contacts => presence::list_contacts(db, &ids).await?,
    };
    let timestamp = Timestamp::now();
    let mut publications = Vec::new();
    for name in names {
        let user = UserId(name.user_id);
        let present = PresentUser {
            id: user,
            user_id: user,
            display_name: name.display_name.unwrap_or_else(|| name.username.clone()),
            username: name.username,
        };
        let payload = match transition {
            Transition::CameOnline => events::broadcast(&UserOnline { user: &present, timestamp }),
            Transition::WentOffline => events::broadcast(&UserOffline { user: &present, timestamp }),
        };
        let hidden_from = blocked.iter().filter(|pair| pair.user_id == user.0).map(|pair| UserId(pair.other_id));
        let exclude_users: Vec<UserId> = hidden_from.chain([user]).collect();
        if app.settings.common.presence_scope == PresenceScope::All {
            let header = Header::Event(EventHeader { exclude_users, ..EventHeader::new(Receipt::None) });
            publications.push(Publication { audience: Audience::Everybody, header, payload });
            continue;
        }
        let known = contacts.iter().filter(|pair| pair.user_id == user.0).map(|pair| UserId(pair.other_id));
        for contact in known.filter(|contact| !exclude_users.contains(contact)) {
            let header = Header::Event(EventHeader::new(Receipt::None));
            publications.push(Publication { audience: Audience::User(contact), header, payload: payload.clone() });
        }
    }
    Ok(publications)
}
