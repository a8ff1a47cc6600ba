//! Connections to Redis, with the settings that correctness depends on.

use std::convert::Infallible;
use std::time::Duration;

use fred::clients::SubscriberClient;
use fred::prelude::*;
use fred::types::config::{Options, Server};
use fred::types::{CustomCommand, RespVersion};
use futures_util::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::shard::ShardOptions;
use super::tls;
use super::topology::Topology;
use crate::lifecycle::Lifecycle;

/// The maximum pause between reconnection attempts: the service has to be back within seconds.
const MAX_RECONNECT_DELAY_MS: u32 = 1_000;

const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// How often each connection is pinged.
const PING_PERIOD: Duration = Duration::from_secs(2);

/// A script that may write and does nothing: a replica answers READONLY. INFO and ROLE would say it, too, but many a managed Redis
/// allows them only to its administrators.
const WRITES_NOTHING: &str = "#!lua\nreturn 0";

/// What is published to everybody or to one user: a subscriber that lags behind by more loses messages, which counts as an
/// interruption. The client makes nine channels of this capacity when it starts, so that each thousand costs a megabyte;
/// clients that subscribe to nothing keep 32.
pub const EVENTS_CAPACITY: usize = 2_048;
/// Large answers are few, and who loses one asks again.
pub const ANSWERS_CAPACITY: usize = 512;

/// How often the same error of a connection is logged.
const REPEAT_ERROR_AFTER: Duration = Duration::from_secs(60);

/// The settings for connections to Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://`, `redis-sentinel://` or `redis-cluster://`; with TLS `rediss…://`.
    pub url: String,
    /// A PEM file with the certificate authorities to trust over TLS; without it, the system's.
    pub tls_ca: Option<String>,
    /// A command without a reply within this time has failed.
    pub command_timeout: Duration,
}

impl RedisOptions {
    fn builder(&self) -> Result<Builder, Error> {
        let mut builder = Builder::from_config(self.config()?);
        // Otherwise a client whose first connection fails would give up for good, and its process would never serve.
        builder.with_config(|config| config.fail_fast = false);
        let command_timeout = self.command_timeout;
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(2);
                connection.internal_command_timeout = Duration::from_secs(2);
                // A second attempt after a lost reply would append a command twice.
                connection.max_command_attempts = 1;
                // `redirect` handles redirections.
                connection.max_redirections = 0;
                connection.tcp.nodelay = Some(true);
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
        // Without TLS in the URL; otherwise the system's authorities would be read, which may not exist.
        let mut config = Config::from_url(&format!("redis{rest}"))?;
        config.tls = Some(tls::trusting(file).map_err(|problem| Error::new(ErrorKind::Tls, problem))?);
        Ok(config)
    }

    /// A client for ordinary commands. It connects in the background and keeps reconnecting; until then commands fail
    /// after `command_timeout`. Its tasks run in `lifecycle`.
    pub fn client(&self, lifecycle: &Lifecycle) -> Result<Client, Error> {
        let client = self.builder()?.build()?;
        lifecycle.spawn_until_stopped("redis-errors", log_errors(client.error_rx()));
        self.connect(&client, lifecycle);
        Ok(client)
    }

    /// A client for blocking reads; it must not be used for anything else. `longest_block` is added to the command
    /// timeout.
    pub fn blocking_client(&self, longest_block: Duration, lifecycle: &Lifecycle) -> Result<Client, Error> {
        let options = RedisOptions { command_timeout: self.command_timeout + longest_block, ..self.clone() };
        options.client(lifecycle)
    }

    /// A client for subscriptions. `subscribe` returns before the server has confirmed; a reply to a later `ping`
    /// through [`super::topology::one_node`] shows that it has. This requires RESP3, which allows other commands on a
    /// subscriber's connection. Up to `capacity` messages wait to be taken, the older ones are lost.
    pub fn subscriber(&self, capacity: usize, lifecycle: &Lifecycle) -> Result<SubscriberClient, Error> {
        let mut builder = self.builder()?;
        builder.with_config(|config| config.version = RespVersion::RESP3).with_performance_config(|performance| {
            performance.broadcast_channel_capacity = capacity;
        });
        let client = builder.build_subscriber_client()?;
        self.connect(&client, lifecycle);
        Ok(client)
    }

    /// How to reach the nodes of a cluster for sharded subscriptions.
    pub fn shards(&self) -> Result<ShardOptions, Error> {
        let Config { username, password, tls, .. } = self.config()?;
        Ok(ShardOptions { username, password, tls, command_timeout: self.command_timeout })
    }

