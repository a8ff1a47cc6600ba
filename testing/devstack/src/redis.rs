//! A private Redis on a loopback port, with a password, and the few commands a harness needs.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::identity::Signal;
use crate::process::{Launch, Process};
use crate::{Durability, wait};

const NAME: &str = "redis";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(20);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_REPLY_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    state_dir: PathBuf,
    port: u16,
    password: String,
    durability: Durability,
    /// Set if it is a node of a cluster.
    cluster: Option<ClusterNode>,
    process: Option<Process>,
}

#[derive(Debug)]
struct ClusterNode {
    bus_port: u16,
    timeout: Duration,
}

impl Redis {
    /// Finds the server if it is running; does not start it. With `Durable` the append-only file is synced every
    /// second.
    pub fn open(program: &Path, state_dir: &Path, port: u16, password: &str, durability: Durability) -> Result<Self> {
        let dir = state_dir.join(NAME);
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self {
            program: program.to_path_buf(),
            state_dir: state_dir.to_path_buf(),
            port,
            password: password.to_owned(),
            durability,
            cluster: None,
            process: Process::attach(NAME, state_dir),
        })
    }

    /// Makes it start as a node of a cluster, which the others consider dead after `timeout`.
    #[must_use]
    pub fn in_cluster(self, bus_port: u16, timeout: Duration) -> Self {
        Self { cluster: Some(ClusterNode { bus_port, timeout }), ..self }
    }

    /// Where the other nodes of its cluster reach it.
    pub fn bus_port(&self) -> Option<u16> {
        self.cluster.as_ref().map(|node| node.bus_port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// Returns the same URL with another port, such as a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("redis://default:{}@127.0.0.1:{port}/0", self.password)
    }

    pub fn is_alive(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_alive)
    }

    /// Starts it unless it runs, and waits until it has loaded its data and answers.
    pub fn start(&mut self) -> Result<()> {
        if !self.is_alive() {
            self.process = Some(self.spawn()?);
        }
        wait::until("Redis answers", START_TIMEOUT, || {
            if let Some(process) = &mut self.process {
                process.check_alive()?;
            }
            Ok(self.command(&["PING"]).is_ok_and(|reply| reply == "PONG").then_some(()))
        })
    }

    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, STOP_GRACE)?;
        }
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.process {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// kill -9, and a start with everything lost.
    pub fn restart_empty(&mut self) -> Result<()> {
        self.kill()?;
        let _ = std::fs::remove_dir_all(self.dir());
        self.start()
    }

    /// Forgets all data without a restart.
    pub fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).map(drop)
    }

    /// SIGSTOP: it exists and holds its connections, but does nothing.
    pub fn pause(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::pause)
    }

    pub fn resume(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::resume)
    }

    /// Runs one command on a connection of its own. A nil is the empty string; arrays are not understood.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        command(self.port, &self.password, words)
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    fn dir(&self) -> PathBuf {
        self.state_dir.join(NAME)
    }

    fn spawn(&self) -> Result<Process> {
        let dir = self.dir();
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("redis.conf");
        // A file, not arguments: `ps` would show the password.
        let _ = std::fs::remove_file(&config);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&config)
            .and_then(|mut file| file.write_all(self.config().as_bytes()))
            .with_context(|| format!("writing {}", config.display()))?;
        Process::spawn(&Launch {
            name: NAME.to_owned(),
            program: self.program.clone(),
            args: vec![config.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C".into())],
            state_dir: self.state_dir.clone(),
            working_dir: dir,
            user: None,
        })
    }

    fn config(&self) -> String {
        let persistence = match self.durability {
            Durability::Durable => "appendonly yes\nappendfsync everysec",
            Durability::Fast => "appendonly no",
        };
        let cluster = self.cluster.as_ref().map_or_else(String::new, |node| {
            let (bus_port, timeout_ms) = (node.bus_port, node.timeout.as_millis());
            // A node that is alone would not learn its address from the others.
            format!(
                "cluster-enabled yes\ncluster-port {bus_port}\ncluster-node-timeout {timeout_ms}\n\
                 cluster-announce-ip 127.0.0.1\n"
            )
        });
        format!(
            "bind 127.0.0.1\nport {}\nprotected-mode yes\nrequirepass {}\ndaemonize no\ndir .\nsave \"\"\n{persistence}\n\
             maxmemory-policy noeviction\nmasterauth {}\nrepl-diskless-sync-delay 0\n{cluster}",
            self.port, self.password, self.password
        )
    }
}

pub(crate) fn command(port: u16, password: &str, words: &[&str]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to Redis")?;
    stream.set_read_timeout(Some(COMMAND_TIMEOUT))?;
    stream.set_write_timeout(Some(COMMAND_TIMEOUT))?;
    stream.write_all(&[encode(&["AUTH", password]), encode(words)].concat())?;
    let mut reader = BufReader::new(stream.take(MAX_REPLY_BYTES));
    read_reply(&mut reader).context("AUTH")?;
    read_reply(&mut reader).with_context(|| format!("{words:?}"))
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// The elements of an array are joined by line breaks.
fn read_reply(reader: &mut dyn std::io::BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", rest)) => Ok(rest.to_owned()),
        Some(("-", rest)) => bail!("{rest}"),
        Some(("$", "-1")) => Ok(String::new()),
        Some(("$", length)) => {
            let length: u64 = length.parse().context("length of a reply")?;
            let mut bytes = Vec::new();
            reader.take(length.saturating_add(2)).read_to_end(&mut bytes)?;
            bytes.truncate(usize::try_from(length)?);
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(("*", count)) => {
            let count: usize = count.parse().context("length of an array")?;
            let elements: Vec<String> = (0..count).map(|_| read_reply(reader)).collect::<Result<_>>()?;
            Ok(elements.join("\n"))
        }
        _ => bail!("unexpected reply {line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kinds_of_replies() {
        let read = |text: &str| read_reply(&mut BufReader::new(text.as_bytes()));
        assert_eq!(read("+PONG\r\n").unwrap(), "PONG");
        assert_eq!(read(":12\r\n").unwrap(), "12");
        assert_eq!(read("$5\r\na\r\nbc\r\n").unwrap(), "a\r\nbc");
        assert_eq!(read("$-1\r\n").unwrap(), "");
        assert_eq!(read("*2\r\n$1\r\na\r\n:1\r\n").unwrap(), "a\n1");
        assert_eq!(read("*0\r\n").unwrap(), "");
        assert!(read("-LOADING busy\r\n").unwrap_err().to_string().contains("LOADING"));
        assert!(read("").is_err());
    }
}
