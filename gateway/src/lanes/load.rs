//! Which lanes take commands, and how many. Two rules: a lane takes nothing while its backlog is too long or too old,
//! which `backlog` finds by looking at Redis; and it takes no more than it can do in the time that commands may wait,
//! judged by how fast this gateway's own commands are answered. The first rule detects a lane that stands still. The
//! second detects a lane that gets more than it can do before its oldest command is old, because the commands behind
//! that one would then be late already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The time between two measurements.
pub const PERIOD: Duration = Duration::from_millis(250);
/// A lane is assumed to do as much as in the best of this many periods: a worker's short pause says nothing about its
/// speed.
const PERIODS: usize = 8;
/// With fewer waiting commands, nothing can be said about a lane's speed.
const ALWAYS_TAKEN: u32 = 64;
/// The longest wait that senders are told.
const MAX_RETRY_SECONDS: u64 = 30;

/// The partitions, followed by the query lane.
#[derive(Debug)]
pub struct LaneLoads {
    lanes: Box<[Lane]>,
    /// How long commands may wait under the second rule.
    longest_wait: Duration,
}

#[derive(Debug)]
struct Lane {
    /// 0 if the backlog is within its bounds, and otherwise the seconds after which to try again.
    refusing: AtomicU32,
    /// This gateway's commands that are waiting for their answers.
    waiting: AtomicU32,
    /// Answers in this period.
    answered: AtomicU32,
    /// How many commands may wait.
    most_waiting: AtomicU32,
}

/// A command's place among the waiting ones, until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    lanes: Arc<LaneLoads>,
    lane: usize,
}

/// What is kept about a lane's past periods.
#[derive(Clone, Copy, Default)]
pub struct Past {
    answered: [u32; PERIODS],
    waiting: u32,
}

impl LaneLoads {
    /// `max_age` is the age of the oldest command at which the first rule applies. The second keeps waits below half of
    /// it, so that the first is left for lanes that stand still.
    pub fn new(partitions: u16, max_age: Duration) -> Arc<Self> {
        let lane = || Lane {
            refusing: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            answered: AtomicU32::new(0),
            most_waiting: AtomicU32::new(u32::MAX),
        };
        Arc::new(LaneLoads { lanes: (0..=partitions).map(|_| lane()).collect(), longest_wait: max_age / 2 })
    }

    /// The index of a partition's lane, or of the query lane.
    fn place(&self, partition: Option<u32>) -> usize {
        let queries = self.lanes.len() - 1;
        partition.map_or(queries, |partition| (partition as usize).min(queries))
    }

    /// The seconds to wait if the lane (a partition, or the query lane) takes no commands.
    pub fn refuses(&self, partition: Option<u32>) -> Option<u32> {
        let lane = &self.lanes[self.place(partition)];
        match lane.refusing.load(Ordering::Relaxed) {
            0 => lane.is_full().then(|| retry_after(self.longest_wait)),
            seconds => Some(seconds),
        }
    }

    /// Takes a place among the lane's waiting commands.
    pub fn enter(self: &Arc<Self>, partition: Option<u32>) -> Waiting {
        let lane = self.place(partition);
        self.lanes[lane].waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { lanes: Arc::clone(self), lane }
    }

    /// Sets the first rule for the lane at this index: the age of its oldest command if it should take nothing.
    pub fn set_refusing(&self, place: usize, age: Option<Duration>) {
        if let Some(lane) = self.lanes.get(place) {
            lane.refusing.store(age.map_or(0, retry_after), Ordering::Relaxed);
        }
    }

    /// The number of lanes that take nothing at the moment.
    pub fn refusing(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.refusing.load(Ordering::Relaxed) > 0 || lane.is_full()).count()
    }

    /// The initial state for `end_period`.
    pub fn past(&self) -> Vec<Past> {
        vec![Past::default(); self.lanes.len()]
    }

    /// Sets the second rule at the end of each period.
    pub fn end_period(&self, past: &mut [Past]) {
        for (lane, past) in self.lanes.iter().zip(past) {
            lane.most_waiting.store(self.most_waiting(lane, past), Ordering::Relaxed);
        }
    }

    fn most_waiting(&self, lane: &Lane, past: &mut Past) -> u32 {
        let answered = lane.answered.swap(0, Ordering::Relaxed);
        let waited = std::mem::replace(&mut past.waiting, lane.waiting.load(Ordering::Relaxed));
        past.answered.rotate_right(1);
        past.answered[0] = answered;
        let most_answered = past.answered.iter().copied().max().unwrap_or(0);
        // Answers come in order: if fewer arrived than were waiting before, some have waited for a whole period.
        // Otherwise many waiting commands are just a burst. The speed of a lane that stands still is unknown.
        if waited <= answered || most_answered == 0 {
            return u32::MAX;
        }
        let periods = self.longest_wait.as_secs_f64() / PERIOD.as_secs_f64();
        ((f64::from(most_answered) * periods) as u32).max(ALWAYS_TAKEN)
    }
}

