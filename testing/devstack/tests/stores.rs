//! Real PostgreSQL and Redis: start, crash, restart with data, clean end.

use std::time::{Duration, Instant};

use devstack::{Scratch, testing, wait};

#[test]
fn postgres_keeps_its_data_over_kill_9() {
    let scratch = Scratch::new("pg").unwrap();
    let mut postgres = testing::start_postgres(&scratch).unwrap();
    let first_pid = postgres.pid().unwrap();
    assert!(postgres.url("chat").starts_with("postgres://chat:"));
    assert!(postgres.create_database("Bad;name").is_err());
    assert_eq!(postgres.create_database("chat").unwrap(), postgres.url("chat"));
    postgres.create_database("chat").unwrap();
    postgres.query("chat", "create table t (n int); insert into t values (42)").unwrap();

    postgres.kill().unwrap();
    assert!(!postgres.is_alive());
    assert!(postgres.query("chat", "select 1").is_err());
    postgres.start().unwrap();
    assert_ne!(postgres.pid().unwrap(), first_pid);
    assert_eq!(postgres.query("chat", "select n from t").unwrap(), "42");

    postgres.restart().unwrap();
    assert_eq!(postgres.query("chat", "select n from t").unwrap(), "42");
    let error = postgres.query("chat", "select nonsense").unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    postgres.stop().unwrap();
    assert!(!scratch.dir().join("postgres.pid").exists());
}

#[test]
fn redis_comes_back_and_can_lose_everything() {
    let scratch = Scratch::new("redis").unwrap();
    let mut redis = testing::start_redis(&scratch).unwrap();
    assert_eq!(redis.command(&["SET", "k", "v"]).unwrap(), "OK");
    redis.flush().unwrap();
    assert_eq!(redis.command(&["GET", "k"]).unwrap(), "");
    let pid = redis.pid().unwrap();
    redis.kill().unwrap();
    assert!(redis.command(&["PING"]).is_err());
    redis.start().unwrap();
    assert_ne!(redis.pid().unwrap(), pid);
    redis.command(&["SET", "k", "v"]).unwrap();
    redis.restart_empty().unwrap();
    assert_eq!(redis.command(&["GET", "k"]).unwrap(), "");
    redis.stop().unwrap();
    assert!(!redis.is_alive());
}

#[test]
fn a_durable_redis_keeps_acknowledged_writes_over_kill_9() {
    let scratch = Scratch::new("aof").unwrap();
    let program = devstack::Programs::find().unwrap().redis_server;
    let port = devstack::ports::free_one().unwrap();
    let mut redis =
        devstack::Redis::open(&program, scratch.dir(), port, "secret", devstack::Durability::Durable).unwrap();
    redis.start().unwrap();
    redis.command(&["SET", "k", "v"]).unwrap();
    redis.kill().unwrap();
    redis.start().unwrap();
    assert_eq!(redis.command(&["GET", "k"]).unwrap(), "v");
    // A second handle, as another process would create it, finds the same server.
    let mut again =
        devstack::Redis::open(&program, scratch.dir(), port, "secret", devstack::Durability::Durable).unwrap();
    assert_eq!(again.pid(), redis.pid());
    again.stop().unwrap();
    assert!(!redis.is_alive());
}

#[test]
fn the_shared_instances_serve_fresh_databases() {
    let (one, two) = (testing::fresh_database("Shared!").unwrap(), testing::fresh_database("shared").unwrap());
    assert_ne!(one, two);
    assert!(one.contains("/test_shared_"));
    assert!(testing::redis_url().unwrap().starts_with("redis://"));
}

#[test]
fn dropping_the_scratch_folder_ends_everything() {
    let scratch = Scratch::new("drop").unwrap();
    let dir = scratch.dir().to_path_buf();
    let mut redis = testing::start_redis(&scratch).unwrap();
    let start = Instant::now();
    drop(scratch);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!dir.exists());
    wait::until("redis is gone", Duration::from_secs(1), || Ok((!redis.is_alive()).then_some(()))).unwrap();
}
