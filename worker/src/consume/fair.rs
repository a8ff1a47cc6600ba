//! A fair queue: each user has a bounded number of jobs in progress and a bounded amount of time for them, and waiting
//! users take turns, so that one user's thousand queries delay only that user. It does not know what the jobs are.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use shared::ids::UserId;

/// Owns work for people who are not authenticated yet, such as logins: many people, so not bounded like one user.
const NOBODY: UserId = UserId(0);

/// How many seconds' worth of time may be used at once.
const BURST_SECONDS: u32 = 5;
/// Usage of users who were idle recently is forgotten if there are more than this.
const MIN_USAGES: usize = 1_024;

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub waiting: usize,
    pub running_per_user: usize,
    /// The time for a user's work per second; five times as much may be used at once.
    pub time_per_user: Duration,
    /// How long work may wait because of what its user has running or has used. Gateways close the lane for everybody
    /// when its oldest entry has waited for twice as long.
    pub own_wait: Duration,
}

#[derive(Debug)]
pub struct FairQueue<T> {
    users: HashMap<UserId, Share<T>>,
    /// Users with work that may begin, in the order of their turns; each once.
    turns: VecDeque<UserId>,
    /// Users with work who have used up their time, and until when.
    resting: HashMap<UserId, Instant>,
    usages: HashMap<UserId, Usage>,
    max_usages: usize,
    waiting: usize,
    bounds: Bounds,
}

/// What a user has used beyond what was granted.
#[derive(Clone, Copy, Debug)]
struct Usage {
    used: Duration,
    at: Instant,
}

#[derive(Debug)]
struct Share<T> {
    /// Oldest first, each with the time when it was added.
    waiting: VecDeque<(Instant, T)>,
    running: usize,
}

impl<T> FairQueue<T> {
    pub fn new(bounds: Bounds) -> Self {
        FairQueue {
            users: HashMap::new(),
            turns: VecDeque::new(),
            resting: HashMap::new(),
            usages: HashMap::new(),
            max_usages: MIN_USAGES,
            waiting: 0,
            bounds,
        }
    }

    /// Adds a user's work. If too much is waiting, returns the newest job of the user with the most waiting work, which
    /// must be rejected.
    #[must_use]
    pub fn push(&mut self, user: UserId, work: T, now: Instant) -> Option<T> {
        let share = self.users.entry(user).or_insert_with(|| Share { waiting: VecDeque::new(), running: 0 });
        share.waiting.push_back((now, work));
        self.waiting += 1;
        self.take_turn(user);
        if self.waiting > self.bounds.waiting { self.pop_largest() } else { None }
    }

    /// The next job that may begin, with its user, who must be passed to [`Self::finish`].
    pub fn begin(&mut self, now: Instant) -> Option<(UserId, T)> {
        let rested: Vec<UserId> = self.resting.extract_if(|_, until| *until <= now).map(|(user, _)| user).collect();
        rested.into_iter().for_each(|user| self.take_turn(user));
        loop {
            let user = self.turns.pop_front()?;
            if let Some(until) = self.overdrawn_until(user, now) {
                self.resting.insert(user, until);
                continue;
            }
            let bound = self.bound_at(user, now);
            let share = self.users.get_mut(&user)?;
            if share.running >= bound {
                // The user has another turn when that is done.
                continue;
            }
            let (_, work) = share.waiting.pop_front()?;
            share.running += 1;
            self.waiting -= 1;
            self.take_turn(user);
            return Some((user, work));
        }
    }

    /// When the queue has to be looked at although nothing was added or finished: a user has rested, or work may have
    /// waited for too long.
    pub fn looks_at(&self, now: Instant) -> Option<Instant> {
        let soon = (self.waiting > 0).then(|| now + self.bounds.own_wait / 2);
        self.resting.values().copied().chain(soon).min()
    }

