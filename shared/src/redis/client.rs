//! Connections to Redis, with the settings that correctness rests on.

use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::RespVersion;
use fred::types::config::UnresponsiveConfig;

/// How long the pauses between reconnection attempts may grow: the service has to be back within seconds.
const MAX_RECONNECT_DELAY_MS: u32 = 1_000;

/// A subscriber that lags behind by more loses messages, which counts as an interruption. The client makes nine channels
/// of this capacity when it starts, so that each thousand costs a megabyte; clients that subscribe to nothing keep 32.
const SUBSCRIBER_CAPACITY_MESSAGES: usize = 2_048;

/// What connections to Redis need to know.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://`, `rediss://`, `redis-sentinel://` or `rediss-sentinel://`.
    pub url: String,
    /// A command without a reply for so long has failed.
    pub command_timeout: Duration,
}

impl RedisOptions {
    fn builder(&self) -> Result<Builder, Error> {
        let mut builder = Builder::from_config(Config::from_url(&self.url)?);
        // Otherwise a client whose very first connection fails gives up for good, and its process never serves.
        builder.with_config(|config| config.fail_fast = false);
        let command_timeout = self.command_timeout;
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                // A second attempt after a lost reply would append a command twice.
                connection.max_command_attempts = 1;
                connection.max_redirections = 5;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive =
                    UnresponsiveConfig { max_timeout: Some(command_timeout * 3), interval: Duration::from_secs(1) };
            })
            .with_performance_config(|performance| {
                performance.default_command_timeout = command_timeout;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, 50, MAX_RECONNECT_DELAY_MS, 2));
        Ok(builder)
    }

    /// A client for ordinary commands. It connects in the background and keeps reconnecting; until then commands fail
    /// after `command_timeout`.
    pub fn client(&self) -> Result<Client, Error> {
        let client = self.builder()?.build()?;
        client.connect();
        Ok(client)
    }

    /// A client for blocking reads: nothing else may use it. `longest_block` is added to the command timeout.
    pub fn blocking_client(&self, longest_block: Duration) -> Result<Client, Error> {
        let options = RedisOptions { command_timeout: self.command_timeout + longest_block, ..self.clone() };
        options.client()
    }

    /// A client for subscriptions. `subscribe` returns before the server has confirmed; a reply to a later `ping` on the
    /// same client says that it has, which takes RESP3, where a subscriber may send other commands.
    pub fn subscriber(&self) -> Result<SubscriberClient, Error> {
        let mut builder = self.builder()?;
        builder.with_config(|config| config.version = RespVersion::RESP3).with_performance_config(|performance| {
            performance.broadcast_channel_capacity = SUBSCRIBER_CAPACITY_MESSAGES;
        });
        let client = builder.build_subscriber_client()?;
        client.connect();
        Ok(client)
    }
}
