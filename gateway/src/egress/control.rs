//! Publications that change who is connected and to what: memberships, sessions that end, and an operator's orders.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::auth::TokenHash;
use shared::clock::Timestamp;
use shared::dialects::Dialect;
use shared::events::broadcast;
use shared::events::session::{AuthError, AuthErrorCode, SessionConflict};
use shared::ids::{ConnectionRef, GroupId, UserId};
use shared::protocol::CloseCode;
use shared::publication::Header;
use shared::redis::keys::Channel;

use crate::connection::{Close, Connection};
use crate::egress::catch_up::catch_up;
use crate::gateway::Gateway;

/// The group's channel lags behind the user's by no more than this, unless it was interrupted.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Carries out what a publication orders. One that this version does not know, or that came on the wrong channel, counts as unreadable.
pub fn obey(gateway: &Gateway, header: Header, channel: Channel, payload: &[u8]) {
    let kind = match channel {
        Channel::User(user) => obey_on_user(gateway, header, user),
        Channel::Group(group) => obey_on_group(gateway, header, group),
        Channel::Gateway => obey_on_own(gateway, header, payload),
        Channel::Report if matches!(header, Header::Report) => {
            match postcard::from_bytes(payload) {
                Ok(report) => gateway.gaps.compare(&report),
                Err(_) => gateway.metrics.unreadable.increment(1),
            }
            Some("report")
        }
        _ => None,
    };
    match kind {
        Some(kind) => gateway.metrics.publications.with(kind).increment(1),
        None => gateway.metrics.unreadable.increment(1),
    }
}

/// What comes on a user's channel; returns its kind, if it belongs there.
fn obey_on_user(gateway: &Gateway, header: Header, user: UserId) -> Option<&'static str> {
    match header {
        Header::Joined { group } => join(gateway, user, group),
        Header::Left { group } => {
            leave(gateway, &[user], group);
            gateway.recent_joins.left(user, group, gateway.clock.now_ms());
        }
        Header::Replaced { by, opened_at } => end_replaced(gateway, user, by, opened_at, None),
        Header::ReplacedIn { by, opened_at, dialect } => end_replaced(gateway, user, by, opened_at, Some(dialect)),
        Header::Departed => end_departed(gateway, user),
        Header::Kicked => {
            gateway.registry.for_user(user, |connection| {
                connection.close(Close::new(CloseCode::Policy, "Closed by an operator"));
            });
            return Some("operator");
        }
        Header::ReceiptsWanted { by, request } => {
            if by != gateway.id {
                let (epoch, receipts) = gateway.unrecorded(user);
                gateway.elsewhere.answer(by, request, epoch, &receipts);
            }
            return Some("receipts");
        }
        _ => return None,
    }
    Some("membership")
}

fn obey_on_group(gateway: &Gateway, header: Header, group: GroupId) -> Option<&'static str> {
    let Header::Gone { users } = header else { return None };
    let left = leave(gateway, &users, group);
    come_back(gateway, left, group);
    Some("membership")
}

/// What comes on this gateway's own channel.
fn obey_on_own(gateway: &Gateway, header: Header, payload: &[u8]) -> Option<&'static str> {
    match header {
        Header::Drain => {
            tracing::info!("an operator stops this gateway");
            gateway.lifecycle.start_draining();
            Some("operator")
        }
        Header::ReceiptsGiven { request } => {
            gateway.elsewhere.answered(request, payload);
            Some("receipts")
        }
        Header::Probe { sent_at } => {
            gateway.metrics.subscription_lag_seconds.record(Timestamp::now().since(sent_at));
            Some("probe")
        }
        _ => None,
    }
}

/// Like [`Header::Left`], for a user's channel that may be faster than the group's, whose earlier events the user still gets. The
/// group's channel says when ([`Header::Gone`]); this is for when that was lost.
pub fn leave_later(gateway: &Arc<Gateway>, user: UserId, group: GroupId) {
    gateway.recent_joins.left(user, group, gateway.clock.now_ms());
    let leaving = gateway.clone();
    gateway.lifecycle.spawn_until_stopped("left", async move {
        tokio::time::sleep(GONE_WITHIN).await;
        if !leaving.recent_joins.is_back(user, group, leaving.clock.now_ms()) {
            leave(&leaving, &[user], group);
        }
        Ok::<_, Infallible>(())
    });
}

/// Makes the users' connections leave the group; returns them.
fn leave(gateway: &Gateway, users: &[UserId], group: GroupId) -> Vec<Arc<Connection>> {
    let left: Vec<_> = users.iter().flat_map(|user| gateway.registry.leave(*user, group)).collect();
    gateway.subscriptions.unsubscribe(vec![gateway.keys.group_channel(group); left.len()]);
    left
}

