//! The design holds in every interleaving of the model, and each rule is needed: without it some guarantee breaks.

use model::*;
use stateright::{Checker, Model};

/// Every kind of fault, except a loss of Redis together with a crash of a worker, see [`DOUBLE_FAULT`].
const SINGLE_FAULTS: [Budget; 4] = [
    Budget { takeovers: 1, worker_crashes: 1, retries: 1, ..NONE },
    Budget { takeovers: 1, lapses: 1, duplicates: 1, disconnects: 1, ..NONE },
    Budget { redis_losses: 1, retries: 2, disconnects: 1, ..NONE },
    Budget { takeovers: 2, lapses: 1, retries: 1, ..NONE },
];
const DOUBLE_FAULT: Budget = Budget { worker_crashes: 1, redis_losses: 1, retries: 1, disconnects: 1, ..NONE };
const NONE: Budget =
    Budget { takeovers: 0, lapses: 0, worker_crashes: 0, redis_losses: 0, disconnects: 0, duplicates: 0, retries: 0 };

/// Checks every state; returns the properties that are violated.
fn violated(rules: Rules, budget: Budget) -> Vec<&'static str> {
    let checker = Chat { rules, budget }.checker().threads(2).spawn_bfs().join();
    println!("{budget:?}: {} states", checker.unique_state_count());
    let mut violated: Vec<&str> = checker.discoveries().into_keys().filter(|name| *name != ALL_ARRIVES).collect();
    violated.sort_unstable();
    violated
}

/// Checks that this property breaks without the rule, and holds with it, under the same faults.
fn is_needed(without: impl Fn(&mut Rules), budget: Budget, property: &str) {
    let mut rules = Rules::design();
    without(&mut rules);
    let violated = violated(rules, budget);
    assert!(violated.contains(&property), "{property:?} does not need the rule; without it are violated: {violated:?}");
}

#[test]
fn the_design_holds_under_every_kind_of_fault() {
    for budget in SINGLE_FAULTS.into_iter().chain([DOUBLE_FAULT]) {
        assert_eq!(violated(Rules::design(), budget), Vec::<&str>::new(), "{budget:?}");
    }
}

#[test]
fn all_can_arrive() {
    let checker = Chat { rules: Rules::design(), budget: NONE }.checker().spawn_bfs().join();
    checker.assert_any_discovery(ALL_ARRIVES);
}

#[test]
fn losing_redis_in_a_crash_needs_comparison_and_gap_detection() {
    is_needed(|rules| rules.compares_last = false, DOUBLE_FAULT, DELIVERED);
    is_needed(|rules| rules.notices_jumps = false, DOUBLE_FAULT, ORDERED_SEEN);
    // A single fault does not.
    for budget in SINGLE_FAULTS {
        let rules = Rules { compares_last: false, notices_jumps: false, ..Rules::design() };
        assert_eq!(violated(rules, budget), Vec::<&str>::new(), "{budget:?}");
    }
}

#[test]
fn fencing_is_needed() {
    is_needed(|rules| rules.fences = false, Budget { takeovers: 1, ..NONE }, FENCED);
}

#[test]
fn recognising_repetitions_is_needed() {
    is_needed(|rules| rules.recognises = false, Budget { retries: 1, ..NONE }, ONCE);
    is_needed(|rules| rules.recognises = false, Budget { worker_crashes: 1, ..NONE }, ONCE);
}

#[test]
fn numbering_in_the_storing_statement_is_needed() {
    is_needed(|rules| rules.numbers_when_storing = false, Budget { worker_crashes: 1, ..NONE }, GAPLESS);
}

#[test]
fn answering_after_the_commit_is_needed() {
    is_needed(|rules| rules.answers_after_commit = false, NONE, DURABLE);
}

#[test]
fn settling_last_is_needed() {
    let without = |rules: &mut Rules| (rules.settles_last, rules.compares_last) = (false, false);
    is_needed(without, Budget { worker_crashes: 1, ..NONE }, DELIVERED);
}

#[test]
fn reading_again_what_was_left_is_needed() {
    is_needed(|rules| rules.rereads = false, Budget { lapses: 1, ..NONE }, SETTLED);
}

#[test]
fn replaying_is_needed() {
    // Otherwise the comparison would keep requesting it.
    let without = |rules: &mut Rules| (rules.replays, rules.compares_last) = (false, false);
    is_needed(without, NONE, DELIVERED);
}

#[test]
fn subscribing_before_the_replay_is_needed() {
    let without = |rules: &mut Rules| (rules.subscribes_first, rules.compares_last) = (false, false);
    is_needed(without, NONE, DELIVERED);
}

#[test]
fn catching_up_after_an_interruption_is_needed() {
    // What was published while the subscription was gone is lost to it.
    let without = |rules: &mut Rules| (rules.catches_up, rules.compares_last) = (false, false);
    is_needed(without, Budget { redis_losses: 1, ..NONE }, DELIVERED);
}
