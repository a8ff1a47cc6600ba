//! Processes: pid files, ends in order and by force, servers on kept ports, and the guardian after a crash.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use devstack::identity::{ProcessId, Signal};
use devstack::process::kill_all;
use devstack::{Fleet, FleetConfig, Kind, Launch, Process, Scratch, Secrets, Stores, wait};

fn shell(scratch: &Scratch, name: &str, script: &str) -> Launch {
    Launch {
        name: name.into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("GIVEN".into(), "yes".into())],
        state_dir: scratch.dir().into(),
        working_dir: scratch.dir().into(),
        user: None,
    }
}

fn wait_for_log(process: &Process, text: &str) {
    wait::until("log line", Duration::from_secs(5), || Ok(process.log_tail(5).contains(text).then_some(()))).unwrap();
}

#[test]
fn ends_in_order_and_removes_its_pid_file() {
    let scratch = Scratch::new("proc").unwrap();
    let script = "trap 'echo bye; exit 0' TERM; echo \"$GIVEN $HOME\"; while :; do sleep 0.05; done";
    let mut process = Process::spawn(&shell(&scratch, "polite", script)).unwrap();
    wait_for_log(&process, "yes");
    assert_eq!(process.log_tail(1), "yes ", "nothing else of our environment");
    assert!(process.stop(Signal::TERM, Duration::from_secs(5)).unwrap());
    assert!(process.log_tail(1).contains("bye"));
    assert!(!scratch.dir().join("polite.pid").exists());
}

#[test]
fn a_deaf_program_is_killed_with_its_group() {
    let scratch = Scratch::new("proc").unwrap();
    let script = "trap '' TERM; sleep 60 & echo child $!; while :; do sleep 0.05; done";
    let mut process = Process::spawn(&shell(&scratch, "deaf", script)).unwrap();
    wait_for_log(&process, "child");
    let child: u32 = process.log_tail(1).trim_start_matches("child ").parse().unwrap();
    let child = ProcessId::of(child).unwrap();
    assert!(!process.stop(Signal::TERM, Duration::from_millis(100)).unwrap());
    wait::until("child gone", Duration::from_secs(5), || Ok((!child.is_alive()).then_some(()))).unwrap();
}

#[test]
fn a_stale_handle_does_not_hide_the_successor() {
    let scratch = Scratch::new("proc").unwrap();
    let launch = shell(&scratch, "one", "sleep 60");
    let mut stale = Process::spawn(&launch).unwrap();
    stale.kill().unwrap();
    let successor = Process::spawn(&launch).unwrap();
    stale.stop(Signal::TERM, Duration::from_secs(1)).unwrap();
    let mut found = Process::attach("one", scratch.dir()).unwrap();
    assert_eq!(found.pid(), successor.pid());
    assert!(found.is_alive());
}

#[test]
fn a_crash_is_told_with_the_end_of_the_log() {
    let scratch = Scratch::new("proc").unwrap();
    let mut process = Process::spawn(&shell(&scratch, "crash", "echo the reason >&2; exit 3")).unwrap();
    process.wait_gone(Duration::from_secs(5)).unwrap();
    let error = process.check_alive().unwrap_err().to_string();
    assert!(error.contains("the reason") && error.contains("exit status: 3"), "{error}");
    assert!(scratch.dir().join("crash.pid").exists(), "a crash leaves its pid file");
    assert!(Process::attach("crash", scratch.dir()).is_none());
}

