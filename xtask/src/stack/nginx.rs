//! nginx in front of the gateways, if it is installed. Development only: plain HTTP on loopback.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use devstack::identity::Signal;
use devstack::{Launch, Process, http, wait};

pub const NAME: &str = "nginx";
const TEMPLATE: &str = include_str!("nginx.conf");
const STOP_GRACE: Duration = Duration::from_secs(10);

pub struct Nginx {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    gateway_ports: Vec<u16>,
    process: Option<Process>,
}

impl Nginx {
    pub fn open(program: &Path, dir: &Path, port: u16, gateway_ports: &[u16]) -> Self {
        Self {
            program: program.to_path_buf(),
            dir: dir.to_path_buf(),
            port,
            gateway_ports: gateway_ports.to_vec(),
            process: Process::attach(NAME, dir),
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_alive)
    }

    /// Starts it and waits until a request gets through to a gateway.
    pub fn start(&mut self) -> Result<()> {
        let home = self.dir.join(NAME);
        std::fs::create_dir_all(&home)?;
        let config = home.join("nginx.conf");
        std::fs::write(&config, self.config()).with_context(|| format!("writing {}", config.display()))?;
        let mut process = Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: self.program.clone(),
            args: vec!["-p".into(), home.clone().into(), "-c".into(), config.into()],
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/bin".into())],
            state_dir: self.dir.clone(),
            working_dir: home,
            user: None,
        })?;
        wait::until("nginx passes requests on", Duration::from_secs(15), || {
            crate::interrupt::check()?;
            process.check_alive()?;
            let answer = http::get(&format!("{}/live", self.url()));
            Ok(answer.is_ok_and(|response| response.status == 200).then_some(()))
        })?;
        self.process = Some(process);
        Ok(())
    }

    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, STOP_GRACE)?;
        }
        Ok(())
    }

    fn config(&self) -> String {
        let servers: String = self
            .gateway_ports
            .iter()
            .map(|port| format!("        server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;\n"))
            .collect();
        // Its workers must reach their folder for temporary files, which may be below root's home.
        let user = if is_root() { "user root;" } else { "" };
        TEMPLATE
            .replace("{{user}}", user)
            .replace("{{port}}", &self.port.to_string())
            .replace("{{servers}}", servers.trim_end())
    }
}

fn is_root() -> bool {
    devstack::user::unprivileged().is_ok_and(|user| user.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled() {
        let config = Nginx::open(Path::new("nginx"), Path::new("/x"), 1234, &[5, 6]).config();
        assert!(!config.contains("{{"), "{config}");
        assert!(config.contains("listen 127.0.0.1:1234") && config.contains("server 127.0.0.1:6 "));
    }
}
