//! Work that waits for its turn, fair to users: each has at most so many pieces under way, and those who wait take turns, so that
//! one user's thousand queries hold up that user alone. Knows nothing of what the work is.

use std::collections::{HashMap, VecDeque};

use shared::ids::UserId;

/// Whose work is that of people who have not said who they are, such as logins: many people, and so not bound as one.
const NOBODY: UserId = UserId(0);

#[derive(Debug)]
pub struct FairQueue<T> {
    users: HashMap<UserId, Share<T>>,
    /// Users with work that may begin, in the order of their turns; each once.
    turns: VecDeque<UserId>,
    waiting: usize,
    max_waiting: usize,
    max_running_per_user: usize,
}

#[derive(Debug)]
struct Share<T> {
    waiting: VecDeque<T>,
    running: usize,
}

impl<T> FairQueue<T> {
    pub fn new(max_waiting: usize, max_running_per_user: usize) -> Self {
        FairQueue { users: HashMap::new(), turns: VecDeque::new(), waiting: 0, max_waiting, max_running_per_user }
    }

    /// Adds a user's work. When too much waits, the newest piece of the user with the most waiting work is returned, to be rejected.
    #[must_use]
    pub fn push(&mut self, user: UserId, work: T) -> Option<T> {
        let share = self.users.entry(user).or_insert_with(|| Share { waiting: VecDeque::new(), running: 0 });
        share.waiting.push_back(work);
        self.waiting += 1;
        self.take_turn(user);
        if self.waiting > self.max_waiting { self.pop_largest() } else { None }
    }

    /// The next work that may begin, and whose it is: to be told to [`Self::finish`].
    pub fn begin(&mut self) -> Option<(UserId, T)> {
        let user = self.turns.pop_front()?;
        let share = self.users.get_mut(&user)?;
        let work = share.waiting.pop_front()?;
        share.running += 1;
        self.waiting -= 1;
        self.take_turn(user);
        Some((user, work))
    }

    pub fn finish(&mut self, user: UserId) {
        let bound = self.bound(user);
        let Some(share) = self.users.get_mut(&user) else { return };
        share.running -= 1;
        if share.waiting.is_empty() && share.running == 0 {
            self.users.remove(&user);
        } else if share.running + 1 == bound && !share.waiting.is_empty() {
            // It was at its bound, and so had no turn.
            self.turns.push_back(user);
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn bound(&self, user: UserId) -> usize {
        if user == NOBODY { usize::MAX } else { self.max_running_per_user }
    }

    /// Puts the user at the end of the line, unless it has nothing to begin or is in the line already.
    fn take_turn(&mut self, user: UserId) {
        let bound = self.bound(user);
        let Some(share) = self.users.get(&user) else { return };
        if !share.waiting.is_empty() && share.running < bound && !self.turns.contains(&user) {
            self.turns.push_back(user);
        }
    }

    fn pop_largest(&mut self) -> Option<T> {
        let (user, share) = self.users.iter_mut().max_by_key(|(_, share)| share.waiting.len())?;
        let (user, work) = (*user, share.waiting.pop_back());
        if share.waiting.is_empty() {
            self.turns.retain(|turn| *turn != user);
            if share.running == 0 {
                self.users.remove(&user);
            }
        }
        self.waiting -= usize::from(work.is_some());
        work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    fn queue(alice: usize, max_waiting: usize) -> FairQueue<usize> {
        let mut queue = FairQueue::new(max_waiting, 2);
        for work in 0..alice {
            assert_eq!(queue.push(ALICE, work), None);
        }
        queue
    }

    #[test]
    fn logins_do_not_share_one_bound() {
        let mut queue = FairQueue::new(10, 2);
        for work in 0..5 {
            assert_eq!(queue.push(NOBODY, work), None);
        }
        assert_eq!((0..5).filter_map(|_| queue.begin()).count(), 5);
        assert_eq!(queue.push(NOBODY, 5), None);
        queue.finish(NOBODY);
        assert_eq!(queue.begin(), Some((NOBODY, 5)));
    }

    #[test]
    fn a_user_has_so_much_under_way_and_no_more() {
        let mut queue = queue(5, 10);
        assert_eq!((queue.begin(), queue.begin(), queue.begin()), (Some((ALICE, 0)), Some((ALICE, 1)), None));
        assert_eq!(queue.push(BOB, 7), None);
        assert_eq!((queue.begin(), queue.begin()), (Some((BOB, 7)), None));
        queue.finish(ALICE);
        assert_eq!((queue.begin(), queue.begin()), (Some((ALICE, 2)), None));
        for _ in 0..2 {
            queue.finish(ALICE);
        }
        queue.finish(BOB);
        assert_eq!((queue.begin(), queue.begin(), queue.waiting()), (Some((ALICE, 3)), Some((ALICE, 4)), 0));
        for _ in 0..2 {
            queue.finish(ALICE);
        }
        assert!(queue.users.is_empty() && queue.turns.is_empty(), "{queue:?}");
    }

    #[test]
    fn whoever_waits_takes_turns() {
        let mut queue = queue(3, 10);
        for work in 10..12 {
            assert_eq!(queue.push(BOB, work), None);
        }
        let order: Vec<usize> = std::iter::from_fn(|| queue.begin()).map(|(_, work)| work).collect();
        assert_eq!(order, [0, 10, 1, 11]);
    }

    #[test]
    fn a_full_queue_is_at_the_cost_of_whoever_filled_it() {
        let mut queue = queue(4, 4);
        assert_eq!(queue.push(BOB, 7), Some(3), "the newest of the one who has most");
        assert_eq!((queue.begin(), queue.begin()), (Some((ALICE, 0)), Some((BOB, 7))));
    }
}
