//! Time as the protocol shows it: milliseconds since the epoch, printed as RFC 3339 in UTC. Durations are measured with
//! `std::time::Instant`, not with this.
//!
//! All processes of a fleet use one clock, that of Redis: each measures the offset of its own (`redis::time`), so that
//! a deadline, a grace period or a message's time means the same to all of them, whatever the machines' clocks say.
//! Until a process has measured, it uses its machine's clock.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The current time, by the fleet's clock.
    pub fn now() -> Self {
        match CLOCK.anchor_us.load(Ordering::Relaxed) {
            UNKNOWN => Self::by_machine(),
            anchor_us => Timestamp((anchor_us + micros(CLOCK.started.elapsed())) / 1000),
        }
    }

    /// The current time, by this machine's clock.
    fn by_machine() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since_epoch.as_millis() as i64 + CLOCK.shift_ms.load(Ordering::Relaxed))
    }

    /// This time moved forward by `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(duration.as_millis() as i64))
    }

    /// The time since `earlier`; zero if that is in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    pub fn to_datetime(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Not measured yet.
const UNKNOWN: i64 = i64::MIN;
/// How much the error of a measurement grows per second: clocks drift by far less than this.
const DRIFT_US_PER_SECOND: i64 = 1_000;
/// A clock that moved by more than can be explained, and by this, was set, or it is another machine's.
const JUMP_US: i64 = 1_000_000;

static CLOCK: LazyLock<Clock> = LazyLock::new(|| Clock {
    started: Instant::now(),
    anchor_us: AtomicI64::new(UNKNOWN),
    shift_ms: AtomicI64::new(0),
    measured: Mutex::new(None),
    jumped_at: Mutex::new(None),
});

/// This process's view of the fleet's clock. It runs on the monotonic clock, so that setting the machine's does not move it.
struct Clock {
    started: Instant,
    /// The fleet's time at `started`.
    anchor_us: AtomicI64,
    /// How far the machine's clock is shifted, in tests.
    shift_ms: AtomicI64,
    measured: Mutex<Option<Measured>>,
    /// When the fleet's clock was last found to have moved by itself.
    jumped_at: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy)]
struct Measured {
    anchor_us: i64,
    /// The anchor is wrong by at most this much, at `at`.
    error_us: i64,
    at: Instant,
}

impl Measured {
    fn error_us_at(&self, now: Instant) -> i64 {
        self.error_us + micros(now.duration_since(self.at)) / 1_000_000 * DRIFT_US_PER_SECOND
    }

    /// Whether the clock moved since `before` as no clock does that is left alone.
    fn jumped_since(self, before: Self) -> bool {
        let explained_us = self.error_us + before.error_us_at(self.at);
        (self.anchor_us - before.anchor_us).abs() > explained_us + JUMP_US
    }

    /// Whichever is to be believed: what was measured at present, unless what was measured before is more exact and agrees.
    fn or_before(self, before: Option<Self>) -> Self {
        match before {
            Some(before) => {
                let error_us = before.error_us_at(self.at);
                let agrees = (self.anchor_us - before.anchor_us).abs() <= self.error_us + error_us;
                if agrees && error_us < self.error_us { before } else { self }
            }
            None => self,
        }
    }
}

/// Processes the time that the store reported for some moment between `asked` and `answered`. Returns by how many
/// milliseconds this machine's clock is ahead of the fleet's.
pub fn follow(store_us: i64, asked: Instant, answered: Instant) -> i64 {
    let error_us = micros(answered.duration_since(asked)) / 2;
    let answered_us = micros(answered.duration_since(CLOCK.started));
    let present = Measured { anchor_us: store_us + error_us - answered_us, error_us, at: answered };
    let mut measured = CLOCK.measured.lock();
    if measured.is_some_and(|before| present.jumped_since(before)) {
        *CLOCK.jumped_at.lock() = Some(answered);
    }
    let believed = present.or_before(*measured);
    *measured = Some(believed);
    CLOCK.anchor_us.store(believed.anchor_us, Ordering::Relaxed);
    drop(measured);
    Timestamp::by_machine().0 - Timestamp::now().0
}

