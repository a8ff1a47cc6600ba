//! Waiting for a moment more precisely than the runtime's timer, whose step of a millisecond would count as the server's.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;

/// Shorter waits are not worth two system calls.
const SHORTEST: Duration = Duration::from_micros(50);

pub struct Pacer(AsyncFd<OwnedFd>);

impl Pacer {
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "an owned descriptor stays the same one and open, which is what its successor demands"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    /// Returns at `at`, or at once if that has passed. Lets other tasks run in any case.
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left < SHORTEST {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = Itimerspec { it_interval: interval, it_value: value };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
        loop {
            let mut guard = self.0.readable().await?;
            let mut expirations = [0; 8];
            match guard.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                Ok(read) => return read.map(drop),
                Err(_) => continue,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn never_returns_early_and_can_be_used_again() {
        let pacer = Pacer::new().unwrap();
        for us in [0, 20, 300, 2_500] {
            let at = Instant::now() + Duration::from_micros(us);
            pacer.until(at).await.unwrap();
            assert!(Instant::now() + SHORTEST >= at, "{us}");
        }
    }
}
