//! Every key, stream and channel in Redis: what it holds, who writes and reads it, how long it lives. No other module
//! builds key names.

use crate::ids::{ApiKeyId, ConversationId, GatewayId, GroupId, UserId};

/// The hash tags of the partitions' streams, one in each sixteenth of a cluster's slots. A command can read the streams
/// of only one slot, so each tag costs a worker one connection; with more servers than tags, some servers get no
/// streams.
pub const PARTITION_TAGS: [&str; 16] =
    ["p60", "p42", "p11", "p3", "p61", "p43", "p10", "p2", "p62", "p40", "p13", "p1", "p63", "p41", "p12", "p0"];

/// Names under the configured `REDIS_PREFIX`.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: impl Into<String>) -> Self {
        Keys { prefix: prefix.into() }
    }

    /// Stream: the ordered commands of one partition. Appended by gateways, consumed by the partition's owner, entries
    /// deleted when settled.
    pub fn partition(&self, partition: u32) -> String {
        let tag = PARTITION_TAGS[partition as usize % PARTITION_TAGS.len()];
        format!("{}{{{tag}}}:commands:{partition}", self.prefix)
    }

    /// Stream: commands without order (reads, sessions). Appended by gateways, consumed by any worker.
    pub fn queries(&self) -> String {
        format!("{}{{q}}:commands", self.prefix)
    }

    /// Stream: commands that failed because of their content. Appended by workers, read by `chatctl dlq`; capped.
    pub fn dead_letters(&self) -> String {
        format!("{}dead_letters", self.prefix)
    }

    /// String: the messages one user sent in the last minute, per second. Written by gateways; lives for the window.
    pub fn message_rate(&self, user: UserId) -> String {
        format!("{}rate_limit:{user}", self.prefix)
    }

    /// The same for all other commands.
    pub fn command_rate(&self, user: UserId) -> String {
        format!("{}command_rate:{user}", self.prefix)
    }

    /// String: the requests of one address, per slice of the window. Written by gateways; lives for the window.
    pub fn address_requests(&self, address: impl std::fmt::Display) -> String {
        format!("{}address_requests:{address}", self.prefix)
    }

    /// String: the failed tokens of one address, per slice of the window. Written by gateways; lives for the
    /// window.
    pub fn address_auth_failures(&self, address: impl std::fmt::Display) -> String {
        format!("{}address_auth_failures:{address}", self.prefix)
    }

    /// String: how many strangers a user started to write to. Written by workers; expires a day after the first.
    pub fn strangers(&self, user: UserId) -> String {
        format!("{}strangers:{user}", self.prefix)
    }

    /// String: the accounts registered from one address, per slice of the window. Written by gateways; lives for the window.
    pub fn address_registrations(&self, address: impl std::fmt::Display) -> String {
        format!("{}address_registrations:{address}", self.prefix)
    }

    /// String: the requests of one API key, per slice of the window. Written by gateways; lives for the window.
    pub fn api_key_requests(&self, key_id: &ApiKeyId) -> String {
        format!("{}api_key_requests:{key_id}", self.prefix)
    }

    /// String: why `BEFORE_SEND_URL` does not answer. Written by workers, read by `chatctl doctor`; lives for a minute unless renewed.
    pub fn before_send_down(&self) -> String {
        format!("{}before_send_down", self.prefix)
    }

    /// String: the address of a proxy that `TRUSTED_PROXIES` does not name and whose clients were refused. Written by gateways, read by
    /// `chatctl doctor`; lives for a day.
    pub fn unnamed_proxy(&self) -> String {
        format!("{}unnamed_proxy", self.prefix)
    }

    /// String: the login attempts for one account, from one address, or both (`kind`), per slice of the window. Written
    /// by gateways; lives for the window.
    pub fn login_attempts(&self, kind: &str, whom: impl std::fmt::Display) -> String {
        format!("{}login_attempts:{kind}:{whom}", self.prefix)
    }

    /// String: exists if this address was used to log in to this account. Written by gateways; lives for three months.
    pub fn known_login(&self, account_and_address: &str) -> String {
        format!("{}known_login:{account_and_address}", self.prefix)
    }

    /// Hash: open connections of one address, per gateway. Each gateway writes its own field and counts only the fields
    /// of live ones; lives for some minutes unless renewed.
    pub fn address_connections(&self, address: impl std::fmt::Display) -> String {
        format!("{}address_connections:{address}", self.prefix)
    }

    /// String: the version of a process of a kind (`gateway` or `worker`). Written by itself with each heartbeat, read by `chatctl`; lives
    /// for a minute.
    pub fn version(&self, kind: &str, process: impl std::fmt::Display) -> String {
        format!("{}version:{kind}:{process}", self.prefix)
    }

    /// Sorted set: live processes of a kind (`gateway` or `worker`) by the time of their last heartbeat; as `answers`, gateways that
    /// follow their [`Self::answer_channel`]; as `sharded`, those that listen to the shards of a cluster.
    pub fn heartbeats(&self, kind: &str) -> String {
        format!("{}heartbeats:{kind}", self.prefix)
    }

    /// String: the database's epoch, see `migrations/0008_store_epoch.sql`. Written by workers when it changes, read by
    /// gateways, which then no longer rely on earlier numbers. Never expires.
    pub fn store_epoch(&self) -> String {
        format!("{}store_epoch", self.prefix)
    }

    /// Sorted set: users who are online, from the first session to the end of the grace period. Written by workers and
    /// gateways through the scripts of `redis::presence`, read by workers. Exists while any user is online. This and
    /// the next four share a hash tag because scripts change them together.
    pub fn online_users(&self) -> String {
        format!("{}{{presence}}online_users", self.prefix)
    }

    /// Sorted set: users without a session by the end of their grace period.
    pub fn grace_periods(&self) -> String {
        format!("{}{{presence}}grace", self.prefix)
    }

    /// String: exists once the sorted set of online users is complete; missing after Redis lost its data. Its value is
    /// the epoch of the database with the same online users. Written by workers.
    pub fn presence_is_complete(&self) -> String {
        format!("{}{{presence}}complete", self.prefix)
    }

    /// Followed by a user id: a set with that user's sessions as `{gateway}:{connection}`.
    pub fn user_sessions_prefix(&self) -> String {
        format!("{}{{presence}}user_session:", self.prefix)
    }

    /// Set: one gateway's sessions as `{user}:{connection}`. Emptied by workers if the gateway dies.
    pub fn gateway_sessions(&self, gateway: GatewayId) -> String {
        format!("{}{{presence}}gateway_sessions:{gateway}", self.prefix)
    }

    /// String: the newest messages of a conversation as a sealed page with the version it was read at; `CACHE_TTL`.
    pub fn conversation_cache(&self, conversation: ConversationId) -> String {
        format!("{}conversation:{conversation}", self.prefix)
    }

    /// Sorted set: who is typing where, by the time at which it ends by itself. Written by the workers that handle
    /// `typing`, emptied by the first worker that looks; exists while any user is typing.
    pub fn typing(&self) -> String {
        format!("{}typing", self.prefix)
    }

    /// Sorted set: hashes of revoked tokens that were announced to the gateways, by time. Written by workers; entries
    /// expire after some minutes.
    pub fn revoked_tokens(&self) -> String {
        format!("{}revoked_tokens", self.prefix)
    }

    /// Channel: answers for one gateway's connections.
    pub fn gateway_channel(&self, gateway: GatewayId) -> String {
        format!("{}gateway:{gateway}", self.prefix)
    }

    /// Channel: large answers for one gateway's connections. It has a separate connection, so that no event is lost if
    /// Redis cuts that one because too much is waiting.
    pub fn answer_channel(&self, gateway: GatewayId) -> String {
        format!("{}answers:{gateway}", self.prefix)
    }

    /// Channel: everything that concerns one user.
    pub fn user_channel(&self, user: UserId) -> String {
        format!("{}user:{user}", self.prefix)
    }

    /// Channel: what concerns all members of a group, published once however large the group is.
    pub fn group_channel(&self, group: GroupId) -> String {
        format!("{}{group}", self.prefix)
    }

    /// Channel: what concerns every gateway: users who come and go, and revoked tokens.
    pub fn presence_channel(&self) -> String {
        format!("{}presence", self.prefix)
    }

    /// Channel: what gateways should have received, from workers to all gateways.
    pub fn report_channel(&self) -> String {
        format!("{}report", self.prefix)
    }

    /// True for a channel that, on a cluster, only the node with its slot carries. Each node needs what concerns every gateway,
    /// because gateways are spread over all of them.
    pub fn is_sharded(&self, channel: &str) -> bool {
        let name = channel.strip_prefix(self.prefix.as_str());
        name.is_some_and(|name| name != "presence" && name != "report")
    }

    /// The meaning of a channel's name; `None` for a foreign one.
    pub fn parse_channel(&self, channel: &str) -> Option<Channel> {
        let name = channel.strip_prefix(self.prefix.as_str())?;
        if name == "presence" {
            return Some(Channel::Presence);
        }
        if name == "report" {
            return Some(Channel::Report);
        }
        if let Some(user) = name.strip_prefix("user:") {
            return user.parse().ok().map(Channel::User);
        }
        if name.starts_with("gateway:") || name.starts_with("answers:") {
            return Some(Channel::Gateway);
        }
        name.parse().ok().map(Channel::Group)
    }
}

