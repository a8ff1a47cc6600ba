//! The faults, and the seeded sequence of them. Nothing here touches a process: the same seed and sizes always give the same
//! sequence.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A connection between two parts of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    GatewayRedis,
    WorkerRedis,
    WorkerPostgres,
    /// Between clients and this gateway.
    Clients(usize),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::GatewayRedis => write!(f, "gateways - Redis"),
            Link::WorkerRedis => write!(f, "workers - Redis"),
            Link::WorkerPostgres => write!(f, "workers - PostgreSQL"),
            Link::Clients(gateway) => write!(f, "clients - gateway {}", gateway + 1),
        }
    }
}

/// What can go wrong. Servers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    KillGateway(usize),
    KillWorker(usize),
    /// SIGSTOP, and SIGCONT when it is over: for a worker, longer than its lease.
    StopGateway(usize),
    StopWorker(usize),
    /// SIGTERM and a start, one server after the other.
    RollingDeploy,
    /// Everything in Redis is lost.
    RedisEmpty,
    /// kill -9; up to a second is lost.
    RedisCrash,
    PostgresCrash,
    /// Restarts with a clock that is off by this number of seconds.
    GatewayClock(usize, i64),
    WorkerClock(usize, i64),
    /// Another Redis takes over; the former one becomes its replica and keeps its connections.
    RedisFailover,
    /// PostgreSQL opens read-only sessions, which stay read-only afterwards.
    PostgresReadOnly,
    /// The main backend alters a column of its own.
    ColumnAltered,
    /// Restarts, logging much to a reader that has stopped reading.
    StalledLog(usize),
    /// Workers stop, the database is dumped, dropped and restored. Redis and gateways stay as they are.
    Restore,
    Cut(Link),
    /// Only what goes up (to the store or the gateway) is delayed.
    CutUp(Link),
    CutDown(Link),
    Slow(Link),
    Reset(Link),
    /// Reset in the middle of a chunk, in either direction.
    Tear(Link),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::KillGateway(index) => write!(f, "kill -9 of gateway {}", index + 1),
            Fault::KillWorker(index) => write!(f, "kill -9 of worker {}", index + 1),
            Fault::StopGateway(index) => write!(f, "SIGSTOP of gateway {}", index + 1),
            Fault::StopWorker(index) => write!(f, "SIGSTOP of worker {}", index + 1),
            Fault::RollingDeploy => write!(f, "rolling deploy"),
            Fault::RedisEmpty => write!(f, "Redis loses everything"),
            Fault::RedisCrash => write!(f, "crash of Redis"),
            Fault::PostgresCrash => write!(f, "crash of PostgreSQL"),
            Fault::GatewayClock(index, seconds) => write!(f, "gateway {} with a clock {seconds:+} s off", index + 1),
            Fault::WorkerClock(index, seconds) => write!(f, "worker {} with a clock {seconds:+} s off", index + 1),
            Fault::RedisFailover => write!(f, "Redis fails over and keeps its connections"),
            Fault::PostgresReadOnly => write!(f, "PostgreSQL opens sessions that take no writes"),
            Fault::ColumnAltered => write!(f, "the main backend alters a column"),
            Fault::StalledLog(index) => write!(f, "the log reader of gateway {} stands still", index + 1),
            Fault::Restore => write!(f, "PostgreSQL is restored from a dump"),
            Fault::Cut(link) => write!(f, "cut {link}"),
            Fault::CutUp(link) => write!(f, "cut {link}, upwards only"),
            Fault::CutDown(link) => write!(f, "cut {link}, downwards only"),
            Fault::Slow(link) => write!(f, "500 ms delay {link}"),
            Fault::Reset(link) => write!(f, "reset {link}"),
            Fault::Tear(link) => write!(f, "reset in mid-frame {link}"),
        }
    }
}

/// What the fault takes away: two faults at once never have the same subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Gateway(usize),
    Worker(usize),
    Servers,
    Everything,
    Redis,
    Postgres,
    Link(Link),
}

impl Fault {
    fn subject(self) -> Subject {
        match self {
            Fault::KillGateway(index)
            | Fault::StopGateway(index)
            | Fault::GatewayClock(index, _)
            | Fault::StalledLog(index) => Subject::Gateway(index),
            Fault::Restore => Subject::Everything,
            Fault::KillWorker(index) | Fault::StopWorker(index) | Fault::WorkerClock(index, _) => {
                Subject::Worker(index)
            }
            Fault::RollingDeploy => Subject::Servers,
            Fault::RedisEmpty | Fault::RedisCrash | Fault::RedisFailover => Subject::Redis,
            Fault::PostgresCrash | Fault::PostgresReadOnly | Fault::ColumnAltered => Subject::Postgres,
            Fault::Cut(link)
            | Fault::CutUp(link)
            | Fault::CutDown(link)
            | Fault::Slow(link)
            | Fault::Reset(link)
            | Fault::Tear(link) => Subject::Link(link),
        }
    }

