//! The resources that servers and stores use: from /proc and from the stores' own statistics.

pub mod postgres;
pub mod processes;
pub mod redis;
pub mod syscalls;

use anyhow::Result;

use self::postgres::Postgres;
use self::processes::{Group, Usage};
use self::redis::Redis;

/// Everything that is observed.
pub struct Observed {
    pub groups: Vec<Group>,
    pub postgres: Option<Postgres>,
    pub redis: Option<Redis>,
}

/// One snapshot. Only differences between two are meaningful.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub usages: Vec<Usage>,
    pub postgres: Option<postgres::Counts>,
    pub redis: Option<redis::Counts>,
}

impl Observed {
    /// Takes a snapshot, for which it queries the stores: that takes some milliseconds.
    pub async fn look(&mut self) -> Result<Look> {
        Ok(Look {
            usages: self.usages(),
            postgres: match &mut self.postgres {
                Some(postgres) => Some(postgres.counts().await?),
                None => None,
            },
            redis: match &self.redis {
                Some(redis) => Some(redis.counts().await?),
                None => None,
            },
        })
    }

    /// Returns the usage of the processes only.
    pub fn usages(&self) -> Vec<Usage> {
        self.groups.iter().map(Group::usage).collect()
    }
}
