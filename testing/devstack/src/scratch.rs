//! A temporary folder for a test, and the certainty that what was started in it ends with the test program.
//!
//! A guardian, a small shell, waits on a pipe that only the test program holds open: however that program ends, by a
//! panic, Ctrl-C or kill -9, the pipe closes, and the guardian kills what the pid files name and removes the folder.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

const GUARDIAN: &str = r#"
cat >/dev/null
for file in "$1"/*.pid; do
  read -r pid start _ 2>/dev/null <"$file" || continue
  alive() { [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)" = "$start" ]; }
  alive || continue
  case "$file" in */postgres.pid) kill -QUIT "$pid" ;; */nginx.pid) kill -TERM "$pid" ;; *) kill -KILL "$pid" ;; esac
  for _ in 1 2 3 4 5 6 7 8 9 10; do alive || break; sleep 0.2; done
  alive && kill -KILL "$pid"
done
[ -L "$1/postgres" ] && rm -rf "$(readlink -f "$1/postgres")"
rm -rf "$1"
"#;

#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    guardian: Child,
}

impl Scratch {
    /// `label` is for people who look into the temporary folder.
    pub fn new(label: &str) -> Result<Self> {
        let random = crate::secrets::hex(&crate::secrets::random::<6>()?);
        let dir = std::env::temp_dir().join(format!("chat-{label}-{}-{random}", std::process::id()));
        std::fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let guardian = Command::new("/bin/sh")
            .args(["-c", GUARDIAN, "sh"])
            .arg(&dir)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the guardian of a temporary folder")?;
        Ok(Self { dir, guardian })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = crate::process::kill_all(&self.dir);
        let _ = crate::postgres::remove_state(&self.dir);
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}