    fn may_go_with(self, other: Fault) -> bool {
        let (a, b) = (self.subject(), other.subject());
        let is_server = |subject| matches!(subject, Subject::Gateway(_) | Subject::Worker(_) | Subject::Servers);
        let deploys = |subject| subject == Subject::Servers;
        let alone = |subject| subject == Subject::Everything;
        let excludes = |one, other| alone(one) || deploys(one) && is_server(other);
        a != b && !excludes(a, b) && !excludes(b, a)
    }
}

/// One or two faults at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The quiet time before it.
    pub pause: Duration,
    pub faults: Vec<Fault>,
    /// How long it lasts.
    pub hold: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        write!(f, "{} for {:.1} s", names.join(" and "), self.hold.as_secs_f64())
    }
}

/// The endless sequence of a seed.
pub struct Sequence {
    rng: StdRng,
    gateways: usize,
    workers: usize,
    /// The kinds that have to occur before any occurs again.
    kinds: Vec<u8>,
    pairs: bool,
}

const KINDS: u8 = 21;
/// The most that clocks may differ.
const CLOCK_OFFSET_SECONDS: i64 = 60;

impl Sequence {
    /// With `pairs`, some steps are two faults at once.
    pub fn new(seed: u64, gateways: usize, workers: usize, pairs: bool) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), gateways, workers, kinds: Vec::new(), pairs }
    }

    /// Returns a kind, and a fault of that kind.
    fn fault(&mut self) -> (u8, Fault) {
        if self.kinds.is_empty() {
            self.kinds = (0..KINDS).collect();
        }
        let kind = self.kinds.swap_remove(self.rng.random_range(0..self.kinds.len()));
        let (gateway, worker) = (self.rng.random_range(0..self.gateways), self.rng.random_range(0..self.workers));
        let link = [Link::GatewayRedis, Link::WorkerRedis, Link::WorkerPostgres, Link::Clients(gateway)]
            [self.rng.random_range(0..4)];
        let offset = self.rng.random_range(-CLOCK_OFFSET_SECONDS..=CLOCK_OFFSET_SECONDS);
        let fault = match kind {
            0 => Fault::KillGateway(gateway),
            1 => Fault::KillWorker(worker),
            2 => Fault::StopGateway(gateway),
            3 => Fault::StopWorker(worker),
            4 => Fault::RollingDeploy,
            5 => Fault::RedisEmpty,
            6 => Fault::RedisCrash,
            7 => Fault::PostgresCrash,
            8 => Fault::Cut(link),
            9 => Fault::CutUp(link),
            10 => Fault::CutDown(link),
            11 => Fault::Slow(link),
            12 => Fault::Reset(link),
            13 => Fault::GatewayClock(gateway, offset),
            14 => Fault::WorkerClock(worker, offset),
            15 => Fault::RedisFailover,
            16 => Fault::PostgresReadOnly,
            17 => Fault::ColumnAltered,
            18 => Fault::StalledLog(gateway),
            19 => Fault::Restore,
            _ => Fault::Tear(link),
        };
        (kind, fault)
    }
}

impl Iterator for Sequence {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (_, first) = self.fault();
        let mut faults = vec![first];
        if self.rng.random_bool(0.25) {
            let (kind, second) = self.fault();
            match self.pairs && first.may_go_with(second) {
                true => faults.push(second),
                false => self.kinds.push(kind),
            }
        }
        let pause = Duration::from_millis(self.rng.random_range(200..2_500));
        // Often short; sometimes longer than the leases and the time that a command waits.
        let hold = Duration::from_millis(if self.rng.random_bool(0.3) {
            self.rng.random_range(3_000..7_000)
        } else {
            self.rng.random_range(100..3_000)
        });
        Some(Step { pause, faults, hold })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence_and_every_kind_comes() {
        let steps = |seed| Sequence::new(seed, 2, 2, true).take(40).collect::<Vec<Step>>();
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
        let kinds: std::collections::HashSet<_> =
            steps(7).iter().flat_map(|step| step.faults.clone()).map(|fault| std::mem::discriminant(&fault)).collect();
        assert_eq!(kinds.len(), usize::from(KINDS));
        assert!(steps(7).iter().any(|step| step.faults.len() == 2));
    }

    #[test]
    fn two_at_once_concern_different_parts() {
        assert!(!Fault::KillWorker(0).may_go_with(Fault::StopWorker(0)));
        assert!(Fault::KillWorker(0).may_go_with(Fault::StopWorker(1)));
        assert!(!Fault::RollingDeploy.may_go_with(Fault::KillGateway(1)));
        assert!(!Fault::Restore.may_go_with(Fault::Cut(Link::GatewayRedis)));
        assert!(!Fault::RedisEmpty.may_go_with(Fault::RedisCrash));
    }
}
