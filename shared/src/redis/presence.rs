//! The registry of sessions and presence, for the whole fleet. Every transition is one script. A user is online while
//! in `online_users`, including the grace period after the last session ended. All keys share one cluster slot, because
//! a transition touches several of them.

use std::collections::HashSet;
use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;
use fred::types::sorted_sets::{Ordering, ZRange, ZRangeBound, ZRangeKind};

use super::keys::Keys;
use super::redirect::keyed;
use super::run_script;
use crate::clock::Timestamp;
use crate::ids::{ConnectionId, ConnectionRef, GatewayId, UserId};

/// A gateway with a heartbeat of this age counts as dead everywhere.
const SILENT_FOR: Duration = Duration::from_secs(6);
/// A worker that took users off the list of online users has this time to announce it before another one does.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(5);

/// One session: a user's authenticated connection at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserSession {
    pub user: UserId,
    pub connection: ConnectionId,
}

/// The scripts, ready to run.
#[derive(Clone)]
pub struct PresenceScripts {
    keys: Keys,
    open: Script,
    close: Script,
    end: Script,
    ended: Script,
    forget: Script,
    restore: Script,
}

impl PresenceScripts {
    pub fn new(keys: Keys) -> Self {
        PresenceScripts {
            keys,
            open: Script::from_lua(include_str!("scripts/sessions_open.lua")),
            close: Script::from_lua(include_str!("scripts/sessions_close.lua")),
            end: Script::from_lua(include_str!("scripts/graces_end.lua")),
            ended: Script::from_lua(include_str!("scripts/graces_ended.lua")),
            forget: Script::from_lua(include_str!("scripts/heartbeat_forget.lua")),
            restore: Script::from_lua(include_str!("scripts/users_restore.lua")),
        }
    }

    /// Registers sessions, any number of times: their users are online from now on.
    pub async fn open(&self, redis: &Client, gateway: GatewayId, sessions: &[UserSession]) -> Result<(), Error> {
        let arguments = vec![self.keys.user_sessions_prefix().into(), gateway.to_string().into()];
        let _: i64 = run_script(&self.open, redis, self.keys(gateway), with_sessions(arguments, sessions)).await?;
        Ok(())
    }

    /// [`Self::open`], for a gateway that may have died meanwhile and be forgotten: nothing else would ever end the
    /// sessions.
    pub async fn register(&self, redis: &Client, gateway: GatewayId, sessions: &[UserSession]) -> Result<(), Error> {
        self.open(redis, gateway, sessions).await?;
        self.suspect(redis, gateway).await
    }

    /// Removes sessions, any number of times; starts the grace period of users without another one.
    pub async fn close(
        &self,
        redis: &Client,
        gateway: GatewayId,
        sessions: &[UserSession],
        grace: Duration,
    ) -> Result<(), Error> {
        let ends_at = Timestamp::now().plus(grace).0;
        let arguments = vec![self.keys.user_sessions_prefix().into(), gateway.to_string().into(), ends_at.into()];
        let _: i64 = run_script(&self.close, redis, self.keys(gateway), with_sessions(arguments, sessions)).await?;
        Ok(())
    }

    /// Users whose grace period is over, at most `most`; each is given to one caller, and to another one if
    /// [`Self::end_announced`] does not follow. None lasts longer than `longest` from now on, even if the clock was set
    /// back.
    pub async fn end_graces(&self, redis: &Client, longest: Duration, most: usize) -> Result<Vec<UserId>, Error> {
        let keys = vec![self.keys.online_users(), self.keys.grace_periods()];
        let now = Timestamp::now();
        let arguments = vec![
            self.keys.user_sessions_prefix().into(),
            now.0.into(),
            (most as i64).into(),
            now.plus(longest).0.into(),
            now.plus(ANNOUNCED_WITHIN).0.into(),
        ];
        let gone: Vec<i64> = run_script(&self.end, redis, keys, arguments).await?;
        Ok(gone.into_iter().map(UserId).collect())
    }

    /// Records that others were told of users whose grace period was over.
    pub async fn end_announced(&self, redis: &Client, users: &[UserId]) -> Result<(), Error> {
        let keys = vec![self.keys.online_users(), self.keys.grace_periods()];
        let _: i64 = run_script(&self.ended, redis, keys, users.iter().map(|user| user.0.into()).collect()).await?;
        Ok(())
    }

