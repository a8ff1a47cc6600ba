//! Connections to Redis, with the settings that correctness rests on.

use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::RespVersion;
use fred::types::config::{Server, UnresponsiveConfig};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::tls;

/// How long the pauses between reconnection attempts may grow: the service has to be back within seconds.
const MAX_RECONNECT_DELAY_MS: u32 = 1_000;

/// A subscriber that lags behind by more loses messages, which counts as an interruption. The client makes nine channels
/// of this capacity when it starts, so that each thousand costs a megabyte; clients that subscribe to nothing keep 32.
const SUBSCRIBER_CAPACITY_MESSAGES: usize = 2_048;

/// The same error of a connection is logged once in so long.
const REPEAT_ERROR_AFTER: Duration = Duration::from_secs(60);

/// What connections to Redis need to know.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://`, `rediss://`, `redis-sentinel://` or `rediss-sentinel://`.
    pub url: String,
    /// A PEM file with the only certificate authorities to trust over TLS; without it, those of the system.
    pub tls_ca: Option<String>,
    /// A command without a reply for so long has failed.
    pub command_timeout: Duration,
}

impl RedisOptions {
    fn builder(&self) -> Result<Builder, Error> {
        let mut builder = Builder::from_config(self.config()?);
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

    fn config(&self) -> Result<Config, Error> {
        let (Some(file), Some(rest)) = (&self.tls_ca, self.url.strip_prefix("rediss")) else {
            return Config::from_url(&self.url);
        };
        // Without TLS in the URL, or the system's authorities would be read, which need not be there.
        let mut config = Config::from_url(&format!("redis{rest}"))?;
        config.tls = Some(tls::trusting(file).map_err(|problem| Error::new(ErrorKind::Tls, problem))?);
        Ok(config)
    }

    /// A client for ordinary commands. It connects in the background and keeps reconnecting; until then commands fail
    /// after `command_timeout`.
    pub fn client(&self) -> Result<Client, Error> {
        let client = self.builder()?.build()?;
        tokio::spawn(log_errors(client.error_rx()));
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

/// Says why there is no connection (a wrong password, a certificate that nobody trusts): commands only know that no answer came.
async fn log_errors(mut errors: Receiver<(Error, Option<Server>)>) {
    let mut last: Option<(String, Instant)> = None;
    loop {
        let error = match errors.recv().await {
            Ok((error, _)) => error.to_string(),
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if last.as_ref().is_none_or(|(known, at)| *known != error || at.elapsed() > REPEAT_ERROR_AFTER) {
            tracing::warn!(%error, "the connection to Redis failed");
            last = Some((error, Instant::now()));
        }
    }
}
