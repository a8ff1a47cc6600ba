//! One server or a cluster: which keys one command may touch, and which node publications go through. Code that has to
//! treat the two differently asks this module.

use std::collections::BTreeMap;

use fred::prelude::*;
use fred::types::ClusterHash;
use fred::types::config::Options;
use fred::util::redis_keyslot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server, by itself or under sentinels: a command may touch any keys, and a connection keeps all commands in order.
    Single,
    /// Keys are spread over servers by their hash slots: a command may touch the keys of one slot, and commands to
    /// different servers have no order.
    Cluster,
}

impl Topology {
    /// Determined from the client's URL; the client need not be connected.
    pub fn of(client: &impl ClientLike) -> Self {
        if client.is_clustered() { Topology::Cluster } else { Topology::Single }
    }

    /// The positions of the keys, grouped by what one command may touch, each group in the keys' order.
    pub fn together<'a>(self, keys: impl IntoIterator<Item = &'a str>) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.into_iter().enumerate() {
            let slot = match self {
                Topology::Single => 0,
                Topology::Cluster => redis_keyslot(key.as_bytes()),
            };
            groups.entry(slot).or_default().push(place);
        }
        groups.into_values().collect()
    }
}

/// For PUBLISH, and for a PING after SUBSCRIBE: sends them all to one node of a cluster, the one to which fred sends this client's
/// subscriptions. Cluster nodes forward publications to each other, so any node would do; but only through a single
/// node do they keep their order over all channels, and only a PING on the subscriptions' own connection confirms them.
pub fn one_node(client: &impl ClientLike) -> Options {
    Options { cluster_hash: Some(ClusterHash::Custom(redis_keyslot(client.id().as_bytes()))), ..Options::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_apart_what_is_in_different_slots() {
        let keys = ["{a}1", "{b}1", "{a}2", "x{b}2"];
        assert_eq!(Topology::Single.together(keys), [[0, 1, 2, 3]]);
        let mut groups = Topology::Cluster.together(keys);
        groups.sort();
        assert_eq!(groups, [[0, 2], [1, 3]]);
        assert!(Topology::Single.together([]).is_empty());
    }
}