    /// Lists a gateway as silent, unless it is listed with a newer heartbeat: workers end the sessions that it has left
    /// in the registry, and forget it.
    pub async fn suspect(&self, redis: &Client, gateway: GatewayId) -> Result<(), Error> {
        self.list_silent(redis, gateway, Some(Ordering::GreaterThan)).await
    }

    /// Lists a gateway as silent that has ended: what workers register for it from now on, for requests of before, ends
    /// as well.
    pub async fn retire(&self, redis: &Client, gateway: GatewayId) -> Result<(), Error> {
        self.list_silent(redis, gateway, None).await
    }

    async fn list_silent(&self, redis: &Client, gateway: GatewayId, only: Option<Ordering>) -> Result<(), Error> {
        let since = (Timestamp::now().0 - SILENT_FOR.as_millis() as i64) as f64;
        keyed!(redis, self.keys.heartbeats("gateway"), |sender, key| {
            let (only, beat) = (only.clone(), (since, gateway.to_string()));
            async move { sender.zadd(key, None, only, false, false, beat).await }
        })
        .await
    }

    /// Forgets a gateway whose sessions have ended, unless it was listed anew since this heartbeat: then others may
    /// have been registered.
    pub async fn forget(&self, redis: &Client, gateway: &str, heartbeat: f64) -> Result<(), Error> {
        let arguments = vec![gateway.into(), heartbeat.to_string().into()];
        let _: i64 = run_script(&self.forget, redis, vec![self.keys.heartbeats("gateway")], arguments).await?;
        Ok(())
    }

    /// The mark that all online users are listed: missing after a loss of data, until [`Self::set_complete`]. It is the
    /// epoch of the database that was last compared with the list, or a value written by a release before 0.2.
    pub async fn complete(&self, redis: &Client) -> Result<Option<String>, Error> {
        keyed!(redis, self.keys.presence_is_complete(), |sender, key| async move { sender.get(key).await }).await
    }

    pub async fn set_complete(&self, redis: &Client, mark: &str) -> Result<(), Error> {
        keyed!(redis, self.keys.presence_is_complete(), |sender, key| async move {
            sender.set(key, mark, None, None, false).await
        })
        .await
    }

    /// Lists these users as online again; those without a session have `grace` to open one.
    pub async fn restore(&self, redis: &Client, users: &[UserId], grace: Duration) -> Result<(), Error> {
        let keys = vec![self.keys.online_users(), self.keys.grace_periods()];
        let ends_at = Timestamp::now().plus(grace).0;
        let mut arguments: Vec<Value> = vec![self.keys.user_sessions_prefix().into(), ends_at.into()];
        arguments.extend(users.iter().map(|user| Value::from(user.0)));
        let _: i64 = run_script(&self.restore, redis, keys, arguments).await?;
        Ok(())
    }

    /// The sessions registered for a gateway.
    pub async fn sessions_of(&self, redis: &Client, gateway: GatewayId) -> Result<Vec<UserSession>, Error> {
        let key = self.keys.gateway_sessions(gateway);
        let members: Vec<String> = keyed!(redis, key, |sender, key| async move { sender.smembers(key).await }).await?;
        Ok(members.iter().filter_map(|member| parse_session(member)).collect())
    }

    /// The connections of a user, each with its gateway.
    pub async fn user_sessions(&self, redis: &Client, user: UserId) -> Result<Vec<ConnectionRef>, Error> {
        let key = format!("{}{user}", self.keys.user_sessions_prefix());
        let members: Vec<String> = keyed!(redis, key, |sender, key| async move { sender.smembers(key).await }).await?;
        let session = |member: &String| {
            let (gateway, connection) = member.split_once(':')?;
            Some(ConnectionRef {
                gateway: GatewayId(gateway.parse().ok()?),
                connection: ConnectionId(connection.parse().ok()?),
            })
        };
        Ok(members.iter().filter_map(session).collect())
    }