impl Lane {
    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= self.most_waiting.load(Ordering::Relaxed)
    }
}

impl Waiting {
    /// Records a worker's answer.
    pub fn answered(&self) {
        self.lanes.lanes[self.lane].answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lanes.lanes[self.lane].waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn retry_after(wait: Duration) -> u32 {
    wait.as_secs().clamp(1, MAX_RETRY_SECONDS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Option<u32> = Some(1);

    fn lanes() -> (Arc<LaneLoads>, Vec<Past>) {
        let lanes = LaneLoads::new(2, Duration::from_secs(5));
        let past = lanes.past();
        (lanes, past)
    }

    fn answer(waiting: &mut Vec<Waiting>, count: usize) {
        waiting.drain(..count).for_each(|command| command.answered());
    }

    #[test]
    fn an_overloaded_lane_takes_what_it_does_in_half_the_max_age() {
        let (lanes, mut past) = lanes();
        let mut waiting: Vec<Waiting> = (0..1_000).map(|_| lanes.enter(LANE)).collect();
        lanes.end_period(&mut past);
        assert_eq!(lanes.refuses(LANE), None, "a burst is not an overload");
        answer(&mut waiting, 100);
        lanes.end_period(&mut past);
        // 400 a second for 2.5 seconds.
        assert_eq!(lanes.refuses(LANE), None);
        waiting.extend((0..100).map(|_| lanes.enter(LANE)));
        assert_eq!(lanes.refuses(LANE), Some(2));
        assert_eq!(lanes.refusing(), 1);
        assert_eq!([lanes.refuses(Some(0)), lanes.refuses(None)], [None, None], "others take");
        answer(&mut waiting, 1);
        assert_eq!(lanes.refuses(LANE), None);
    }

    #[test]
    fn a_lane_that_keeps_up_has_no_bound() {
        let (lanes, mut past) = lanes();
        for _ in 0..20 {
            let mut waiting: Vec<Waiting> = (0..500).map(|_| lanes.enter(LANE)).collect();
            assert_eq!(lanes.refuses(LANE), None);
            lanes.end_period(&mut past);
            answer(&mut waiting, 500);
            lanes.end_period(&mut past);
        }
    }

    #[test]
    fn a_pause_keeps_the_bound_of_a_lane_and_a_stop_has_none() {
        let (lanes, mut past) = lanes();
        let mut waiting: Vec<Waiting> = (0..900).map(|_| lanes.enter(LANE)).collect();
        lanes.end_period(&mut past);
        answer(&mut waiting, 80);
        lanes.end_period(&mut past);
        for _ in 1..PERIODS {
            lanes.end_period(&mut past);
            assert_eq!(lanes.refuses(LANE), Some(2), "820 wait where 800 may");
        }
        lanes.end_period(&mut past);
        assert_eq!(lanes.refuses(LANE), None, "a lane that stands still is left to the first rule");
        waiting.clear();
    }

    #[test]
    fn a_few_are_always_taken() {
        let (lanes, mut past) = lanes();
        let mut waiting: Vec<Waiting> = (0..ALWAYS_TAKEN).map(|_| lanes.enter(LANE)).collect();
        lanes.end_period(&mut past);
        answer(&mut waiting, 1);
        lanes.end_period(&mut past);
        assert_eq!(lanes.refuses(LANE), None);
    }

    #[test]
    fn a_lane_rejects_as_long_as_its_backlog_is_too_old() {
        let (lanes, _) = lanes();
        lanes.set_refusing(2, Some(Duration::from_secs(90)));
        assert_eq!([lanes.refuses(LANE), lanes.refuses(None)], [None, Some(30)]);
        lanes.set_refusing(2, None);
        assert_eq!(lanes.refuses(None), None);
    }
}
