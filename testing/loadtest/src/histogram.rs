//! Latencies in microseconds: recorded with three digits, sent between processes as counts, shown in milliseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Anything longer counts as this.
const MAX_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // The bounds are constants that the package accepts.
        Self(Histogram::new_with_bounds(1, MAX_US, DIGITS).unwrap_or_else(|_| unreachable!("constant bounds")))
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.record_us(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us.clamp(1, MAX_US));
    }

    pub fn merge(&mut self, other: &Self) {
        // Fails only for different bounds, and all have the same.
        let _ = self.0.add(&other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn summary(&self) -> Summary {
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            mean: self.0.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.0.max()),
        }
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self.0.iter_recorded();
        serializer.collect_seq(counts.map(|at| (at.value_iterated_to(), at.count_since_last_iteration())))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latencies = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latencies.0.saturating_record_n(value, count);
        }
        Ok(latencies)
    }
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_between_processes() {
        let mut latencies = Latencies::default();
        for us in [1, 150, 150, 7_777, 2_000_000, u64::MAX] {
            latencies.record_us(us);
        }
        let json = serde_json::to_string(&latencies).unwrap();
        let back: Latencies = serde_json::from_str(&json).unwrap();
        let (there, back) = (latencies.summary(), back.summary());
        assert_eq!(there.count, 6);
        for (a, b) in [(there.p50, back.p50), (there.p99, back.p99), (there.max, back.max)] {
            assert!((a - b).abs() <= a * 0.001, "{a} {b}");
        }
        assert!((there.p50 - 0.15).abs() < 0.001);
    }
}