/// Where a publication was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Gateway,
    User(UserId),
    Group(GroupId),
    Presence,
    Report,
}

#[cfg(test)]
mod tests {
    use super::*;
    use fred::util::redis_keyslot;
    use uuid::Uuid;

    #[test]
    fn partitions_are_spread_over_all_slots() {
        let keys = Keys::new("t:");
        for partition in 0..64_u32 {
            let slot = u32::from(redis_keyslot(keys.partition(partition).as_bytes()));
            assert_eq!(slot / 1024, partition % 16);
            let tag = PARTITION_TAGS[partition as usize % 16];
            assert_eq!(slot, u32::from(redis_keyslot(tag.as_bytes())), "all streams of a tag share its slot");
        }
    }

    #[test]
    fn channels_are_told_apart() {
        let keys = Keys::new("t:");
        let group = GroupId(Uuid::from_u128(3));
        assert_eq!(keys.parse_channel(&keys.user_channel(UserId(4))), Some(Channel::User(UserId(4))));
        assert_eq!(keys.parse_channel(&keys.group_channel(group)), Some(Channel::Group(group)));
        assert_eq!(keys.parse_channel(&keys.gateway_channel(GatewayId(Uuid::nil()))), Some(Channel::Gateway));
        assert_eq!(keys.parse_channel(&keys.answer_channel(GatewayId(Uuid::nil()))), Some(Channel::Gateway));
        assert_eq!(keys.parse_channel(&keys.presence_channel()), Some(Channel::Presence));
        assert_eq!(keys.parse_channel(&keys.report_channel()), Some(Channel::Report));
        assert_eq!(keys.parse_channel("user:4"), None);
    }

    #[test]
    fn only_what_concerns_every_gateway_goes_to_all_nodes() {
        let keys = Keys::new("t:");
        let gateway = GatewayId(Uuid::nil());
        let sharded = [keys.gateway_channel(gateway), keys.answer_channel(gateway), keys.user_channel(UserId(4))];
        assert!(sharded.iter().all(|channel| keys.is_sharded(channel)));
        assert!(![keys.presence_channel(), keys.report_channel()].iter().any(|channel| keys.is_sharded(channel)));
    }

    #[test]
    fn channels_of_users_and_groups_are_spread_over_all_slots() {
        let keys = Keys::new("");
        let users = (0..48_000).map(|user| keys.user_channel(UserId(user)));
        let groups = (0..48_000).map(|group| keys.group_channel(GroupId(Uuid::from_u128(group))));
        let mut thirds = [0; 3];
        for channel in users.chain(groups) {
            thirds[usize::from(redis_keyslot(channel.as_bytes())) * 3 / 16_384] += 1;
        }
        assert!(thirds.iter().all(|share| (31_000..33_000).contains(share)), "{thirds:?}");
    }
}
