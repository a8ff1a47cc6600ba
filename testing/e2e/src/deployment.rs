//! A private fleet on private stores, which a test may break as it likes.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use client::Client;
use devstack::fleet::{Fleet, FleetConfig, Stores};
use devstack::{Cluster, Durability, Postgres, Proxy, Redis, Scratch, Secrets, Sentinels, testing};

use crate::contract;
use crate::tls::{Authority, LOOPBACK};

/// The deployment's database.
pub const DATABASE: &str = "chat";
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// What a test changes about two gateways and two workers with their defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub gateways: usize,
    pub workers: usize,
    /// Settings for all servers.
    pub env: Vec<(String, String)>,
    /// Redis has a replica and sentinels.
    pub sentinels: bool,
    /// Redis is a cluster.
    pub cluster: bool,
    /// Puts proxies between the parts, see [`Network`].
    pub proxied: bool,
    /// Redis keeps its data over a crash, except for the last second.
    pub durable_redis: bool,
    /// The servers reach the stores with the secrets that `deploy/secrets.sh` creates. Otherwise workers still use
    /// [`WORKER_ROLE`], but Redis has one user for everything.
    pub least_rights: bool,
    /// The stores are reached over TLS, under [`Deployment::authority`].
    pub tls: bool,
    /// Run on the empty database [`DATABASE`], before it is migrated.
    pub before: Option<fn(&Postgres, &Secrets) -> Result<()>>,
    /// Uses the servers of the previous release; the database is migrated by the present one.
    pub previous_release: bool,
}

/// The connections between the parts of a deployment, each of which can be made bad.
pub struct Network {
    pub gateway_redis: Proxy,
    pub worker_redis: Proxy,
    pub worker_postgres: Proxy,
    /// In front of each gateway.
    pub clients: Vec<Proxy>,
}

/// The role of workers in PostgreSQL.
pub const WORKER_ROLE: &str = "chat_worker";

