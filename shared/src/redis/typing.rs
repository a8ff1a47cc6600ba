//! Who is typing, for the whole fleet, so that any worker can end it: the one that handled the command may be gone by then.
//! If the set is lost, only the ends of the current typing are not announced.

use std::time::Duration;

use fred::prelude::*;
use fred::types::scripts::Script;

use super::redirect::keyed;
use super::run_script;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, UserId};
use crate::wire::Wire;

/// One user typing in one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typist {
    pub user: UserId,
    pub conversation: ConversationId,
    pub username: String,
}

impl Typist {
    /// As a member of the set of this name.
    fn to_member(&self, wire: &Wire, key: &str) -> String {
        wire.member(key, &format!("{}:{}:{}", self.user, self.conversation, self.username))
    }

    /// `None` when somebody else put it into the set.
    fn parse(wire: &Wire, key: &str, member: &str) -> Option<Self> {
        let mut parts = wire.member_text(key, member)?.splitn(3, ':');
        let user = parts.next()?.parse().ok()?;
        let conversation = parts.next()?.parse().ok()?;
        Some(Typist { user, conversation, username: parts.next()?.to_owned() })
    }
}

/// That the user types: it ends after `lasting` unless this is repeated.
pub async fn start(redis: &Client, wire: &Wire, key: &str, typist: &Typist, lasting: Duration) -> Result<(), Error> {
    let ends_at_ms = Timestamp::now().plus(lasting).0 as f64;
    let member = typist.to_member(wire, key);
    keyed!(redis, key, |sender, key| {
        let member = member.clone();
        async move { sender.zadd(key, None, None, false, false, (ends_at_ms, member)).await }
    })
    .await
}

/// That the user stopped: it will not end by itself any more.
pub async fn stop(redis: &Client, wire: &Wire, key: &str, typist: &Typist) -> Result<(), Error> {
    let member = typist.to_member(wire, key);
    keyed!(redis, key, |sender, key| {
        let member = member.clone();
        async move { sender.zrem(key, member).await }
    })
    .await
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
    /// Takes up to `most` typists whose time is over, and no other caller gets them; returns also whether there may be more.
    pub async fn take(
        &self,
        redis: &Client,
        wire: &Wire,
        key: &str,
        most: usize,
    ) -> Result<(Vec<Typist>, bool), Error> {
        let arguments = vec![Timestamp::now().0.into(), (most as i64).into()];
        let members: Vec<String> = run_script(&self.0, redis, vec![key.to_owned()], arguments).await?;
        let typists = members.iter().filter_map(|member| Typist::parse(wire, key, member)).collect();
        Ok((typists, members.len() == most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WireFormat;
    use crate::crypto::{EncryptionSettings, Keyring};

    #[test]
    fn any_username_survives() {
        let keyring = Keyring::derive(&EncryptionSettings::single("key", "salt")).unwrap();
        let wire = Wire::new(keyring, WireFormat::Two);
        let conversation = ConversationId::direct(UserId(1), UserId(2));
        let typist = Typist { user: UserId(1), conversation, username: "a:b_ü ".to_owned() };
        assert_eq!(Typist::parse(&wire, "typing", &typist.to_member(&wire, "typing")), Some(typist));
        assert_eq!(Typist::parse(&wire, "typing", "1:conv_1_2:a"), None, "without a tag");
    }
}
