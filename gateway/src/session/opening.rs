//! What a session does apart from reading and writing: open (subscribe, register, authenticate, resume), replay, catch
//! up, renew. Live events are held back from before the first question to a worker until the last page is written, so
//! that none is missed and none overtakes an older one. Each of these is a future that the session drives.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Deserialize;
use shared::auth::TokenHash;
use shared::clock::Timestamp;
use shared::events::broadcast;
use shared::events::session::EpochChanged;
use shared::ids::{Epoch, GroupId, TokenId, UserId};
use shared::protocol::RequestId;
use shared::publication::Receipt;
use shared::redis::keys::Channel;
use shared::stream::{Internal, InternalReply, ReplayCursor, ReplayPage, ReplayedEvent};
use tokio::time::Instant;

use crate::connection::{Connection, Wants};
use crate::gateway::{Gateway, LONGEST_WAIT};
use crate::lanes::receipts;

/// How long a page or a catch-up is requested before the client is told to come back later: longer than a failover of a
/// store takes. A client that came back sooner would only wait again, together with all others. Commands are answered
/// meanwhile.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);

/// The caller who opens a session.
#[derive(Clone, Debug)]
pub struct Opener {
    pub user: UserId,
    pub token_id: TokenId,
    pub wants: Wants,
    pub request_id: Option<RequestId>,
}

/// Keeps the connection subscribed to its user's channels, and listed. Dropping it undoes both.
pub struct Membership {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    pub user: UserId,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let groups = self.gateway.registry.remove_user(&self.connection, self.user);
        let mut channels = self.gateway.group_channels(&groups);
        channels.push(self.gateway.keys.user_channel(self.user));
        self.gateway.subscriptions.unsubscribe(channels);
        self.gateway.pass_on(&self.connection);
        // Also when it did not open: a worker may have registered it all the same.
        self.gateway.closed_sessions.push(self.user, &self.connection);
        self.connection.reset();
    }
}

/// An open session, before its first page is written.
pub struct Opened {
    pub membership: Membership,
    pub auth_success: Vec<u8>,
    pub replay: ReplayPage,
    /// Of the database, as the connection counts them: that of the page.
    pub history: u32,
}

/// Why a session did not open or go on.
pub enum SessionError {
    /// The finished `auth_error`.
    Unauthenticated(Vec<u8>),
    /// Worth another try after `retry_after` seconds.
    Unavailable {
        retry_after: u32,
    },
    TooManyConnections,
}

/// Opens a session.
pub async fn open(gateway: Arc<Gateway>, connection: Arc<Connection>, opener: Opener) -> Result<Opened, SessionError> {
    let user = opener.user;
    await_turn(&gateway, user).await?;
    if !gateway.registry.add_user(&connection, user, gateway.settings.max_connections_per_user) {
        return Err(SessionError::TooManyConnections);
    }
    let subscribed = gateway.subscriptions.subscribe(vec![gateway.keys.user_channel(user)]);
    // From here on everything for the user is held back; dropping this future at any point undoes it all.
    let membership = Membership { gateway: gateway.clone(), connection: connection.clone(), user };
    connection.set_wants(opener.wants);
    connection.expect_token(TokenHash::of(&opener.token_id));
    subscribed.await.map_err(|_| unavailable())?;

    let history = connection.history();
    let (groups, elsewhere) = tokio::join!(check_token(&gateway, &opener), gateway.elsewhere.ask(user));
    let groups = groups?;
    let added = gateway.registry.add_groups(&connection, &groups);
    if !added.is_empty() {
        let subscribed = gateway.subscriptions.subscribe(gateway.group_channels(&added));
        subscribed.await.map_err(|_| unavailable())?;
    }
    let (epoch, mut received) = gateway.unrecorded(user);
    received.extend(elsewhere.into_iter().filter(|(of, _)| *of == epoch).flat_map(|(_, receipts)| receipts));
    let receipts = (!received.is_empty()).then(|| receipts::request(epoch, received));
    let (auth_success, replay) = resume(&gateway, &connection, &opener, false, receipts).await?;
    connection.enter_epoch(told(&auth_success).epoch);
    Ok(Opened { membership, auth_success, replay, history })
}

