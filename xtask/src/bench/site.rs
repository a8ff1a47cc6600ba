//! The place of a measurement: durable stores, a fleet, users, and `loadtest` with all its arguments.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use devstack::{Durability, Fleet, FleetConfig, Postgres, Redis, Scratch, Secrets, Stores, http, ports, secrets};
use serde_json::Value;

use super::setup::Setup;
use crate::interrupt;

pub const DATABASE: &str = "chat";
/// Settings that differ from the defaults: clients use one address and are faster than people; presence only for contacts;
/// one thread for each of four processes on two processors.
pub const SETTINGS: [(&str, &str); 7] = [
    ("MAX_CONNECTIONS_PER_IP", "10000000"),
    ("IP_RATE_LIMIT", "1000000000"),
    ("MESSAGE_RATE_LIMIT", "1000000000"),
    ("NEW_CONVERSATION_LIMIT", "1000000"),
    ("GROUP_CREATE_LIMIT", "1000000"),
    ("PRESENCE_SCOPE", "contacts"),
    ("RUNTIME_THREADS", "1"),
];
const PARTITIONS: &str = "PARTITIONS";

/// What may differ between the measured fleets.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub gateways: usize,
    pub workers: usize,
    pub partitions: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { gateways: 2, workers: 2, partitions: 64 }
    }
}

impl Shape {
    /// The usual one with as many gateways, and as many workers.
    pub fn processes(of_a_kind: usize) -> Self {
        Shape { gateways: of_a_kind, workers: of_a_kind, ..Self::default() }
    }
}

/// What a load is sent to, and whose cost is measured in addition to that of the stores.
pub struct Watched {
    pub urls: Vec<String>,
    /// Names and process ids, separated by commas.
    pub servers: Vec<(String, String)>,
}

pub struct Site {
    pub postgres: Postgres,
    redis: Redis,
    fleet: Fleet,
    config: FleetConfig,
    // Dropping it ends every process, so it comes last.
    scratch: Scratch,
}

impl Site {
    pub fn start(setup: &Setup, users: usize) -> Result<Self> {
        let Setup { programs, bin_dir, .. } = setup;
        let scratch = Scratch::new("bench")?;
        let dir = scratch.dir();
        let durable = Durability::Durable;
        let mut postgres = Postgres::open(&programs.postgres, dir, ports::free_one()?, &secrets::password()?, durable)?;
        postgres.start()?;
        let mut redis = Redis::open(&programs.redis_server, dir, ports::free_one()?, &secrets::password()?, durable)?;
        redis.start()?;
        let database_url = postgres.create_database(DATABASE)?;
        migrate(bin_dir, &postgres, DATABASE)?;
        add_users(&postgres, DATABASE, users as u64)?;
        let config = FleetConfig {
            bin_dir: bin_dir.clone(),
            state_dir: dir.to_owned(),
            gateways: Shape::default().gateways,
            workers: Shape::default().workers,
            stores: Stores { database_url, redis_url: redis.url() },
            secrets: Secrets::generate()?,
            env: SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            gateway_env: Vec::new(),
            // For the receiver of a webhook.
            worker_env: vec![("WEBHOOK_ALLOWED_NETWORKS".to_owned(), "127.0.0.0/8".to_owned())],
        };
        let fleet = Fleet::start(config.clone())?;
        Ok(Self { postgres, redis, fleet, config, scratch })
    }