/// The user's channel, on another node, may already have said that a user who left has joined again. Such users' sessions
/// catch up, which finds out.
fn come_back(gateway: &Gateway, left: Vec<Arc<Connection>>, group: GroupId) {
    let now_ms = gateway.clock.now_ms();
    let came_back = |connection: &Arc<Connection>| {
        connection.user().is_some_and(|user| gateway.recent_joins.came_back(user, group, now_ms))
    };
    let behind: Vec<_> = left.iter().filter(|left| came_back(left) && left.interrupt()).map(Arc::downgrade).collect();
    if !behind.is_empty() {
        gateway.lifecycle.spawn_until_stopped("catch-up", catch_up(behind));
    }
}

/// Makes the user's connections follow the group, and catch up on what was sent before the subscription stood.
fn join(gateway: &Gateway, user: UserId, group: GroupId) {
    let mut is_member = false;
    gateway.registry.for_user(user, |connection| is_member |= connection.is_in(group));
    gateway.recent_joins.joined(user, group, is_member, gateway.clock.now_ms());
    let connections = gateway.registry.join(user, group);
    if connections.is_empty() {
        return;
    }
    for connection in &connections {
        connection.interrupt();
    }
    let channel = gateway.keys.group_channel(group);
    let subscribed = gateway.subscriptions.subscribe(vec![channel; connections.len()]);
    gateway.lifecycle.spawn_until_stopped("joined", async move {
        let subscribed = subscribed.await;
        for connection in connections {
            match subscribed {
                Ok(()) => connection.catch_up(),
                // It subscribes again when it comes back.
                Err(_) => connection.close(Close::new(CloseCode::TryLater, "Temporarily unavailable")),
            }
        }
        Ok::<_, Infallible>(())
    });
}

/// Closes sessions of revoked tokens, including those still opening: a worker may have checked before the revocation.
pub fn end_revoked(gateway: &Gateway, revoked: &HashSet<TokenHash>) {
    let error = AuthError {
        message: "The token was revoked",
        details: "Log in again",
        code: AuthErrorCode::TokenRevoked,
        retry_after: None,
        timestamp: Timestamp::now(),
    };
    let error = broadcast(&error);
    gateway.registry.for_everybody(|connection| {
        if connection.lives_by(|token| revoked.contains(token)) {
            connection.push_json(&error);
            connection.close(Close::new(CloseCode::Policy, "Token revoked"));
        }
    });
}

fn end_departed(gateway: &Gateway, user: UserId) {
    let error = broadcast(&AuthError {
        message: "User not found",
        details: "The account was deleted or deactivated",
        code: AuthErrorCode::UserNotFound,
        retry_after: None,
        timestamp: Timestamp::now(),
    });
    gateway.registry.for_user(user, |connection| {
        connection.push_json(&error);
        connection.close(Close::new(CloseCode::Policy, "Account deleted"));
    });
}