    /// The number of sessions registered for a gateway.
    pub async fn count_of(&self, redis: &Client, gateway: GatewayId) -> Result<u64, Error> {
        keyed!(redis, self.keys.gateway_sessions(gateway), |sender, key| async move { sender.scard(key).await }).await
    }

    /// All users who are online.
    pub async fn all_online(&self, redis: &Client) -> Result<Vec<UserId>, Error> {
        let users: Vec<i64> = keyed!(redis, self.keys.online_users(), |sender, key| async move {
            sender.zrange(key, 0, -1, None, false, None, false).await
        })
        .await?;
        Ok(users.into_iter().map(UserId).collect())
    }

    /// At most `most` online users, and the number of all.
    pub async fn online(&self, redis: &Client, most: usize) -> Result<(Vec<UserId>, u64), Error> {
        let online = self.keys.online_users();
        let users: Vec<i64> = keyed!(redis, &online, |sender, key| async move {
            sender.zrange(key, 0, most as i64 - 1, None, false, None, false).await
        })
        .await?;
        let count: u64 = keyed!(redis, &online, |sender, key| async move { sender.zcard(key).await }).await?;
        Ok((users.into_iter().map(UserId).collect(), count))
    }

    /// At most `most` online users that come after `after` in an order of their own, which does not change.
    pub async fn online_after(&self, redis: &Client, after: Option<UserId>, most: usize) -> Result<Vec<UserId>, Error> {
        // All scores are equal, so the members are in the order of their bytes.
        let min = match after {
            Some(user) => ZRange { kind: ZRangeKind::Exclusive, range: user.to_string().into() },
            None => ZRange { kind: ZRangeKind::Inclusive, range: ZRangeBound::NegInfinityLex },
        };
        let max = ZRange { kind: ZRangeKind::Inclusive, range: ZRangeBound::InfiniteLex };
        let users: Vec<i64> = keyed!(redis, self.keys.online_users(), |sender, key| {
            let (min, max) = (min.clone(), max.clone());
            async move { sender.zrangebylex(key, min, max, Some((0, most as i64))).await }
        })
        .await?;
        Ok(users.into_iter().map(UserId).collect())
    }

    /// Which of these users are online.
    pub async fn online_among(&self, redis: &Client, users: &[UserId]) -> Result<HashSet<UserId>, Error> {
        if users.is_empty() {
            return Ok(HashSet::new());
        }
        let members: Vec<String> = users.iter().map(UserId::to_string).collect();
        let scores: Vec<Option<f64>> = keyed!(redis, self.keys.online_users(), |sender, key| {
            let members = members.clone();
            async move { sender.zmscore(key, members).await }
        })
        .await?;
        Ok(users.iter().zip(scores).filter(|(_, score)| score.is_some()).map(|(user, _)| *user).collect())
    }

    /// Which of these users have a session: online users except those in their grace period.
    pub async fn connected_among(&self, redis: &Client, users: &[UserId]) -> Result<HashSet<UserId>, Error> {
        let online: Vec<UserId> = self.online_among(redis, users).await?.into_iter().collect();
        if online.is_empty() {
            return Ok(HashSet::new());
        }
        let members: Vec<String> = online.iter().map(UserId::to_string).collect();
        let leaving: Vec<Option<f64>> = keyed!(redis, self.keys.grace_periods(), |sender, key| {
            let members = members.clone();
            async move { sender.zmscore(key, members).await }
        })
        .await?;
        Ok(online.iter().zip(leaving).filter(|(_, ends_at)| ends_at.is_none()).map(|(user, _)| *user).collect())
    }

    fn keys(&self, gateway: GatewayId) -> Vec<String> {
        vec![self.keys.online_users(), self.keys.grace_periods(), self.keys.gateway_sessions(gateway)]
    }
}

fn with_sessions(mut arguments: Vec<Value>, sessions: &[UserSession]) -> Vec<Value> {
    for session in sessions {
        arguments.push(session.user.0.into());
        arguments.push((session.connection.0 as i64).into());
    }
    arguments
}

fn parse_session(member: &str) -> Option<UserSession> {
    let (user, connection) = member.split_once(':')?;
    Some(UserSession { user: user.parse().ok()?, connection: ConnectionId(connection.parse().ok()?) })
}