    fn connect(&self, client: &(impl ClientLike + 'static), lifecycle: &Lifecycle) {
        lifecycle.spawn_until_stopped("redis", stay_connected(client.clone()));
        lifecycle.spawn_until_stopped("redis-watch", self.watch(client.clone()));
    }

    /// Makes the client reconnect, and so resolve the server's name again, if only that can repair its connection; see
    /// [`needs_new_connection`].
    fn watch(
        &self,
        client: impl ClientLike + 'static,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let patience = match Topology::of(&client) {
            Topology::Single => self.command_timeout * 3,
            // Connections to servers that are still part of the cluster are kept, so this costs little.
            Topology::Cluster => self.command_timeout,
        };
        async move {
            loop {
                tokio::time::sleep(PING_PERIOD).await;
                let is_clustered = client.is_clustered();
                let looks = client.active_connections().into_iter().map(|server| {
                    let cluster_node = is_clustered.then_some(server);
                    let asking =
                        client.with_options(&Options { cluster_node, timeout: Some(patience), ..Options::default() });
                    async move {
                        match is_clustered {
                            // Its nodes themselves say who is whose replica.
                            true => asking.ping::<()>(None).await,
                            false => {
                                let eval = CustomCommand::new_static("EVAL", None, false);
                                asking.custom::<(), _>(eval, vec![WRITES_NOTHING, "0"]).await
                            }
                        }
                    }
                });
                let answers = join_all(looks).await;
                let reason = answers.iter().find_map(needs_new_connection);
                // Otherwise it is already connecting.
                if let (Some(reason), true) = (reason, client.is_connected()) {
                    tracing::warn!(reason, "reconnecting to Redis");
                    // The next commands show if it succeeds.
                    let _ = client.force_reconnection().await;
                }
            }
        }
    }
}

/// Why the connection that returned this answer to INFO or PING no longer works, and a new one may.
///
/// A server that does not answer may be gone without having closed its connections; the client itself waits for minutes on a
/// connection that it keeps writing to. One that was made a replica, as by a planned failover behind a name, answers, but every
/// write with READONLY, and it publishes nothing of its own.
fn needs_new_connection(answer: &Result<(), Error>) -> Option<&'static str> {
    const REFUSALS: [(&str, &str); 3] =
        [("READONLY", "it is a replica"), ("MASTERDOWN", "it has lost its primary"), ("LOADING", "it is loading")];
    match answer {
        Ok(()) => None,
        Err(error) if *error.kind() == ErrorKind::Timeout => Some("it does not answer"),
        Err(error) => {
            REFUSALS.into_iter().find(|(prefix, _)| error.details().starts_with(prefix)).map(|(_, reason)| reason)
        }
    }
}

/// Keeps the client connected: its own task reconnects, but gives up after some errors. Commands in progress then fail,
/// as after a lost connection.
///
/// # Errors
/// When the settings turn out to be unusable, or the client's task panicked.
async fn stay_connected(client: impl ClientLike) -> Result<(), String> {
    loop {
        match client.connect().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if !matches!(error.kind(), ErrorKind::Config | ErrorKind::Url) => {
                tracing::warn!(%error, "the Redis client gave up: reconnecting");
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(panicked) => return Err(panicked.to_string()),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Logs why there is no connection (a wrong password, an untrusted certificate): commands only know that no answer
/// arrived.
async fn log_errors(mut errors: Receiver<(Error, Option<Server>)>) -> Result<(), Infallible> {
    let mut last: Option<(String, Instant)> = None;
    loop {
        let error = match errors.recv().await {
            Ok((error, _)) => error.to_string(),
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Ok(()),
        };
        if last.as_ref().is_none_or(|(known, at)| *known != error || at.elapsed() > REPEAT_ERROR_AFTER) {
            tracing::warn!(%error, "the connection to Redis failed");
            last = Some((error, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_new_connection_may_mend_ends_one() {
        let refused = |details: &'static str| needs_new_connection(&Err(Error::new(ErrorKind::Unknown, details)));
        assert!(refused("READONLY You can not run script with write flag on readonly replica.").is_some());
        assert!(refused("MASTERDOWN Link with MASTER is down").is_some());
        assert!(refused("LOADING Redis is loading the dataset in memory").is_some());
        assert_eq!(refused("NOPERM this user has no permissions to run the 'eval' command"), None);
        assert_eq!(refused("OOM command not allowed when used memory > 'maxmemory'."), None);
        assert_eq!(needs_new_connection(&Ok(())), None);
        assert_eq!(needs_new_connection(&Err(Error::new(ErrorKind::Timeout, ""))), Some("it does not answer"));
    }
}