    /// Takes out work that has waited for too long because of its own user; it must be rejected.
    #[must_use]
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let mut expired = Vec::new();
        let bounds: HashMap<UserId, usize> = self.users.keys().map(|user| (*user, self.bound_at(*user, now))).collect();
        for (user, share) in &mut self.users {
            let is_own_doing = self.resting.contains_key(user) || share.running >= bounds[user];
            while *user != NOBODY
                && is_own_doing
                && let Some((_, work)) =
                    share.waiting.pop_front_if(|(since, _)| now.duration_since(*since) > self.bounds.own_wait)
            {
                expired.push(work);
            }
        }
        if !expired.is_empty() {
            self.waiting -= expired.len();
            self.users.retain(|_, share| !share.waiting.is_empty() || share.running > 0);
        }
        expired
    }

    /// Records that a job of the user is done, and how long it took.
    pub fn finish(&mut self, user: UserId, took: Duration, now: Instant) {
        if user != NOBODY {
            self.charge(user, took, now);
        }
        let Some(share) = self.users.get_mut(&user) else { return };
        share.running -= 1;
        if share.waiting.is_empty() && share.running == 0 {
            self.users.remove(&user);
        } else {
            // A user at the bound had no turn.
            self.take_turn(user);
        }
    }

    /// Lets everything begin, however much time its user has used.
    pub fn forgive(&mut self) {
        self.usages.clear();
        let resting: Vec<UserId> = self.resting.drain().map(|(user, _)| user).collect();
        resting.into_iter().for_each(|user| self.take_turn(user));
    }

    fn charge(&mut self, user: UserId, took: Duration, now: Instant) {
        let used = self.used(user, now) + took;
        self.usages.insert(user, Usage { used, at: now });
        if self.usages.len() > self.max_usages {
            let (usages, time) = (&mut self.usages, self.bounds.time_per_user);
            usages.retain(|_, usage| !usage.left(time, now).is_zero());
            self.max_usages = MIN_USAGES.max(2 * usages.len());
        }
    }

    fn used(&self, user: UserId, now: Instant) -> Duration {
        self.usages.get(&user).map_or(Duration::ZERO, |usage| usage.left(self.bounds.time_per_user, now))
    }

    fn overdrawn_until(&self, user: UserId, now: Instant) -> Option<Instant> {
        let time = self.bounds.time_per_user;
        let surplus = self.used(user, now).checked_sub(time * BURST_SECONDS).filter(|surplus| !surplus.is_zero())?;
        Some(now + Duration::from_secs_f64(surplus.as_secs_f64() / time.as_secs_f64()))
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn bound(&self, user: UserId) -> usize {
        if user == NOBODY { usize::MAX } else { self.bounds.running_per_user }
    }

    /// How much of a user's work may be in progress: of one who has used more than a second's worth of time, a single job.
    fn bound_at(&self, user: UserId, now: Instant) -> usize {
        let has_used_much = user != NOBODY && self.used(user, now) > self.bounds.time_per_user;
        if has_used_much { 1 } else { self.bound(user) }
    }

    /// Puts the user at the end of the line, unless the user has nothing to begin or is already in the line.
    fn take_turn(&mut self, user: UserId) {
        let bound = self.bound(user);
        let Some(share) = self.users.get(&user) else { return };
        let has_turn = self.turns.contains(&user) || self.resting.contains_key(&user);
        if !share.waiting.is_empty() && share.running < bound && !has_turn {
            self.turns.push_back(user);
        }
    }

    fn pop_largest(&mut self) -> Option<T> {
        let (user, share) = self.users.iter_mut().max_by_key(|(_, share)| share.waiting.len())?;
        let (user, work) = (*user, share.waiting.pop_back().map(|(_, work)| work));
        if share.waiting.is_empty() {
            self.turns.retain(|turn| *turn != user);
            self.resting.remove(&user);
            if share.running == 0 {
                self.users.remove(&user);
            }
        }
        self.waiting -= usize::from(work.is_some());
        work
    }
}