impl Default for Options {
    fn default() -> Self {
        // Tests use one address, and are faster than people.
        let env = [
            ("MAX_CONNECTIONS_PER_IP", "100000"),
            ("MAX_CONNECTIONS_PER_USER", "1000"),
            ("IP_RATE_LIMIT", "10000000"),
            ("MESSAGE_RATE_LIMIT", "1000000"),
            ("NEW_CONVERSATION_LIMIT", "1000000"),
            // Users who were away during a fault receive everything, however much was sent meanwhile.
            ("REPLAY_LIMIT", "100000"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Options {
            gateways: 2,
            workers: 2,
            env,
            sentinels: false,
            cluster: false,
            proxied: false,
            durable_redis: false,
            least_rights: false,
            tls: false,
            before: None,
            previous_release: false,
        }
    }
}

impl Options {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A user with an account.
#[derive(Clone, Debug)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub token: String,
}

pub struct Deployment {
    pub fleet: Fleet,
    pub postgres: Postgres,
    /// The primary if there are sentinels; not used with a cluster.
    pub redis: Redis,
    /// The former primary, after a failover that kept connections.
    pub redis_replica: Option<Redis>,
    pub sentinels: Option<Sentinels>,
    pub cluster: Option<Cluster>,
    network: Option<Network>,
    authority: Option<Authority>,
    spare: Option<Scratch>,
    // Dropping it ends every process, so it comes last.
    scratch: Scratch,
}

impl Deployment {
    /// Starts stores and servers, and waits until all are ready.
    pub fn start(label: &str, options: Options) -> Result<Deployment> {
        contract::watch();
        let scratch = Scratch::new(label)?;
        let postgres = testing::start_postgres(&scratch)?;
        let durability = if options.durable_redis { Durability::Durable } else { Durability::Fast };
        let redis = testing::start_redis_with(&scratch, durability)?;
        let database_url = postgres.create_database(DATABASE)?;
        let secrets = Secrets::generate()?;
        if let Some(before) = options.before {
            before(&postgres, &secrets)?;
        }
        let bin_dir = testing::bin_dir()?;
        let mut env = options.env;
        let (mut worker_password, mut redis_url) = (devstack::secrets::password()?, redis.url());
        if options.least_rights {
            (worker_password, redis_url) = least_rights(&scratch, &redis)?;
            env.push(("REDIS_PREFIX".to_owned(), "chat:".to_owned()));
        }
        let mut migrate = Command::new(bin_dir.join("chatctl"));
        migrate.arg("migrate").env("DATABASE_URL", &database_url).env("WORKER_PASSWORD", &worker_password);
        migrate.envs(env.iter().filter(|(name, _)| name == "BUILTIN_AUTH").map(|(name, value)| (name, value)));
        let migrated = migrate.output().with_context(|| format!("chatctl in {}", bin_dir.display()))?;
        if !migrated.status.success() {
            bail!("the migrations failed: {}", String::from_utf8_lossy(&migrated.stderr));
        }
        let worker_url = |port: u16| format!("postgres://{WORKER_ROLE}:{worker_password}@127.0.0.1:{port}/{DATABASE}");
        let mut stores = Stores { database_url: worker_url(postgres.port()), redis_url };
        let mut authority = None;
        if options.tls {
            let new = Authority::new(scratch.dir().join("authority"))?;
            stores = over_tls(&new, &postgres, &redis, &stores)?;
            env.push(("REDIS_TLS_CA".to_owned(), new.file()));
            authority = Some(new);
        }
        let sentinels = if options.sentinels { Some(testing::start_sentinels(&redis)?) } else { None };
        if let Some(sentinels) = &sentinels {
            stores.redis_url = sentinels.url();
        }
        let cluster = if options.cluster { Some(testing::start_cluster()?) } else { None };
        if let Some(cluster) = &cluster {
            stores.redis_url = match &authority {
                Some(authority) => authority.encrypt_cluster(cluster)?,
                None => cluster.url(),
            };
        }
        let mut network = None;
        let (mut gateway_env, mut worker_env) = (Vec::new(), Vec::new());
        if options.proxied {
            let (gateway_redis, worker_redis) = (Proxy::start(redis.port())?, Proxy::start(redis.port())?);
            let worker_postgres = Proxy::start(postgres.port())?;
            gateway_env.push(("REDIS_URL".to_owned(), redis.url_at(gateway_redis.port())));
            worker_env.push(("REDIS_URL".to_owned(), redis.url_at(worker_redis.port())));
            worker_env.push(("DATABASE_URL".to_owned(), worker_url(worker_postgres.port())));
            network = Some(Network { gateway_redis, worker_redis, worker_postgres, clients: Vec::new() });
        }
        let fleet = Fleet::start(FleetConfig {
            bin_dir: if options.previous_release { testing::previous_bin_dir()? } else { bin_dir },
            state_dir: scratch.dir().to_owned(),
            gateways: options.gateways,
            workers: options.workers,
            stores,
            secrets,
            env,
            gateway_env,
            worker_env,
        })?;
        if let Some(network) = &mut network {
            for gateway in &fleet.gateways {
                network.clients.push(Proxy::start(gateway.spec().port)?);
            }
        }
        Ok(Deployment {
            fleet,
            postgres,
            redis,
            redis_replica: None,
            sentinels,
            cluster,
            network,
            authority,
            spare: None,
            scratch,
        })
    }

    /// Starts a second, empty Redis with the first one's password; it ends with this deployment.
    pub fn start_spare_redis(&mut self) -> Result<Redis> {
        let scratch = Scratch::new("spare")?;
        let redis = testing::start_redis_beside(&scratch, &self.redis)?;
        self.spare = Some(scratch);
        Ok(redis)
    }

    /// The connections between the parts.
    ///
    /// # Errors
    /// If the deployment was not started with `proxied`.
    pub fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("a deployment without proxies")
    }

    /// Returns the authority of the stores' certificates.
    ///
    /// # Errors
    /// If the deployment was not started with `tls`.
    pub fn authority(&self) -> Result<&Authority> {
        self.authority.as_ref().context("a deployment without TLS")
    }

    /// The folder with the logs.
    pub fn logs(&self) -> &std::path::Path {
        self.scratch.dir()
    }

    /// Runs `chatctl` with this deployment's settings; returns what it prints.
    ///
    /// # Errors
    /// If it fails, with its output.
    pub fn chatctl(&self, arguments: &[&str]) -> Result<String> {
        let secrets = self.fleet.secrets();
        let output = Command::new(testing::bin_dir()?.join("chatctl"))
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("DATABASE_URL", self.postgres.url(DATABASE))
            .env("REDIS_URL", self.cluster.as_ref().map_or_else(|| self.redis.url(), Cluster::url))
            .env("CHAT_ENCRYPTION_KEY", &secrets.encryption_key)
            .env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt)
            .output()?;
        if !output.status.success() {
            bail!("chatctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs SQL as the main backend (or a curious test) would; returns the rows as text.
    pub fn sql(&self, query: &str) -> Result<String> {
        Ok(self.postgres.query(DATABASE, query)?.trim().to_owned())
    }

    /// Creates a user whose name begins with this.
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

    /// Creates many users at once, whose names begin with this.
    pub fn many_users(&self, name: &str, count: usize) -> Result<Vec<User>> {
        let insert = format!(
            "INSERT INTO users_auth (username) SELECT '{name}_' || n FROM generate_series(1, {count}) AS n
             RETURNING user_id || ' ' || username"
        );
        let rows = self.sql(&insert)?;
        let user = |row: &str| {
            let (id, name) = row.split_once(' ').context("two columns")?;
            let id = id.parse()?;
            let token = client::token::mint(&self.fleet.secrets().jwt_secret, id, TOKEN_TTL)?;
            Ok(User { id, name: name.to_owned(), token })
        };
        rows.lines()
            .filter(|row| row.contains(' '))
            .filter(|row| row.starts_with(|c: char| c.is_ascii_digit()))
            .map(user)
            .collect()
    }

    pub fn users<const N: usize>(&self, names: [&str; N]) -> Result<[User; N]> {
        let users: Result<Vec<User>> = names.iter().map(|name| self.user(name)).collect();
        match users?.try_into() {
            Ok(users) => Ok(users),
            Err(_) => bail!("as many users as names"),
        }
    }

    /// The WebSocket URL of a gateway, counted from 0; through its proxy if there is one.
    pub fn gateway_url(&self, gateway: usize) -> String {
        match &self.network {
            Some(network) => format!("ws://127.0.0.1:{}", network.clients[gateway].port()),
            None => self.fleet.gateways[gateway].ws_url(),
        }
    }

    /// Connects the user to a gateway.
    pub async fn login(&self, gateway: usize, user: &User) -> Result<Client> {
        Client::login(&self.gateway_url(gateway), &user.token)
            .await
            .with_context(|| format!("{} on gateway {gateway}", user.name))
    }

    /// Returns the stored messages of a conversation as `(seq, message id)`, in order.
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

    /// Waits until a query returns this text.
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

/// Creates the users with the files of a real deployment; returns the password of the workers' role and the URL of
/// Redis.
fn least_rights(scratch: &Scratch, redis: &Redis) -> Result<(String, String)> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let secrets = scratch.dir().join("secrets");
    std::fs::create_dir(&secrets)?;
    let made = Command::new("sh").arg(deploy.join("secrets.sh")).arg(&secrets).output()?;
    if !made.status.success() {
        bail!("secrets.sh: {}", String::from_utf8_lossy(&made.stderr));
    }
    let read = |file: &str| std::fs::read_to_string(secrets.join(file)).with_context(|| file.to_owned());
    let acl = read("redis/users.acl")?;
    let user = acl.lines().find_map(|line| line.strip_prefix("user chat ")).context("the user of the services")?;
    let set_user: Vec<&str> = ["ACL", "SETUSER", "chat"].into_iter().chain(user.split(' ')).collect();
    redis.command(&set_user)?;
    let redis_url = format!("redis://chat:{}@127.0.0.1:{}/0", read("redis/password")?, redis.port());

    let worker_password = read("chatctl/worker_password")?;
    let worker_url = read("worker/database_url")?;
    let expected = format!("postgres://{WORKER_ROLE}:{worker_password}@");
    if !worker_url.starts_with(&expected) {
        bail!("the workers' URL does not name their role");
    }
    Ok((worker_password, redis_url))
}

/// Lets the stores use TLS; returns how to reach them.
fn over_tls(authority: &Authority, postgres: &Postgres, redis: &Redis, stores: &Stores) -> Result<Stores> {
    authority.encrypt_postgres(postgres, LOOPBACK)?;
    let tls_port = authority.encrypt_redis(redis, LOOPBACK)?;
    let plain = format!("@127.0.0.1:{}/", redis.port());
    let redis_url =
        stores.redis_url.replace("redis://", "rediss://").replace(&plain, &format!("@127.0.0.1:{tls_port}/"));
    let verify = format!("sslmode=verify-full&sslrootcert={}", authority.file());
    Ok(Stores { database_url: format!("{}?{verify}", stores.database_url), redis_url })
}

impl Drop for Deployment {
    fn drop(&mut self) {
        let broken = contract::broken();
        if !broken.is_empty() && !std::thread::panicking() {
            panic!("the servers broke the contract:\n{}", broken.join("\n"));
        }
    }
}