/// Waits if the user has opened many sessions lately, so that one who comes and goes all the time delays nobody else.
async fn await_turn(gateway: &Gateway, user: UserId) -> Result<(), SessionError> {
    let Some(wait) = gateway.openings.take(user, gateway.clock.now_ms()) else {
        gateway.metrics.rate_limited.with("sessions").increment(1);
        return Err(SessionError::Unavailable { retry_after: LONGEST_WAIT.as_secs() as u32 });
    };
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(())
}

/// Continues the session under a new token; returns the `auth_success`.
pub async fn renew(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    opener: Opener,
) -> Result<Vec<u8>, SessionError> {
    connection.expect_token(TokenHash::of(&opener.token_id));
    let renewed = async {
        check_token(&gateway, &opener).await?;
        resume(&gateway, &connection, &opener, true, None).await.map(|(auth_success, _)| auth_success)
    };
    let renewed = renewed.await;
    connection.end_renewal(renewed.is_ok());
    renewed
}

/// Writes what was missed, page by page, each when the previous one is written, then releases the live events.
pub async fn replay(
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    user: UserId,
    mut page: ReplayPage,
    history: u32,
) -> Result<(), SessionError> {
    loop {
        for event in &page.events {
            if let Receipt::Durable { event } = event.receipt {
                gateway.positions.event(Channel::User(user), event);
            }
        }
        // A page of the longest messages is larger than an outbox, so it is written in parts; otherwise a client that
        // missed one could never return.
        for part in parts(page.events, gateway.settings.outbox_limit_bytes / 2) {
            drained(&connection).await;
            if !connection.replay(part, history) {
                return Ok(());
            }
        }
        let Some(cursor) = page.next else { break };
        drained(&connection).await;
        page = next_page(&gateway, user, cursor).await?;
    }
    connection.release();
    Ok(())
}

/// Splits events into parts of at most this many bytes, or of one event.
fn parts(events: Vec<ReplayedEvent>, most_bytes: usize) -> Vec<Vec<ReplayedEvent>> {
    let mut parts: Vec<Vec<ReplayedEvent>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        bytes += event.json.len();
        match parts.last_mut() {
            Some(part) if bytes <= most_bytes => part.push(event),
            _ => {
                bytes = event.json.len();
                parts.push(vec![event]);
            }
        }
    }
    parts
}

/// After an interruption: asks again who the user is and what the user may see, and replays what was missed.
pub async fn catch_up(gateway: Arc<Gateway>, connection: Arc<Connection>, opener: Opener) -> Result<(), SessionError> {
    let history = connection.begin_catch_up();
    // What is known to have arrived need not come again.
    gateway.pass_on(&connection);
    let groups = patiently(|| check_token(&gateway, &opener)).await?;
    let (added, removed) = gateway.registry.set_groups(&connection, &groups);
    gateway.subscriptions.unsubscribe(gateway.group_channels(&removed));
    if !added.is_empty() {
        let subscribed = gateway.subscriptions.subscribe(gateway.group_channels(&added));
        subscribed.await.map_err(|_| unavailable())?;
    }
    let (auth_success, page) = patiently(|| resume(&gateway, &connection, &opener, false, None)).await?;
    let Told { replay_truncated, epoch } = told(&auth_success);
    // A client learns that only when its session opens: it has to come back.
    if replay_truncated {
        return Err(unavailable());
    }
    if let Some(epoch) = connection.enter_epoch(epoch) {
        connection.push_json(&broadcast(&EpochChanged { epoch, timestamp: Timestamp::now() }));
    }
    replay(gateway.clone(), connection.clone(), opener.user, page, history).await
}

/// What a worker's reply has only in the finished event.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    /// More was missed than is replayed.
    replay_truncated: bool,
    /// A worker of the version before does not tell it.
    epoch: Option<Epoch>,
}

fn told(auth_success: &[u8]) -> Told {
    serde_json::from_slice(auth_success).unwrap_or_default()
}

async fn check_token(gateway: &Gateway, opener: &Opener) -> Result<Vec<GroupId>, SessionError> {
    let request = Internal::Authenticate { token_id: opener.token_id.clone() };
    match gateway.requests.ask(opener.user, &request, opener.request_id.as_ref()).await {
        InternalReply::Authenticated { groups } => Ok(groups),
        other => Err(session_error(other)),
    }
}