#[test]
fn a_pid_file_with_a_recycled_pid_finds_no_process() {
    let scratch = Scratch::new("proc").unwrap();
    let process = Process::spawn(&shell(&scratch, "one", "sleep 60")).unwrap();
    let mut again = Process::attach("one", scratch.dir()).unwrap();
    assert_eq!(again.pid(), process.pid());
    // The file of a process that ended long ago, and whose pid now belongs to an unrelated one.
    let mut innocent = Command::new("sleep").arg("60").spawn().unwrap();
    let text = std::fs::read_to_string(scratch.dir().join("one.pid")).unwrap();
    let rest = text.split_once(' ').unwrap().1;
    std::fs::write(scratch.dir().join("two.pid"), format!("{} {rest}", innocent.id())).unwrap();
    let real = ProcessId::of(innocent.id()).unwrap();
    if ProcessId::read(&scratch.dir().join("two.pid")).as_ref() != Some(&real) {
        assert!(Process::attach("two", scratch.dir()).is_none());
        assert_eq!(kill_all(scratch.dir()).unwrap(), ["one"]);
        assert!(innocent.try_wait().unwrap().is_none(), "the innocent process lives");
        assert!(!again.is_alive());
    }
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

/// The test program's own crash: run as a child, which starts a process and is killed.
#[test]
fn the_guardian_ends_everything_after_kill_9() {
    if let Ok(out) = std::env::var("GUARDIAN_TEST_OUT") {
        let scratch = Scratch::new("orphan").unwrap();
        let process = Process::spawn(&shell(&scratch, "orphan", "sleep 60")).unwrap();
        std::fs::write(&out, format!("{} {}", process.pid(), scratch.dir().display())).unwrap();
        loop {
            std::thread::park();
        }
    }
    let scratch = Scratch::new("guard").unwrap();
    let out = scratch.dir().join("out");
    let mut program = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_guardian_ends_everything_after_kill_9"])
        .env("GUARDIAN_TEST_OUT", &out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let line = wait::until("the program started its process", Duration::from_secs(10), || {
        Ok(std::fs::read_to_string(&out).ok().filter(|line| line.contains(' ')))
    })
    .unwrap();
    let (pid, dir) = line.split_once(' ').unwrap();
    let orphan = ProcessId::of(pid.parse().unwrap()).unwrap();
    program.kill().unwrap();
    program.wait().unwrap();
    wait::until("orphan and folder gone", Duration::from_secs(10), || {
        Ok((!orphan.is_alive() && !Path::new(dir).exists()).then_some(()))
    })
    .unwrap();
}

/// A stand-in for a server: answers every connection with 200 and its own environment.
const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write("\n".join(f"{k}={v}" for k, v in os.environ.items()).encode())
host, port = os.environ["BIND_ADDR"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"#;

#[test]
fn a_fleet_keeps_ports_over_crashes_and_pauses() {
    if !devstack::install::has_program("python3") {
        println!("skipped: the stand-in server needs python3");
        return;
    }
    let scratch = Scratch::new("fleet").unwrap();
    let bin_dir = scratch.dir().join("bin");
    std::fs::create_dir(&bin_dir).unwrap();
    for name in ["gateway", "worker"] {
        std::fs::write(bin_dir.join(name), STAND_IN).unwrap();
        std::fs::set_permissions(bin_dir.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut fleet = Fleet::start(FleetConfig {
        bin_dir,
        state_dir: scratch.dir().into(),
        gateways: 2,
        workers: 1,
        stores: Stores { database_url: "postgres://x".into(), redis_url: "redis://x".into() },
        secrets: Secrets::generate().unwrap(),
        env: vec![("LOG_LEVEL".into(), "warn".into())],
        gateway_env: vec![("ONLY_GATEWAYS".into(), "1".into())],
        worker_env: vec![],
    })
    .unwrap();
    let body = |server: &devstack::Server| devstack::http::get(&server.url()).unwrap().body;
    let gateway = body(&fleet.gateways[1]);
    assert!(gateway.contains("ONLY_GATEWAYS=1") && gateway.contains("LOG_LEVEL=warn"));
    assert!(!gateway.contains("DATABASE_URL"));
    assert!(body(&fleet.workers[0]).contains("DATABASE_URL=postgres://x"));

    let second = &mut fleet.gateways[1];
    assert_eq!(second.name(), "gateway-2");
    let (url, pid) = (second.url(), second.pid());
    second.kill().unwrap();
    assert!(!second.is_ready());
    second.start().unwrap();
    second.wait_ready(Duration::from_secs(20)).unwrap();
    assert_eq!(second.url(), url);
    assert_ne!(second.pid(), pid);
    assert!(second.start().is_err(), "it runs already");
    second.pause().unwrap();
    assert!(second.is_alive());
    // A paused server ends, too, when told to.
    assert!(second.stop().unwrap());
    let late = fleet.add(Kind::Gateway).unwrap();
    assert_eq!(late.name(), "gateway-3");
    fleet.stop().unwrap();
    assert!(fleet.servers().all(|server| !server.is_alive()));
}
