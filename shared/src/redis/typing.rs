//! Who is typing, for the whole fleet, so that any worker can end it: the one that handled the command may be gone by then.
//! If the set is lost, only the ends of the current typing are not announced.

use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;

use super::redirect::keyed;
use super::run_script;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, UserId};

/// One user typing in one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typist {
    pub user: UserId,
    pub conversation: ConversationId,
    pub username: String,
}

impl Typist {
    fn to_member(&self) -> String {
        format!("{}:{}:{}", self.user, self.conversation, self.username)
    }

    fn parse(member: &str) -> Option<Self> {
        let mut parts = member.splitn(3, ':');
        let user = parts.next()?.parse().ok()?;
        let conversation = parts.next()?.parse().ok()?;
        Some(Typist { user, conversation, username: parts.next()?.to_owned() })
    }
}

/// Records that the user is typing: it ends after `lasting` unless this is repeated.
pub async fn start(redis: &Client, key: &str, typist: &Typist, lasting: Duration) -> Result<(), Error> {
    let ends_at_ms = Timestamp::now().plus(lasting).0 as f64;
    keyed!(redis, key, |sender, key| async move {
        sender.zadd(key, None, None, false, false, (ends_at_ms, typist.to_member())).await
    })
    .await
}

/// Records that the user stopped: nothing is left to expire.
pub async fn stop(redis: &Client, key: &str, typist: &Typist) -> Result<(), Error> {
    keyed!(redis, key, |sender, key| async move { sender.zrem(key, typist.to_member()).await }).await
}

/// The script that takes expired typists, ready to run.
#[derive(Clone)]
pub struct TypingEnds(Script);

impl Default for TypingEnds {
    fn default() -> Self {
        TypingEnds(Script::from_lua(include_str!("scripts/typing_end.lua")))
    }
}

impl TypingEnds {
    /// Takes up to `most` typists whose time is over; no other caller gets them.
    pub async fn take(&self, redis: &Client, key: &str, most: usize) -> Result<Vec<Typist>, Error> {
        let arguments = vec![Timestamp::now().0.into(), (most as i64).into()];
        let members: Vec<String> = run_script(&self.0, redis, vec![key.to_owned()], arguments).await?;
        Ok(members.iter().filter_map(|member| Typist::parse(member)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_username_survives() {
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        let typist = Typist { user: UserId(1), conversation, username: "a:b_ü ".to_owned() };
        assert_eq!(Typist::parse(&typist.to_member()), Some(typist));
        assert_eq!(Typist::parse("x"), None);
    }
}