/// Whether the fleet's clock was set so lately, as by a failover of Redis to a machine with another clock. A time that was written down
/// before may then seem to be over, or far ahead.
pub fn jumped_within(duration: Duration) -> bool {
    CLOCK.jumped_at.lock().is_some_and(|at| at.elapsed() < duration)
}

/// Makes this machine's clock differ, for tests.
pub fn shift(milliseconds: i64) {
    CLOCK.shift_ms.store(milliseconds, Ordering::Relaxed);
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros() as i64
}

impl Timestamp {
    /// The same text as [`Display`](fmt::Display), without the formatting machinery, since every event has one.
    pub fn rfc3339(self) -> [u8; 24] {
        let time = self.to_datetime();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, digits: usize, mut number: u32| {
            for place in (at..at + digits).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, time.year().unsigned_abs());
        put(5, 2, u8::from(time.month()).into());
        put(8, 2, time.day().into());
        put(11, 2, time.hour().into());
        put(14, 2, time.minute().into());
        put(17, 2, time.second().into());
        put(20, 3, time.millisecond().into());
        text
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(value: OffsetDateTime) -> Self {
        Timestamp((value.unix_timestamp_nanos() / 1_000_000) as i64)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.rfc3339()).unwrap_or_default())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
            "description": "RFC 3339, UTC, milliseconds.",
        })
    }
}

// A string on the wire (JSON), a number between our own processes (postcard).
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Timestamp);
        }
        let text = String::deserialize(deserializer)?;
        OffsetDateTime::parse(&text, &Rfc3339).map(Timestamp::from).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_milliseconds_in_utc() {
        assert_eq!(Timestamp(1_772_356_502_481).to_string(), "2026-03-01T09:15:02.481Z");
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            serde_json::from_str::<Timestamp>("\"2026-03-01T09:15:02.481Z\"").unwrap(),
            Timestamp(1_772_356_502_481)
        );
    }

    #[test]
    fn the_more_exact_measurement_is_believed_while_both_agree() {
        let start = Instant::now();
        let measured =
            |anchor_us, error_us, second| Measured { anchor_us, error_us, at: start + Duration::from_secs(second) };
        let exact = measured(1_000_000, 200, 0);
        let believed = |present: Measured| present.or_before(Some(exact)).anchor_us;
        assert_eq!(believed(measured(1_040_000, 50_000, 1)), 1_000_000, "a slow answer says less");
        assert_eq!(believed(measured(1_000_900, 1_000, 1)), 1_000_900, "the former is no longer as exact");
        assert_eq!(believed(measured(1_400_000, 50_000, 1)), 1_400_000, "the store's clock was set");
        assert_eq!(exact.or_before(None).anchor_us, 1_000_000);
        let jumped = |present: Measured| present.jumped_since(exact);
        assert!(jumped(measured(61_000_000, 200, 1)) && jumped(measured(-59_000_000, 200, 1)));
        assert!(!jumped(measured(1_900_000, 200, 1)), "within a second");
        assert!(!jumped(measured(2_500_000, 2_000_000, 1)), "the answer was slow");
    }

    #[test]
    fn a_process_counts_by_the_store_once_it_has_asked() {
        shift(60_000);
        let machine = Timestamp::by_machine();
        assert!(Timestamp::now().0 - machine.0 < 1_000);
        let asked = Instant::now();
        let store_ms = machine.0 - 60_000;
        let ahead_ms = follow(store_ms * 1000, asked, Instant::now());
        assert!((59_000..=61_000).contains(&ahead_ms), "{ahead_ms}");
        assert!((Timestamp::now().0 - store_ms).abs() < 1_000);
        shift(-60_000);
        assert!((Timestamp::now().0 - store_ms).abs() < 1_000, "setting the machine's clock moves nothing");
    }
}