async fn resume(
    gateway: &Gateway,
    connection: &Connection,
    opener: &Opener,
    renewal: bool,
    receipts: Option<Internal>,
) -> Result<(Vec<u8>, ReplayPage), SessionError> {
    let request = Internal::Resume {
        token_id: opener.token_id.clone(),
        session: connection.session,
        connection: connection.id,
        wants_acks: opener.wants.acks,
        renewal,
    };
    if !renewal {
        connection.note_resumed();
    }
    if let Some(receipts) = receipts {
        let request = Internal::ResumeAfter { resume: Box::new(request.clone()), receipts: Box::new(receipts) };
        if let InternalReply::Resumed { auth_success, replay } =
            gateway.requests.ask(opener.user, &request, opener.request_id.as_ref()).await
        {
            return Ok((auth_success, replay));
        }
        // A worker of the previous version does not know this request; what was received is then sent again.
    }
    match gateway.requests.ask(opener.user, &request, opener.request_id.as_ref()).await {
        InternalReply::Resumed { auth_success, replay } => Ok((auth_success, replay)),
        other => Err(session_error(other)),
    }
}

async fn next_page(gateway: &Gateway, user: UserId, cursor: ReplayCursor) -> Result<ReplayPage, SessionError> {
    let request = Internal::Replay { cursor };
    patiently(|| async {
        match gateway.requests.ask(user, &request, None).await {
            InternalReply::Replayed(page) => Ok(page),
            other => Err(session_error(other)),
        }
    })
    .await
}

/// Tries again after a pause, as long as the fleet is unavailable.
async fn patiently<T, F: Future<Output = Result<T, SessionError>>>(attempt: impl Fn() -> F) -> Result<T, SessionError> {
    let give_up = Instant::now() + GIVE_UP_AFTER;
    loop {
        match attempt().await {
            Err(SessionError::Unavailable { retry_after }) if Instant::now() < give_up => {
                // A quarter of it is random, so that sessions that failed together do not retry together.
                let pause = Duration::from_secs(u64::from(retry_after.clamp(1, 5)));
                tokio::time::sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 4.0)).await;
            }
            other => return other,
        }
    }
}

fn session_error(reply: InternalReply) -> SessionError {
    match reply {
        InternalReply::Refused { auth_error } => SessionError::Unauthenticated(auth_error),
        InternalReply::Unavailable { retry_after } => SessionError::Unavailable { retry_after },
        _ => unavailable(),
    }
}

fn unavailable() -> SessionError {
    SessionError::Unavailable { retry_after: 2 }
}

/// Waits until everything was written. The session, which drives this future and does the writing, polls again after
/// each write.
async fn drained(connection: &Connection) {
    poll_fn(|_| if connection.signals().unwritten_bytes == 0 { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl Opener {
    /// The same for a request that the client did not make, so it gets no answer to it.
    pub fn quiet(&self) -> Self {
        Opener { request_id: None, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use shared::publication::Receipt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_waits_for_the_stores_but_not_for_good() {
        let began = Instant::now();
        let after = |pause: Duration| {
            move || {
                let is_back = began.elapsed() >= pause;
                async move { if is_back { Ok(()) } else { Err(unavailable()) } }
            }
        };
        assert!(patiently(after(Duration::from_secs(60))).await.is_ok(), "a failover takes no longer");
        assert!(patiently(after(Duration::from_secs(3_600))).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(200), "{:?}", began.elapsed());
    }

    #[test]
    fn a_page_is_split_by_bytes_and_stays_in_order() {
        let event = |bytes: usize| ReplayedEvent { receipt: Receipt::None, json: vec![b'x'; bytes] };
        let sizes = |sizes: &[usize]| -> Vec<Vec<usize>> {
            let split = parts(sizes.iter().map(|bytes| event(*bytes)).collect(), 100);
            split.iter().map(|part| part.iter().map(|event| event.json.len()).collect()).collect()
        };
        assert_eq!(sizes(&[40, 60, 1, 500, 99, 2]), [vec![40, 60], vec![1], vec![500], vec![99], vec![2]]);
        assert!(sizes(&[]).is_empty());
    }
}
