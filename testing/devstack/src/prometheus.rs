//! Prometheus as it is deployed, as a private process: the files of `deploy/prometheus`, with other addresses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::Signal;
use crate::process::{Launch, Process};
use crate::{http, ports, wait};

const NAME: &str = "prometheus";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Prometheus {
    program: PathBuf,
    state_dir: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Prometheus {
    /// Takes the configuration and the rules from `deployed`. `targets` are the addresses of each service by the name
    /// under which the configuration looks it up; they are scraped every `interval`. Does not start Prometheus.
    pub fn open(
        program: &Path,
        state_dir: &Path,
        deployed: &Path,
        targets: &BTreeMap<&str, Vec<String>>,
        interval: &str,
    ) -> Result<Self> {
        let home = state_dir.join(NAME);
        std::fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
        let path = deployed.join("prometheus.yml");
        let config = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        std::fs::write(home.join("prometheus.yml"), render(&config, targets, interval)?)?;
        std::fs::copy(deployed.join("rules.yml"), home.join("rules.yml")).context("copying rules.yml")?;
        Ok(Self {
            program: program.to_path_buf(),
            state_dir: state_dir.to_path_buf(),
            port: ports::free_one()?,
            process: None,
        })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn start(&mut self) -> Result<()> {
        let home = self.state_dir.join(NAME);
        let mut process = Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: self.program.clone(),
            args: vec![
                format!("--config.file={}", home.join("prometheus.yml").display()).into(),
                format!("--storage.tsdb.path={}", home.join("data").display()).into(),
                format!("--web.listen-address=127.0.0.1:{}", self.port).into(),
            ],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            state_dir: self.state_dir.clone(),
            working_dir: home,
            user: None,
        })?;
        wait::until("Prometheus is ready", START_TIMEOUT, || {
            process.check_alive()?;
            let answer = http::get(&format!("{}/-/ready", self.url()));
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

    /// The JSON of an answer of the HTTP API: `/api/v1/PATH` with parameters. Errors are returned as they are, too.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        Ok(http::get(&format!("{}/api/v1/{path}?{}", self.url(), query.join("&")))?.body)
    }
}

/// Replaces look-ups by name with fixed addresses.
fn render(config: &str, targets: &BTreeMap<&str, Vec<String>>, interval: &str) -> Result<String> {
    let mut rendered = String::new();
    for line in config.lines() {
        let (indent, text) = line.split_at(line.len() - line.trim_start().len());
        if text == "dns_sd_configs:" {
            rendered += &format!("{indent}static_configs:\n");
        } else if let Some((name, _)) = text.strip_prefix("- {names: [").and_then(|rest| rest.split_once(']')) {
            let Some(addresses) = targets.get(name) else {
                bail!("prometheus.yml looks {name} up, which is not there")
            };
            rendered += &format!("{indent}- targets: [{}]\n", addresses.join(", "));
        } else if let Some(("scrape_interval" | "evaluation_interval", _)) = text.split_once(':') {
            let name = text.split(':').next().unwrap_or_default();
            rendered += &format!("{indent}{name}: {interval}\n");
        } else {
            rendered += &format!("{line}\n");
        }
    }
    let is_used = |addresses: &Vec<String>| addresses.iter().all(|address| rendered.contains(address.as_str()));
    if !targets.values().all(is_used) {
        bail!("prometheus.yml does not ask for all of {targets:?}");
    }
    Ok(rendered)
}

/// Escapes text for a URL's query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_become_addresses() {
        let config = "global:\n  scrape_interval: 10s\nscrape_configs:\n  - job_name: gateway\n    dns_sd_configs:\n      \
            - {names: [gateway], type: A, port: 8080}\n";
        let targets = BTreeMap::from([("gateway", vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()])]);
        let rendered = render(config, &targets, "1s").unwrap();
        assert!(rendered.contains("scrape_interval: 1s") && rendered.contains("    static_configs:\n"), "{rendered}");
        assert!(rendered.contains("      - targets: [127.0.0.1:1, 127.0.0.1:2]\n"), "{rendered}");
        assert!(render(config, &BTreeMap::new(), "1s").is_err());
        assert!(render("global:\n", &targets, "1s").is_err());
    }

    #[test]
    fn parameters_are_escaped() {
        assert_eq!(escaped("up{a=\"b\"} > 1"), "up%7Ba%3D%22b%22%7D%20%3E%201");
    }
}