impl Usage {
    fn left(self, time_per_second: Duration, now: Instant) -> Duration {
        let given = time_per_second.mul_f64(now.saturating_duration_since(self.at).as_secs_f64());
        self.used.saturating_sub(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserId = UserId(1);
    const BOB: UserId = UserId(2);
    const BOUNDS: Bounds = Bounds {
        waiting: 10,
        running_per_user: 2,
        time_per_user: Duration::from_millis(200),
        own_wait: Duration::from_secs(2),
    };

    fn now() -> Instant {
        Instant::now()
    }

    fn queue(alice: usize, max_waiting: usize) -> FairQueue<usize> {
        let mut queue = FairQueue::new(Bounds { waiting: max_waiting, ..BOUNDS });
        for work in 0..alice {
            assert_eq!(queue.push(ALICE, work, now()), None);
        }
        queue
    }

    #[test]
    fn logins_do_not_share_one_bound() {
        let mut queue = FairQueue::new(BOUNDS);
        for work in 0..5 {
            assert_eq!(queue.push(NOBODY, work, now()), None);
        }
        assert_eq!((0..5).filter_map(|_| queue.begin(now())).count(), 5);
        assert_eq!(queue.push(NOBODY, 5, now()), None);
        queue.finish(NOBODY, Duration::ZERO, now());
        assert_eq!(queue.begin(now()), Some((NOBODY, 5)));
    }

    #[test]
    fn work_in_progress_per_user_is_limited() {
        let mut queue = queue(5, 10);
        assert_eq!(
            (queue.begin(now()), queue.begin(now()), queue.begin(now())),
            (Some((ALICE, 0)), Some((ALICE, 1)), None)
        );
        assert_eq!(queue.push(BOB, 7, now()), None);
        assert_eq!((queue.begin(now()), queue.begin(now())), (Some((BOB, 7)), None));
        queue.finish(ALICE, Duration::ZERO, now());
        assert_eq!((queue.begin(now()), queue.begin(now())), (Some((ALICE, 2)), None));
        for _ in 0..2 {
            queue.finish(ALICE, Duration::ZERO, now());
        }
        queue.finish(BOB, Duration::ZERO, now());
        assert_eq!((queue.begin(now()), queue.begin(now()), queue.waiting()), (Some((ALICE, 3)), Some((ALICE, 4)), 0));
        for _ in 0..2 {
            queue.finish(ALICE, Duration::ZERO, now());
        }
        assert!(queue.users.is_empty() && queue.turns.is_empty(), "{queue:?}");
    }

    #[test]
    fn waiting_users_take_turns() {
        let mut queue = queue(3, 10);
        for work in 10..12 {
            assert_eq!(queue.push(BOB, work, now()), None);
        }
        let order: Vec<usize> = std::iter::from_fn(|| queue.begin(now())).map(|(_, work)| work).collect();
        assert_eq!(order, [0, 10, 1, 11]);
    }

    #[test]
    fn a_full_queue_rejects_work_of_the_user_who_filled_it() {
        let mut queue = queue(4, 4);
        assert_eq!(queue.push(BOB, 7, now()), Some(3), "the newest of the one who has most");
        assert_eq!((queue.begin(now()), queue.begin(now())), (Some((ALICE, 0)), Some((BOB, 7))));
    }

    #[test]
    fn a_user_whose_time_is_used_up_rests_and_nobody_else() {
        let mut queue = queue(4, 10);
        let start = now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((ALICE, 0)), Some((ALICE, 1))));
        // A second is granted immediately, so this is half a second too much: two and a half seconds' worth.
        queue.finish(ALICE, Duration::from_millis(1_500), start);
        assert_eq!(queue.push(BOB, 7, now()), None);
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((BOB, 7)), None));
        assert_eq!(queue.resting.values().min(), Some(&after(2_500)));
        queue.finish(ALICE, Duration::ZERO, start);
        assert_eq!((queue.begin(after(2_499)), queue.waiting()), (None, 2));
        assert_eq!((queue.begin(after(2_500)), queue.resting.len()), (Some((ALICE, 2)), 0));
        queue.finish(ALICE, Duration::from_secs(1), after(2_500));
        assert_eq!(queue.begin(after(2_500)), None);
        queue.forgive();
        assert_eq!(queue.begin(after(2_500)), Some((ALICE, 3)));
    }

    #[test]
    fn one_who_used_much_has_one_at_a_time() {
        let mut queue = queue(5, 10);
        let start = now();
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((ALICE, 0)), Some((ALICE, 1))));
        for _ in 0..2 {
            queue.finish(ALICE, Duration::from_millis(150), start);
        }
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((ALICE, 2)), None));
        queue.finish(ALICE, Duration::ZERO, start);
        let rested = start + Duration::from_secs(1);
        assert_eq!((queue.begin(rested), queue.begin(rested)), (Some((ALICE, 3)), Some((ALICE, 4))));
    }

    /// Otherwise the oldest entry of the lane would be theirs, and gateways would close the lane for everybody.
    #[test]
    fn what_waits_too_long_for_its_own_user_is_rejected() {
        let mut queue = queue(4, 10);
        let start = now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        assert_eq!(queue.push(BOB, 7, after(10)), None);
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((ALICE, 0)), Some((BOB, 7))));
        assert_eq!((queue.begin(start), queue.begin(start)), (Some((ALICE, 1)), None));
        assert_eq!(queue.push(BOB, 8, start), None);
        assert_eq!(queue.looks_at(start), Some(after(1_000)));
        assert!(queue.expire(after(1_900)).is_empty());
        assert_eq!(queue.expire(after(2_100)), [2, 3], "only what waits behind its own work");
        assert_eq!((queue.begin(after(2_100)), queue.waiting()), (Some((BOB, 8)), 0));
        for user in [ALICE, ALICE, BOB, BOB] {
            queue.finish(user, Duration::ZERO, after(2_100));
        }
        assert!(queue.users.is_empty() && queue.looks_at(start).is_none(), "{queue:?}");
    }

    #[test]
    fn accounts_that_are_settled_are_forgotten() {
        let mut queue: FairQueue<usize> = FairQueue::new(BOUNDS);
        let start = now();
        for user in 0..10_000 {
            queue.charge(UserId(user + 1), Duration::from_millis(1), start + Duration::from_millis(user as u64));
        }
        assert!(queue.usages.len() <= MIN_USAGES, "{}", queue.usages.len());
    }
}
