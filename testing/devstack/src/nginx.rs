//! nginx as it is deployed, as a private process: the files of `deploy/nginx`, with other ports and folders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::Signal;
use crate::process::{Launch, Process};
use crate::{http, ports, wait};

const NAME: &str = "nginx";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Nginx {
    program: PathBuf,
    state_dir: PathBuf,
    http_port: u16,
    https_port: u16,
    metrics_port: u16,
    config: String,
    /// The line that `nginx.sh` writes for a gateway.
    upstream: String,
    process: Option<Process>,
}

impl Nginx {
    /// Takes the configuration from `deployed` (the folder with `nginx.conf` and `nginx.sh`), and the certificate and its key
    /// from `tls`. Does not start nginx.
    pub fn open(program: &Path, state_dir: &Path, deployed: &Path, tls: &Path) -> Result<Self> {
        let home = state_dir.join(NAME);
        std::fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
        let (http_port, https_port, metrics_port) = (ports::free_one()?, ports::free_one()?, ports::free_one()?);
        let read = |name: &str| {
            let path = deployed.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let config = render(&read("nginx.conf")?, &home, tls, http_port, https_port, metrics_port)?;
        let upstream = upstream_line(&read("nginx.sh")?)?;
        let (program, state_dir) = (program.to_path_buf(), state_dir.to_path_buf());
        Ok(Self { program, state_dir, http_port, https_port, metrics_port, config, upstream, process: None })
    }

    /// `https://localhost:PORT`, the name in the certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.https_port)
    }

    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// The URL that Prometheus would scrape.
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics_port)
    }

    /// The path of the configuration that is used.
    pub fn config_path(&self) -> PathBuf {
        self.home().join("nginx.conf")
    }

    /// Changes one line of the configuration; takes effect at the next start.
    pub fn change_config(&mut self, from: &str, to: &str) -> Result<()> {
        if !self.config.contains(from) {
            bail!("nginx.conf has no `{from}`");
        }
        self.config = self.config.replace(from, to);
        Ok(())
    }

    /// Writes the list of gateways (`address:port`); takes effect at the next start or reload.
    pub fn set_gateways(&self, gateways: &[String]) -> Result<()> {
        let lines: String = gateways.iter().map(|gateway| self.upstream.replace(PLACE, gateway) + "\n").collect();
        let path = self.home().join("upstreams.conf");
        std::fs::write(&path, lines).with_context(|| format!("writing {}", path.display()))
    }

    /// Writes the configuration, starts nginx and waits until it answers.
    pub fn start(&mut self) -> Result<()> {
        std::fs::write(self.config_path(), &self.config)?;
        let mut process = Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: self.program.clone(),
            args: vec!["-c".into(), self.config_path().into(), "-g".into(), "daemon off;".into()],
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/bin".into())],
            state_dir: self.state_dir.clone(),
            working_dir: self.home(),
            user: None,
        })?;
        wait::until("nginx answers", START_TIMEOUT, || {
            process.check_alive()?;
            let answer = http::get(&format!("{}/nginx-live", self.http_url()));
            Ok(answer.is_ok_and(|response| response.status == 204).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Like `nginx -s reload`: new worker processes take over, old ones keep their connections. Waits for the new ones.
    pub fn reload(&mut self) -> Result<()> {
        let before = self.workers()?;
        let Some(process) = &mut self.process else { bail!("nginx was not started") };
        process.signal(Signal::HUP)?;
        wait::until("nginx has new workers", START_TIMEOUT, || {
            Ok(self.workers()?.iter().any(|pid| !before.contains(pid)).then_some(()))
        })
    }

    /// The worker processes, old ones that still have connections included.
    pub fn workers(&self) -> Result<Vec<u32>> {
        let Some(process) = &self.process else { bail!("nginx was not started") };
        let path = format!("/proc/{0}/task/{0}/children", process.pid());
        let children = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Ok(children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }

    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, STOP_GRACE)?;
        }
        Ok(())
    }

    fn home(&self) -> PathBuf {
        self.state_dir.join(NAME)
    }
}

/// The placeholder of the gateway's address in its line.
const PLACE: &str = "$address:$GATEWAY_PORT";

/// Inserts the folders and ports of this machine; everything else stays as deployed.
fn render(config: &str, home: &Path, tls: &Path, http_port: u16, https_port: u16, metrics_port: u16) -> Result<String> {
    let mut rendered = config.to_owned();
    let changes = [
        ("/tmp/nginx", home.display().to_string()),
        ("/etc/chat/tls", tls.display().to_string()),
        ("listen 8080;", format!("listen 127.0.0.1:{http_port};")),
        ("listen 8443 ssl", format!("listen 127.0.0.1:{https_port} ssl")),
        ("listen 9113;", format!("listen 127.0.0.1:{metrics_port};")),
    ];
    for (from, to) in changes {
        if !rendered.contains(from) {
            bail!("nginx.conf has no `{from}`");
        }
        rendered = rendered.replace(from, &to);
    }
    // Started by root, its workers would run as a user who may not enter the temporary folder.
    let is_root = rustix::process::geteuid().is_root();
    Ok(if is_root { format!("user root;\n{rendered}") } else { rendered })
}

/// The line in quotes after `echo` that contains the gateway's placeholder.
fn upstream_line(script: &str) -> Result<String> {
    let quoted = script.lines().filter_map(|line| line.trim().strip_prefix("echo \"")?.split_once('"'));
    let line = quoted.map(|(line, _)| line).find(|line| line.contains(PLACE));
    line.map(str::to_owned).with_context(|| format!("nginx.sh writes no line with {PLACE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_changed_beyond_recognition_is_an_error() {
        let error = render("events {}", Path::new("/x"), Path::new("/y"), 1, 2, 3).unwrap_err();
        assert!(error.to_string().contains("/tmp/nginx"));
        let script = "echo \"a\"\n  echo \"server $address:$GATEWAY_PORT max_fails=1;\"\n";
        assert_eq!(upstream_line(script).unwrap(), "server $address:$GATEWAY_PORT max_fails=1;");
        assert!(upstream_line("echo \"server $host\"").is_err());
    }
}