    /// Creates another database, with the present schema.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.postgres.create_database(name)?;
        migrate(&self.config.bin_dir, &self.postgres, name)
    }

    /// Lists all users as online, as if they were connected elsewhere.
    pub fn list_online(&self, users: usize) -> Result<()> {
        let script = "for user = 1, ARGV[1] do redis.call('ZADD', KEYS[1], 'NX', 0, user) end";
        self.redis.command(&["EVAL", script, "1", "{presence}online_users", &users.to_string()])?;
        let rows = "INSERT INTO user_status (user_id, last_seen_at, online) SELECT user_id, now(), TRUE FROM users_auth
                    ON CONFLICT (user_id) DO UPDATE SET online = TRUE; ANALYZE user_status;";
        self.postgres.query(DATABASE, rows)?;
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        self.scratch.dir()
    }

    /// Changes settings of the fleet's processes, which begin anew.
    pub fn set(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        for (name, value) in settings {
            self.config.env.retain(|(known, _)| known != name);
            self.config.env.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.restart_fleet()
    }

    /// Changes a setting of the workers, or removes it if `value` is empty, and starts new processes.
    pub fn set_of_workers(&mut self, name: &str, value: &str) -> Result<()> {
        self.config.worker_env.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.config.worker_env.push((name.to_owned(), value.to_owned()));
        }
        self.restart_fleet()
    }

    /// Starts new processes, on another Redis.
    pub fn use_redis(&mut self, url: &str) -> Result<()> {
        url.clone_into(&mut self.config.stores.redis_url);
        self.restart_fleet()
    }

    /// Returns a counter of all workers: the sum of the series that begin with this.
    pub fn counted_by_workers(&self, series: &str) -> Result<f64> {
        let mut sum = 0.0;
        for worker in &self.fleet.workers {
            let metrics = http::get(&format!("{}/metrics", worker.url()))?.body;
            let values =
                metrics.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.split(' ').next_back());
            sum += values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>();
        }
        Ok(sum)
    }

    /// Starts new processes, with nothing in memory from earlier measurements.
    pub fn restart_fleet(&mut self) -> Result<()> {
        self.fleet.stop()?;
        self.fleet = Fleet::start(self.config.clone())?;
        Ok(())
    }

    /// Starts a new fleet of another shape, on another database and an empty Redis.
    pub fn reshape(&mut self, database: &str, shape: Shape) -> Result<()> {
        self.fleet.stop()?;
        self.redis.flush()?;
        self.config.stores.database_url = self.postgres.url(database);
        (self.config.gateways, self.config.workers) = (shape.gateways, shape.workers);
        self.config.env.retain(|(name, _)| name != PARTITIONS);
        self.config.env.push((PARTITIONS.to_owned(), shape.partitions.to_string()));
        self.fleet = Fleet::start(self.config.clone())?;
        Ok(())
    }

    /// Adds this number of users.
    pub fn add_users(&self, database: &str, users: u64) -> Result<()> {
        add_users(&self.postgres, database, users)
    }

    /// Returns the resident memory of each gateway and each worker.
    pub fn resident_bytes(&self) -> Result<[Vec<u64>; 2]> {
        let of = |servers: &[devstack::Server]| {
            servers.iter().filter_map(devstack::Server::pid).map(resident_bytes).collect::<Result<Vec<u64>>>()
        };
        Ok([of(&self.fleet.gateways)?, of(&self.fleet.workers)?])
    }

    /// Runs `chatctl` with what it needs of the settings.
    pub fn chatctl(&self, args: &[&str]) -> Result<()> {
        let secrets = &self.config.secrets;
        let mut command = Command::new(self.config.bin_dir.join("chatctl"));
        command.args(args).env("DATABASE_URL", &self.config.stores.database_url);
        command.env("CHAT_ENCRYPTION_KEY", &secrets.encryption_key);
        command.env("CHAT_ENCRYPTION_SALT", &secrets.encryption_salt);
        let output = command.output().context("running chatctl")?;
        if !output.status.success() {
            bail!("chatctl {args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Runs a scenario for these users, counted from 0, and returns its result.
    pub fn loadtest(&self, label: &str, scenario: &str, users: Range<usize>, args: &[&str]) -> Result<Value> {
        self.loadtest_against(&self.watched(), label, scenario, users, args)
    }

    /// The same for the users with these ids.
    pub fn loadtest_by(&self, ids: &[u64], label: &str, scenario: &str, args: &[&str]) -> Result<Value> {
        self.run_loadtest(&self.watched(), ids, label, scenario, args)
    }

    /// Returns the fleet, to which others may be added.
    pub fn watched(&self) -> Watched {
        let pids = |servers: &[devstack::Server]| {
            servers.iter().filter_map(devstack::Server::pid).map(|pid| pid.to_string()).collect::<Vec<_>>().join(",")
        };
        Watched {
            urls: self.fleet.gateways.iter().map(devstack::Server::ws_url).collect(),
            servers: vec![
                ("gateway".to_owned(), pids(&self.fleet.gateways)),
                ("worker".to_owned(), pids(&self.fleet.workers)),
            ],
        }
    }

    /// Gives a server of another kind the stores and the secret of the tokens.
    pub fn set_stores(&self, command: &mut Command) {
        command.env("DATABASE_URL", &self.config.stores.database_url);
        command.env("REDIS_URL", &self.config.stores.redis_url);
        command.env("JWT_SECRET", &self.config.secrets.jwt_secret);
    }

    /// Like [`Self::loadtest`], against these servers.
    pub fn loadtest_against(
        &self,
        watched: &Watched,
        label: &str,
        scenario: &str,
        users: Range<usize>,
        args: &[&str],
    ) -> Result<Value> {
        let ids: Vec<u64> = users.map(|user| user as u64 + 1).collect();
        self.run_loadtest(watched, &ids, label, scenario, args)
    }

    fn run_loadtest(
        &self,
        watched: &Watched,
        ids: &[u64],
        label: &str,
        scenario: &str,
        args: &[&str],
    ) -> Result<Value> {
        interrupt::check()?;
        println!("==> {label}");
        let file = |name: &str| -> PathBuf { self.scratch.dir().join(name) };
        let ids = ids.iter().map(u64::to_string).collect::<Vec<_>>().join("\n");
        std::fs::write(file("users"), ids)?;
        let json = file("result.json");
        let _ = std::fs::remove_file(&json);
        let mut command = Command::new(self.config.bin_dir.join("loadtest"));
        command.arg(scenario).args(args).arg("--users").arg(file("users")).arg("--json").arg(&json);
        for url in &watched.urls {
            command.args(["--url", url]);
        }
        let store = |pid: Option<u32>| pid.map(|pid| pid.to_string()).unwrap_or_default();
        let stores = [("postgres", self.postgres.pid()), ("redis", self.redis.pid())];
        let stores = stores.map(|(name, pid)| (name.to_owned(), store(pid)));
        for (name, pids) in watched.servers.iter().chain(&stores) {
            command.arg("--watch").arg(format!("{name}={pids}"));
        }
        command.args(["--database-url", &self.config.stores.database_url]);
        command.args(["--redis-url", &self.redis.url()]);
        command.env("JWT_SECRET", &self.config.secrets.jwt_secret);
        command.env("COMMUNITY_SYNC_TOKEN", &self.config.secrets.community_sync_token);
        // A bad result is a result, too; only a missing result is a failure.
        let status = command.status().with_context(|| format!("running {}", OsStr::display(command.get_program())))?;
        let text = std::fs::read_to_string(&json).with_context(|| format!("{label}: loadtest ended with {status}"))?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn add_users(postgres: &Postgres, database: &str, users: u64) -> Result<()> {
    let numbers =
        format!("generate_series((SELECT count(*) + 1 FROM users_auth), (SELECT count(*) + {users} FROM users_auth))");
    postgres.query(database, &format!("INSERT INTO users_auth (username) SELECT 'load' || n FROM {numbers} n"))?;
    Ok(())
}

/// Migrates a database to the present schema.
fn migrate(bin_dir: &Path, postgres: &Postgres, database: &str) -> Result<()> {
    let chatctl = bin_dir.join("chatctl");
    let mut command = Command::new(&chatctl);
    let output = command.arg("migrate").env("DATABASE_URL", postgres.url(database)).output();
    let output = output.with_context(|| format!("running {}", chatctl.display()))?;
    if !output.status.success() {
        bail!("the migrations failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn resident_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.split_ascii_whitespace().next().context("no number")?.parse()?;
    Ok(kib * 1024)
}
