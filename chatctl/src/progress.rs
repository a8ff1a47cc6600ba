//! Progress on stderr, one line every few seconds; with a bar if the end is known.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(2);
const BAR_CHARACTERS: u64 = 30;

pub struct Progress {
    what: &'static str,
    count: u64,
    /// 0 if unknown.
    total: u64,
    told: Instant,
}

impl Progress {
    pub fn new(what: &'static str) -> Self {
        Self::with_total(what, 0)
    }

    /// With this total; 0 if unknown.
    pub fn with_total(what: &'static str, total: u64) -> Self {
        Progress { what, count: 0, total, told: Instant::now() }
    }

    pub fn add(&mut self, count: u64) {
        self.count += count;
        if self.told.elapsed() >= INTERVAL {
            self.told = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    fn line(&self) -> String {
        if self.total == 0 {
            return format!("{}: {}", self.what, self.count);
        }
        let done = (self.count * BAR_CHARACTERS / self.total).min(BAR_CHARACTERS) as usize;
        let bar = format!("{:<1$}", "#".repeat(done), BAR_CHARACTERS as usize);
        format!("{}: [{bar}] {} of {}", self.what, self.count, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_where_the_end_is_known() {
        let mut progress = Progress::with_total("rows", 60);
        progress.add(30);
        assert_eq!(progress.line(), "rows: [###############               ] 30 of 60");
        progress.add(90);
        assert_eq!(progress.line(), "rows: [##############################] 120 of 60");
        assert_eq!(Progress::new("rows").line(), "rows: 0");
    }
}
