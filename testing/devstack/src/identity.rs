//! Which process a pid means: pids are recycled, so a pid file also records when the process started and in which boot.
//!
//! Every signal this crate sends goes through here, so we only ever signal processes that we started.

use std::path::Path;

use anyhow::{Context as _, Result};
pub use rustix::process::Signal;
use rustix::process::{Pid, PidfdFlags};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    start_ticks: u64,
    boot_id: String,
}

impl ProcessId {
    /// Returns the process that has this pid now; `None` if there is none, or only a zombie.
    pub fn of(pid: u32) -> Option<Self> {
        let start_ticks = start_ticks_of_living(pid)?;
        Some(Self { pid, start_ticks, boot_id: boot_id() })
    }

    /// Identifies a child that was not waited for yet, so its pid is certainly its own, even if it has already ended.
    pub(crate) fn of_child(child: &std::process::Child) -> Result<Self> {
        let (_, start_ticks) = stat(child.id()).with_context(|| format!("reading /proc/{}/stat", child.id()))?;
        Ok(Self { pid: child.id(), start_ticks, boot_id: boot_id() })
    }

    pub fn is_alive(&self) -> bool {
        start_ticks_of_living(self.pid) == Some(self.start_ticks) && self.boot_id == boot_id()
    }

    /// Sends a signal; false if the process is gone, even if its pid now belongs to another one.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(false);
        };
        // The descriptor pins the process, so that the pid cannot change hands between the check and the signal.
        let pinned = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        if !self.is_alive() {
            return Ok(false);
        }
        let sent = match pinned {
            Ok(descriptor) => rustix::process::pidfd_send_signal(&descriptor, signal),
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => rustix::process::kill_process(pid, signal),
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("sending {signal:?} to process {}", self.pid)),
        }
    }

    /// Returns true if every thread is stopped, which is the case shortly after SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return false;
        };
        let mut states = threads.flatten().filter_map(|thread| parse_stat(&thread.path().join("stat")));
        states.all(|(state, _)| matches!(state, 'T' | 't'))
    }

    /// Kills the rest of the group that this process leads; called only while the leader is ours and not reaped.
    pub(crate) fn kill_group(&self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && self.is_alive()
        {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }

    /// `PID START_TICKS BOOT_ID` on one line.
    pub fn write(&self, path: &Path) -> Result<()> {
        // Renamed into place, so that a reader never sees half a file.
        let partial = path.with_extension(format!("pid.{}", std::process::id()));
        std::fs::write(&partial, format!("{} {} {}\n", self.pid, self.start_ticks, self.boot_id))
            .and_then(|()| std::fs::rename(&partial, path))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Returns `None` if there is no such file or it is not one of ours.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut words = text.split_ascii_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot_id: words.next()?.to_owned(),
        })
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let text = text.trim();
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

fn start_ticks_of_living(pid: u32) -> Option<u64> {
    let (state, start_ticks) = stat(pid)?;
    let is_living = match state {
        // A zombie runs nothing; with a pid 1 that does not reap, it would stay forever. But a process whose first thread
        // has ended looks the same while others still run, and keep its sockets open.
        'Z' => std::fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1),
        state => !matches!(state, 'X' | 'x'),
    };
    is_living.then_some(start_ticks)
}

fn stat(pid: u32) -> Option<(char, u64)> {
    parse_stat(Path::new(&format!("/proc/{pid}/stat")))
}

/// The state's letter and the start time of a process or thread.
fn parse_stat(path: &Path) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(path).ok()?;
    // The program's name is in parentheses and may contain anything, including spaces and parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn round_trips_through_a_file() {
        let scratch = crate::Scratch::new("identity").unwrap();
        let path = scratch.dir().join("me.pid");
        let me = ProcessId::of(std::process::id()).unwrap();
        me.write(&path).unwrap();
        assert_eq!(ProcessId::read(&path), Some(me.clone()));
        assert!(me.is_alive());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ProcessId::read(&path), None);
    }

    #[test]
    fn a_stopped_process_is_told_from_a_running_one() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(!id.is_stopped());
        id.signal(Signal::STOP).unwrap();
        let stopped = || Ok(id.is_stopped().then_some(()));
        crate::wait::until("stopped", std::time::Duration::from_secs(10), stopped).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!id.is_stopped());
    }

    #[test]
    fn a_process_lives_as_long_as_any_thread() {
        let script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); \
                      ctypes.CDLL(None).pthread_exit(None)";
        let mut child = Command::new("python3").args(["-c", script]).spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let first_ended = || Ok(stat(id.pid).is_some_and(|(state, _)| state == 'Z').then_some(()));
        crate::wait::until("the first thread ended", std::time::Duration::from_secs(10), first_ended).unwrap();
        assert!(id.is_alive());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        crate::wait::until("gone", std::time::Duration::from_secs(10), || Ok((!id.is_alive()).then_some(()))).unwrap();
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_recycled_pid_is_never_signalled() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let real = ProcessId::of(child.id()).unwrap();
        let recycled = ProcessId { start_ticks: real.start_ticks - 1, ..real.clone() };
        let other_boot = ProcessId { boot_id: "another".into(), ..real.clone() };
        assert!(!recycled.signal(Signal::KILL).unwrap());
        assert!(!other_boot.signal(Signal::KILL).unwrap());
        recycled.kill_group();
        assert!(child.try_wait().unwrap().is_none());
        assert!(real.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!real.is_alive());
        assert!(!real.signal(Signal::KILL).unwrap());
    }
}
