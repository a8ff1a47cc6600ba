//! A fleet of its own on stores of its own, which a test may break as it likes.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::Client;
use devstack::fleet::{Fleet, FleetConfig, Stores};
use devstack::{Postgres, Redis, Scratch, Secrets, testing};

use crate::contract;

const DATABASE: &str = "chat";
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// What a test wants other than two gateways and two workers with their defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub gateways: usize,
    pub workers: usize,
    /// Settings of all servers.
    pub env: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        // Tests come from one address, and faster than people.
        let env = [
            ("MAX_CONNECTIONS_PER_IP", "100000"),
            ("MAX_CONNECTIONS_PER_USER", "1000"),
            ("IP_RATE_LIMIT", "10000000"),
            ("MESSAGE_RATE_LIMIT", "1000000"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Options { gateways: 2, workers: 2, env }
    }
}

impl Options {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub token: String,
}

pub struct Deployment {
    pub fleet: Fleet,
    pub postgres: Postgres,
    pub redis: Redis,
    // Ends every process when it is dropped, so it comes last.
    scratch: Scratch,
}

impl Deployment {
    /// Starts stores and servers, and waits until all are ready.
    pub fn start(label: &str, options: Options) -> Result<Deployment> {
        contract::watch();
        let scratch = Scratch::new(label)?;
        let postgres = testing::start_postgres(&scratch)?;
        let redis = testing::start_redis(&scratch)?;
        let database_url = postgres.create_database(DATABASE)?;
        let bin_dir = testing::bin_dir()?;
        let migrated = Command::new(bin_dir.join("chatctl")).arg("migrate").env("DATABASE_URL", &database_url).output();
        let migrated = migrated.with_context(|| format!("chatctl in {}", bin_dir.display()))?;
        if !migrated.status.success() {
            bail!("the migrations failed: {}", String::from_utf8_lossy(&migrated.stderr));
        }
        let fleet = Fleet::start(FleetConfig {
            bin_dir,
            state_dir: scratch.dir().to_owned(),
            gateways: options.gateways,
            workers: options.workers,
            stores: Stores { database_url, redis_url: redis.url() },
            secrets: Secrets::generate()?,
            env: options.env,
            gateway_env: Vec::new(),
            worker_env: Vec::new(),
        })?;
        Ok(Deployment { fleet, postgres, redis, scratch })
    }

    /// The folder with the logs.
    pub fn logs(&self) -> &std::path::Path {
        self.scratch.dir()
    }

    /// Runs SQL as the main backend (or a curious test) would; gives the rows as text.
    pub fn sql(&self, query: &str) -> Result<String> {
        Ok(self.postgres.query(DATABASE, query)?.trim().to_owned())
    }

    /// A new user, whose name begins like this.
    pub fn user(&self, name: &str) -> Result<User> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let name = format!("{name}{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let insert = format!(
            "INSERT INTO users_auth (username, email) VALUES ('{name}', '{name}@example.org') RETURNING user_id"
        );
        let id = self.sql(&insert)?.lines().next().unwrap_or_default().parse().context("the new user's id")?;
        let token = client::token::mint(&self.fleet.secrets().jwt_secret, id, TOKEN_TTL)?;
        Ok(User { id, name, token })
    }

    pub fn users<const N: usize>(&self, names: [&str; N]) -> Result<[User; N]> {
        let users: Result<Vec<User>> = names.iter().map(|name| self.user(name)).collect();
        match users?.try_into() {
            Ok(users) => Ok(users),
            Err(_) => bail!("as many users as names"),
        }
    }

    /// The WebSocket URL of a gateway, counted from 0.
    pub fn gateway_url(&self, gateway: usize) -> String {
        self.fleet.gateways[gateway].ws_url()
    }

    /// Connects the user to a gateway.
    pub async fn login(&self, gateway: usize, user: &User) -> Result<Client> {
        Client::login(&self.gateway_url(gateway), &user.token)
            .await
            .with_context(|| format!("{} on gateway {gateway}", user.name))
    }

    /// The stored messages of a conversation as `(seq, message id)`, in order.
    pub fn stored(&self, conversation: &str) -> Result<Vec<(i64, String)>> {
        let query = format!(
            "SELECT seq || ' msg_' || message_id FROM private_messages WHERE conversation_id = '{conversation}' ORDER BY seq"
        );
        let rows = self.sql(&query)?;
        let row = |line: &str| {
            let (seq, id) = line.split_once(' ').context("two columns")?;
            Ok((seq.parse()?, id.to_owned()))
        };
        rows.lines().filter(|line| !line.is_empty()).map(row).collect()
    }

    /// Waits until a query gives this text.
    pub async fn until(&self, query: &str, expected: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.sql(query)?;
            if found == expected {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                bail!("waited in vain for {query} to give {expected}; it gives {found}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let broken = contract::broken();
        if !broken.is_empty() && !std::thread::panicking() {
            panic!("the servers broke the contract:\n{}", broken.join("\n"));
        }
    }
}
