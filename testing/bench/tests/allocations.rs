//! An event is created once for all recipients: the allocations of its delivery do not grow with their number. Alone in
//! its file, because it counts what the whole process allocates.

use std::alloc::System;

use gateway::bench::FanOut;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const EVENTS: usize = 100;

#[test]
fn a_further_recipient_costs_no_allocation() {
    let few = allocations_for(10);
    assert!(few > 0, "nothing was counted");
    assert_eq!(allocations_for(1_000), few);
}

/// The number of allocations and reallocations for some events to a group with this number of connections.
fn allocations_for(connections: usize) -> usize {
    let mut group = FanOut::new(connections, &[b'x'; 400]);
    // Queues get their size with the first events.
    (0..10).for_each(|_| assert_eq!(group.deliver(), connections));
    let region = Region::new(ALLOCATOR);
    (0..EVENTS).for_each(|_| assert_eq!(group.deliver(), connections));
    let change = region.change();
    change.allocations + change.reallocations
}
