//! nginx as it is deployed in front of two gateways: TLS, stickiness, the clients' addresses, reloads and rolling restarts.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use devstack::identity::Signal;
use devstack::{Launch, Process, http, wait};
use e2e::{Deployment, Front, Options, Talk, repository};
use serde_json::{Value, json};

const SERVED_WITHIN: Duration = Duration::from_secs(60);

pub fn behind_nginx() -> Options {
    Options::default().with("TRUSTED_PROXIES", "127.0.0.1")
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, last).into()
}

/// Open connections of each gateway.
fn connections(deployment: &Deployment) -> Result<Vec<i64>> {
    let of_gateway = |gateway: &devstack::Server| {
        let health: Value = serde_json::from_str(&http::get(&format!("{}/health", gateway.url()))?.body)?;
        health["connections"]["active"].as_i64().context("active connections")
    };
    deployment.fleet.gateways.iter().map(of_gateway).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_stick_to_a_gateway_under_their_own_address() -> Result<()> {
    let options = behind_nginx().with("MAX_CONNECTIONS_PER_IP", "3");
    let deployment = Deployment::start("front", options)?;
    let front = Front::start(&deployment)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;

    let mut at_home = front.login(&alice, address(1)).await?;
    let mut at_work = front.login(&bob, address(2)).await?;
    at_home
        .request_ok(json!({"type": "send_private_message", "recipientId": bob.id, "content": "through TLS"}))
        .await?;
    let message = at_work.expect("new_message", |_| true, SERVED_WITHIN).await?;
    ensure!(message["content"] == "through TLS", "{message}");

    let mut used = BTreeSet::new();
    let mut open = Vec::new();
    for client in 10..40 {
        let mut gateways = BTreeSet::new();
        for _ in 0..3 {
            let before = connections(&deployment)?;
            open.push(front.connect().source(address(client)).open().await?);
            let after = connections(&deployment)?;
            gateways.insert(before.iter().zip(&after).position(|(before, after)| before != after));
        }
        ensure!(gateways.len() == 1, "{client} was on {gateways:?}");
        used.extend(gateways);
    }
    ensure!(used.len() == 2, "all clients are on {used:?}");

    // The limit is for the client's address, not for nginx's, and no header that a client sends changes that.
    for forged in [None, Some("9.9.9.9"), Some("127.0.0.1")] {
        let connect = front.connect().source(address(10));
        let connect = forged.iter().fold(connect, |connect, forged| connect.forwarded_for(forged));
        match connect.open().await {
            Err(client::Error::Refused { event, .. }) if event["code"] == "MAX_CONNECTIONS_EXCEEDED" => {}
            other => bail!("a fourth connection with {forged:?}: {other:?}"),
        }
    }
    front.connect().source(address(50)).open().await.context("from an address without connections")?;

    for path in ["/metrics", "/metrics/"] {
        match front.connect_to(path).open().await {
            Err(client::Error::Http { status: 404, .. }) => {}
            other => bail!("{path} is for Prometheus only: {other:?}"),
        }
    }
    for path in ["/live", "/ready"] {
        match front.connect_to(path).source(address(9)).open().await {
            Err(client::Error::Http { status: 403, .. }) => {}
            other => bail!("{path} is for probes only: {other:?}"),
        }
    }
    let plain = http::get(&format!("{}/anything", front.nginx.http_url()))?;
    ensure!(plain.status == 308, "plain HTTP is sent over to TLS: {plain:?}");
    Ok(())
}

async fn talking(label: &str, options: Options) -> Result<(Deployment, Front, Talk)> {
    let deployment = Deployment::start(label, options)?;
    let front = Front::start(&deployment)?;
    let [alice, bob] = deployment.users(["alice", "bob"])?;
    let talk =
        Talk::start(alice, bob, vec![front.connect().source(address(1))], vec![front.connect().source(address(2))]);
    talk.progress(50).await.context("before anything happens")?;
    Ok((deployment, front, talk))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_nginx_loses_nothing_and_cuts_nobody() -> Result<()> {
    let (deployment, mut front, talk) = talking("reload", behind_nginx()).await?;
    let carol = deployment.user("carol")?;
    let mut quiet = front.login(&carol, address(3)).await?;
    for reload in 0..3 {
        front.nginx.reload()?;
        // Somebody new, through the new workers.
        front.login(&carol, address(4)).await.with_context(|| format!("after reload {reload}"))?;
        talk.progress(50).await.with_context(|| format!("after reload {reload}"))?;
    }
    quiet.request_ok(json!({"type": "ping"})).await.context("a connection from before the reloads")?;
    talk.finish(&deployment).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_gateways_behind_nginx_loses_nothing() -> Result<()> {
    let options = behind_nginx().with("DRAIN_WINDOW", "1s");
    let (mut deployment, _front, talk) = talking("rolling", options).await?;
    for gateway in 0..2 {
        let server = &mut deployment.fleet.gateways[gateway];
        ensure!(server.stop()?, "gateway {gateway} had to be killed");
        talk.progress(50).await.with_context(|| format!("without gateway {gateway}"))?;
        let server = &mut deployment.fleet.gateways[gateway];
        server.start()?;
        server.wait_ready(SERVED_WITHIN)?;
        talk.progress(50).await.with_context(|| format!("with gateway {gateway} back"))?;
    }
    talk.finish(&deployment).await?;
    Ok(())
}

/// The deployed script with nginx below it, where the look-up of `gateways` returns the contents of the file `answer`.
pub fn by_script(deployment: &Deployment, front: &Front, answer: &Path, options: &[(&str, &str)]) -> Result<Process> {
    let folder = deployment.logs();
    let home = folder.join("nginx");
    let script = std::fs::read_to_string(repository("deploy/nginx/nginx.sh"))?;
    ensure!(script.contains("home=/tmp/nginx\n"), "the script's folder has another name");
    let script = script.replace("home=/tmp/nginx\n", &format!("home={}\n", home.display()));
    std::fs::write(folder.join("nginx.sh"), script)?;
    let bin = folder.join("bin");
    std::fs::create_dir(&bin)?;
    std::fs::write(
        bin.join("getent"),
        format!("#!/bin/sh\n[ \"$1 $2\" = 'ahostsv4 gateways' ] && cat '{}'\n", answer.display()),
    )?;
    std::fs::set_permissions(bin.join("getent"), std::fs::Permissions::from_mode(0o755))?;

    let port = deployment.fleet.gateways[0].spec().port;
    let mut env: Vec<(OsString, OsString)> = vec![
        ("PATH".into(), format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()).into()),
        ("GATEWAY_HOST".into(), "gateways".into()),
        ("GATEWAY_PORT".into(), port.to_string().into()),
        ("REFRESH_SECONDS".into(), "0.2".into()),
        ("DRAIN_STEP_SECONDS".into(), "0.2".into()),
        ("NGINX_CONF".into(), front.nginx.config_path().into()),
    ];
    env.extend(options.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    Process::spawn(&Launch {
        name: "nginx-sh".to_owned(),
        program: "/bin/sh".into(),
        args: vec![folder.join("nginx.sh").into()],
        env,
        state_dir: folder.to_owned(),
        working_dir: home,
        user: None,
    })
}

/// Runs the deployed script with a real nginx, and a file as the result of look-ups.
#[test]
fn the_list_of_gateways_follows_the_name() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..behind_nginx() };
    let deployment = Deployment::start("follow", options)?;
    let mut front = Front::start(&deployment)?;
    front.nginx.stop()?;
    let folder = deployment.logs();
    let home = folder.join("nginx");

    let answer = folder.join("addresses");
    let port = deployment.fleet.gateways[0].spec().port;
    std::fs::write(&answer, "127.0.0.1 STREAM gateways\n127.0.0.1 DGRAM\n")?;
    let mut process = by_script(&deployment, &front, &answer, &[])?;
    let runtime = tokio::runtime::Runtime::new()?;
    let list = home.join("upstreams.conf");
    // While nginx reloads, processes with the old list and with the new one accept connections.
    let mut until = |what: &str, listed: &str, reachable: bool| {
        wait::until(what, SERVED_WITHIN, || {
            process.check_alive()?;
            let is_listed = std::fs::read_to_string(&list).is_ok_and(|list| list.contains(listed));
            Ok((is_listed && runtime.block_on(front.connect().open()).is_ok() == reachable).then_some(()))
        })
    };
    until("a gateway is reached", "127.0.0.1:", true)?;
    let listed = std::fs::read_to_string(&list)?;
    ensure!(listed.lines().count() == 1 && listed.contains(&format!("server 127.0.0.1:{port} ")), "{listed}");

    // It has moved to an address where nobody listens.
    std::fs::write(&answer, "127.0.0.77 STREAM gateways\n")?;
    until("the gateway is gone", "127.0.0.77:", false)?;
    // A look-up that fails leaves the list as it is.
    std::fs::write(&answer, "127.0.0.1 STREAM gateways\n")?;
    until("it is back", "127.0.0.1:", true)?;
    std::fs::write(&answer, "")?;
    until("it is still reached", "127.0.0.1:", true)?;

    // The end of the script is the end of nginx.
    ensure!(process.stop(Signal::TERM, SERVED_WITHIN)?, "the script did not end");
    ensure!(http::get(&format!("{}/nginx-live", front.nginx.http_url())).is_err(), "nginx is still there");
    Ok(())
}

/// Behind a load balancer that hides the clients' addresses and sends them by the PROXY protocol.
#[test]
fn an_address_told_by_the_proxy_protocol_is_the_clients() -> Result<()> {
    let options = Options { gateways: 1, workers: 1, ..behind_nginx() }.with("IP_RATE_LIMIT", "3");
    let deployment = Deployment::start("proxy-protocol", options)?;
    let mut front = Front::start(&deployment)?;
    front.nginx.stop()?;
    let answer = deployment.logs().join("addresses");
    std::fs::write(&answer, "127.0.0.1 STREAM gateways\n")?;
    let mut process = by_script(&deployment, &front, &answer, &[("PROXY_PROTOCOL_FROM", "127.0.0.1")])?;
    // The status of a request, which counts against its address; "none" when the connection is closed instead.
    const REQUEST: &str = "
import socket, ssl, sys
port, announced = int(sys.argv[1]), sys.argv[2]
try:
    plain = socket.create_connection(('127.0.0.1', port), 5)
    if announced: plain.sendall(f'PROXY TCP4 {announced} 127.0.0.1 1000 443\\r\\n'.encode())
    tls = ssl._create_unverified_context().wrap_socket(plain, server_hostname='localhost')
    tls.sendall(b'GET /none HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n')
    print(tls.recv(4096).split()[1].decode())
except (OSError, IndexError):
    print('none')
";
    let port = front.nginx.url().rsplit_once(':').context("a port")?.1.to_owned();
    let request = |announced: &str| -> Result<String> {
        let mut python = std::process::Command::new("python3");
        let answer = python.args(["-c", REQUEST, &port, announced]).output().context("python3")?;
        Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
    };
    wait::until("a client gets through", SERVED_WITHIN, || {
        process.check_alive()?;
        Ok((request("192.0.2.1")? == "404").then_some(()))
    })?;
    ensure!(request("")? == "none", "a connection without the PROXY protocol is refused");
    let refused = wait::until("the first address used up its requests", SERVED_WITHIN, || {
        let status = request("192.0.2.1")?;
        Ok((status != "404").then_some(status))
    })?;
    ensure!(refused == "429", "{refused}");
    ensure!(request("192.0.2.2")? == "404", "another client counts for itself");
    ensure!(process.stop(Signal::TERM, SERVED_WITHIN)?, "the script did not end");
    Ok(())
}