/// Closes only older connections (of one dialect, if given), so that two that open at the same time do not close each other.
fn end_replaced(gateway: &Gateway, user: UserId, by: ConnectionRef, opened_at: Timestamp, only: Option<Dialect>) {
    let conflict =
        broadcast(&SessionConflict { message: "A newer connection replaced this one", timestamp: Timestamp::now() });
    gateway.registry.for_user(user, |connection| {
        let own = gateway.reference(connection.id);
        let order = |at: Timestamp, id: ConnectionRef| (at, id.gateway.0, id.connection.0);
        let concerned = only.is_none_or(|dialect| dialect == connection.dialect);
        if concerned && connection.opened_at().is_some_and(|at| order(at, own) < order(opened_at, by)) {
            connection.push_json(&conflict);
            connection.close(Close::new(CloseCode::Normal, "Session conflict"));
        }
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::TokenId;

    use super::*;
    use crate::egress::deliver::Deliverer;
    use crate::testing::{connection, gateway};

    const ALICE: UserId = UserId(1);
    const GROUP: GroupId = GroupId(uuid::Uuid::from_u128(3));

    /// Alice's connection, a member of `GROUP` that has caught up.
    fn member(gateway: &Gateway) -> Arc<Connection> {
        let hers = connection(1);
        gateway.registry.insert(&hers);
        gateway.registry.add_user(&hers, ALICE, 9);
        gateway.registry.add_groups(&hers, &[GROUP]);
        hers.release();
        hers
    }

    fn publish(deliverer: &mut Deliverer, gateway: &Gateway, channel: &str, header: &Header) {
        deliverer.publication(channel, &Bytes::from(gateway.wire.publication(channel, header, &[])));
    }

    /// The user's shard may be faster than the group's.
    #[tokio::test(start_paused = true)]
    async fn a_member_stays_until_the_groups_shard_says_otherwise_or_it_was_lost() {
        let (gateway, _queues) = gateway(&[]);
        let hers = member(&gateway);
        let mut deliverer = Deliverer::of_shard(gateway.clone());
        publish(&mut deliverer, &gateway, &gateway.keys.user_channel(ALICE), &Header::Left { group: GROUP });
        assert!(hers.is_in(GROUP));
        let gone = Header::Gone { users: vec![ALICE] };
        publish(&mut deliverer, &gateway, &gateway.keys.group_channel(GROUP), &gone);
        assert!(!hers.is_in(GROUP) && !hers.is_holding(), "she left, and has nothing to catch up on");
        gateway.registry.add_groups(&hers, &[GROUP]);
        tokio::time::sleep(GONE_WITHIN + Duration::from_millis(1)).await;
        assert!(!hers.is_in(GROUP), "what the group's shard says was lost");
    }

    /// What the group's shard says of the end of the earlier membership, or of the later one, is lost.
    #[tokio::test(start_paused = true)]
    async fn who_comes_back_stays_and_who_leaves_again_does_not() {
        let (gateway, _queues) = gateway(&[]);
        let hers = member(&gateway);
        let channel = gateway.keys.user_channel(ALICE);
        let mut deliverer = Deliverer::of_shard(gateway.clone());
        publish(&mut deliverer, &gateway, &channel, &Header::Left { group: GROUP });
        publish(&mut deliverer, &gateway, &channel, &Header::Joined { group: GROUP });
        tokio::time::sleep(GONE_WITHIN + Duration::from_millis(1)).await;
        assert!(hers.is_in(GROUP), "she came back");
        publish(&mut deliverer, &gateway, &channel, &Header::Left { group: GROUP });
        tokio::time::sleep(GONE_WITHIN + Duration::from_millis(1)).await;
        assert!(!hers.is_in(GROUP), "she left again");
    }

    /// While publications go to all nodes, the user's channel is not followed at a shard, but the group's may have been until now.
    #[tokio::test(start_paused = true)]
    async fn who_has_come_back_catches_up_when_the_earlier_end_arrives() {
        let (gateway, _queues) = gateway(&[]);
        let hers = member(&gateway);
        let channel = gateway.keys.user_channel(ALICE);
        let mut deliverer = Deliverer::new(gateway.clone());
        publish(&mut deliverer, &gateway, &channel, &Header::Left { group: GROUP });
        assert!(!hers.is_in(GROUP));
        publish(&mut deliverer, &gateway, &channel, &Header::Joined { group: GROUP });
        assert!(hers.is_in(GROUP));
        hers.begin_catch_up();
        hers.release();
        let gone = Header::Gone { users: vec![ALICE] };
        publish(&mut deliverer, &gateway, &gateway.keys.group_channel(GROUP), &gone);
        assert!(hers.is_holding(), "she catches up, and then follows the group again");
    }

    #[tokio::test]
    async fn the_connections_of_a_deleted_account_end() {
        let (gateway, _queues) = gateway(&[]);
        let [hers, his] = [connection(1), connection(2)];
        gateway.registry.insert(&hers);
        gateway.registry.add_user(&hers, ALICE, 9);
        gateway.registry.insert(&his);
        gateway.registry.add_user(&his, UserId(2), 9);
        let mut deliverer = Deliverer::new(gateway.clone());
        let channel = gateway.keys.user_channel(ALICE);
        let departed = gateway.wire.publication(&channel, &Header::Departed, &[]);
        deliverer.publication(&channel, &Bytes::from(departed));
        assert_eq!(hers.signals().close, Some(Close::new(CloseCode::Policy, "Account deleted")));
        assert_eq!(his.signals().close, None);
    }

    #[tokio::test]
    async fn only_the_connections_of_a_revoked_token_end() {
        let (gateway, _queues) = gateway(&[]);
        let [ending, renewed, other] = [connection(1), connection(2), connection(3)];
        for (connection, token) in [(&ending, "revoked"), (&renewed, "revoked"), (&other, "other")] {
            gateway.registry.insert(connection);
            gateway.registry.add_user(connection, ALICE, 9);
            connection.expect_token(TokenHash::of(&TokenId(token.to_owned())));
        }
        renewed.expect_token(TokenHash::of(&TokenId("next".to_owned())));
        renewed.end_renewal(true);
        let mut deliverer = Deliverer::new(gateway.clone());
        let channel = gateway.keys.presence_channel();
        let revoked = gateway.wire.publication(
            &channel,
            &Header::Revoked { token: TokenHash::of(&TokenId("revoked".to_owned())) },
            &[],
        );
        deliverer.publication(&channel, &Bytes::from(revoked));
        deliverer.wake();
        assert_eq!(ending.signals().close, Some(Close::new(CloseCode::Policy, "Token revoked")));
        assert_eq!((renewed.signals().close, other.signals().close), (None, None));
    }
}
