//! Cases on which other engines are known to be wrong, worked out by hand. Kernel and model must both get them right.

use crate::case::{Columns, Event, config, events, steps};
use crate::funnel_model;
use proptest::prelude::*;
use trodden_query::behavior::funnel::{Count, DropReason, Exclude, FunnelKernel, FunnelSpec, Order, Ties};

/// Events from `"a0 b1 ab1 x2 -3"`: letters a to d are steps 1 to 4, x is what is excluded, - satisfies nothing; then
/// the time; a user's events in total order.
fn user(text: &str) -> Vec<Event> {
    text.split_whitespace().map(event).collect()
}

fn event(text: &str) -> Event {
    let digits = text.find(|c: char| c.is_ascii_digit()).unwrap();
    let mut event = Event { ts: text[digits..].parse().unwrap(), steps: 0, excludes: 0, hold: 1 };
    for letter in text[..digits].chars() {
        match letter {
            'x' => event.excludes = 1,
            'p' => event.hold = 2,
            'n' => event.hold = 0,
            '-' => {}
            letter => event.steps |= 1 << (letter as u8 - b'a'),
        }
    }
    event
}

/// Checks kernel and model against `expected`: chains as indices with their reasons.
#[track_caller]
fn check(spec: &FunnelSpec, text: &str, expected: &[(&[u32], Option<DropReason>)]) {
    let events = user(text);
    let expected: Vec<(Vec<u32>, Option<DropReason>)> =
        expected.iter().map(|(chain, reason)| (chain.to_vec(), *reason)).collect();
    assert_eq!(funnel_model::funnel(spec, &events), expected, "model");
    let columns = Columns::of(&events);
    for kernel in
        [FunnelKernel::new(spec.clone()).unwrap(), FunnelKernel::new(spec.clone()).unwrap().without_fast_path()]
    {
        let mut kernel = kernel.with_reasons();
        let matches = kernel.run(&columns.input(spec));
        let found: Vec<_> = matches.iter().map(|chain| (chain.events.to_vec(), chain.reason)).collect();
        assert_eq!(found, expected, "kernel");
    }
}

const TIMEOUT: Option<DropReason> = Some(DropReason::Timeout);
const EXCLUDED: Option<DropReason> = Some(DropReason::Excluded);
const BROKEN: Option<DropReason> = Some(DropReason::Broken);
const NEVER: Option<DropReason> = Some(DropReason::Never);

#[test]
fn a_greedy_scan_with_increasing_time_loses_chains() {
    let spec = FunnelSpec { ties: Ties::Increase, within_us: Some(5), ..steps(2) };
    check(&spec, "a0 a1 b1", &[(&[0, 2], None)]);
    check(&spec, "a1 b1", &[(&[0], NEVER)]);
    check(&spec, "a0 a6 b6 b7", &[(&[1, 3], None)]);
}

#[test]
fn a_strict_funnel_tries_later_starts() {
    let spec = FunnelSpec { order: Order::Strict, ..steps(3) };
    check(&spec, "a0 b1 -2 a3 b4 c5", &[(&[3, 4, 5], None)]);
    check(&spec, "a0 a1 b2 c3", &[(&[1, 2, 3], None)]);
    check(&spec, "a0 b1 -2 c3", &[(&[0, 1], BROKEN)]);
}

#[test]
fn one_event_never_fills_two_steps() {
    check(&steps(2), "ab0", &[(&[0], NEVER)]);
    check(&steps(3), "ab0 abc0", &[(&[0, 1], NEVER)]);
    check(&steps(2), "ab0 ab1", &[(&[0, 1], None)]);
    check(&FunnelSpec { order: Order::Any, ..steps(2) }, "ab0", &[(&[0], NEVER)]);
}

#[test]
fn events_with_the_same_time_are_matched_not_scanned() {
    // a must leave the event that only it and b can share to b.
    check(&steps(2), "ab0 a0", &[(&[1, 0], None)]);
    check(&steps(3), "abc0 ab0 a0", &[(&[2, 1, 0], None)]);
    // The earlier arrival enters if the chain can be completed later.
    check(&steps(2), "ab0 a0 b9", &[(&[0, 2], None)]);
    check(&FunnelSpec { within_us: Some(5), ..steps(2) }, "ab0 a0 b9", &[(&[1, 0], None)]);
}

#[test]
fn ties_say_whether_arrival_counts() {
    check(&steps(2), "b0 a0", &[(&[1, 0], None)]);
    check(&FunnelSpec { ties: Ties::Arrival, ..steps(2) }, "b0 a0", &[(&[1], NEVER)]);
    check(&FunnelSpec { ties: Ties::Arrival, ..steps(2) }, "a0 b0", &[(&[0, 1], None)]);
    check(&FunnelSpec { ties: Ties::Increase, ..steps(2) }, "a0 b0", &[(&[0], NEVER)]);
}

#[test]
fn windows_are_inclusive() {
    let spec = FunnelSpec { within_us: Some(10), ..steps(2) };
    check(&spec, "a0 b10", &[(&[0, 1], None)]);
    check(&spec, "a0 b11", &[(&[0], TIMEOUT)]);
    let spec = FunnelSpec { step_within_us: vec![Some(10), Some(2)], ..steps(3) };
    check(&spec, "a0 b10 c12", &[(&[0, 1, 2], None)]);
    check(&spec, "a0 b10 c13", &[(&[0, 1], TIMEOUT)]);
}

#[test]
fn the_best_chain_counts_not_the_first() {
    let spec = FunnelSpec { within_us: Some(5), ..steps(3) };
    check(&spec, "a0 b4 a6 b7 c8", &[(&[2, 3, 4], None)]);
    // Among the longest: the earliest entry that can do it, then each next step as early as possible.
    check(&spec, "a0 a3 b4 b5 c6 c7", &[(&[1, 2, 4], None)]);
    // A later b is nearer to c.
    let spec = FunnelSpec { step_within_us: vec![None, Some(1)], ..steps(3) };
    check(&spec, "a0 b1 b5 c6", &[(&[0, 2, 3], None)]);
}

#[test]
fn exclusions_lie_strictly_between() {
    let spec = FunnelSpec { excludes: vec![Exclude { after: 1, before: 2 }], ..steps(2) };
    check(&spec, "a0 x1 b2", &[(&[0], EXCLUDED)]);
    check(&spec, "a0 x0 b2", &[(&[0, 2], None)]);
    check(&spec, "a0 x2 b2", &[(&[0, 2], None)]);
    check(&spec, "a0 x1 a2 b3", &[(&[2, 3], None)]);
    check(&spec, "ax0 bx1", &[(&[0, 1], None)]);
    check(&FunnelSpec { ties: Ties::Arrival, ..spec }, "a0 x0 b0", &[(&[0], EXCLUDED)]);
    // An exclusion up to step 3 does not bind a chain that has no step 3.
    let spec = FunnelSpec { excludes: vec![Exclude { after: 1, before: 3 }], ..steps(3) };
    check(&spec, "a0 x1 b2 c3", &[(&[0, 2], EXCLUDED)]);
    // An event of the chain is between too.
    check(&spec, "a0 bx1 c3", &[(&[0, 1], EXCLUDED)]);
}

#[test]
fn held_values_are_equal_and_not_null() {
    let spec = FunnelSpec { hold: true, ..steps(2) };
    check(&spec, "a0 pb1", &[(&[0], NEVER)]);
    check(&spec, "a0 pa1 pb2", &[(&[1, 2], None)]);
    check(&spec, "na0 nb1", &[]);
}

#[test]
fn any_order_counts_different_steps_in_one_window() {
    let spec = FunnelSpec { order: Order::Any, within_us: Some(5), ..steps(3) };
    check(&spec, "c0 a3 b5", &[(&[0, 1, 2], None)]);
    check(&spec, "c0 a3 b6", &[(&[0, 1], TIMEOUT)]);
    check(&spec, "a0 a1 a2", &[(&[0], NEVER)]);
    check(&spec, "ab0 a1", &[(&[0, 1], NEVER)]);
    check(&FunnelSpec { order: Order::Any, ..steps(2) }, "ab0 a1", &[(&[0, 1], None)]);
}

#[test]
fn attempts_follow_each_other() {
    let spec = FunnelSpec { count: Count::Attempts, within_us: Some(5), ..steps(2) };
    check(&spec, "a0 a1 b2 a3 b4", &[(&[0, 2], None), (&[3, 4], None)]);
    check(&spec, "a0 a5 a6 b9", &[(&[0], TIMEOUT), (&[2, 3], None)]);
    let spec = FunnelSpec { count: Count::Attempts, ..steps(2) };
    check(&spec, "a0 a1 a2", &[(&[0], NEVER)]);
    check(&spec, "ab0 a0", &[(&[0], NEVER)]);
    let spec = FunnelSpec { excludes: vec![Exclude { after: 1, before: 2 }], ..spec };
    check(&spec, "a0 x1 b2 a3 b4", &[(&[0], EXCLUDED), (&[3, 4], None)]);
    let spec = FunnelSpec { count: Count::Attempts, order: Order::Strict, ..steps(2) };
    check(&spec, "a0 a1 b2", &[(&[0], BROKEN), (&[1, 2], None)]);
}

#[test]
fn sixty_four_steps_are_counted() {
    let spec = steps(64);
    let mut events: Vec<Event> =
        (0..64).map(|step| Event { ts: step, steps: 1 << step, excludes: 0, hold: 1 }).collect();
    let level = |events: &[Event]| {
        let columns = Columns::of(events);
        let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
        let fast = kernel.run(&columns.input(&spec)).first().map(|chain| chain.level());
        let mut kernel = kernel.without_fast_path();
        assert_eq!(kernel.run(&columns.input(&spec)).first().map(|chain| chain.level()), fast);
        fast
    };
    assert_eq!(level(&events), Some(64));
    events.iter_mut().for_each(|event| event.ts = 7);
    assert_eq!(level(&events), Some(64));
    events.iter_mut().for_each(|event| event.steps = u64::MAX);
    assert_eq!(level(&events), Some(64));
    events.remove(10);
    assert_eq!(level(&events), Some(63));
}

proptest! {
    #![proptest_config(config(2_000))]

    /// Unless arrival counts, the level does not depend on the order of events with the same time.
    #[test]
    fn order_within_a_tie_does_not_change_the_level(
        (events, shuffled) in events(4, 10).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        within_us in prop_oneof![Just(None), (1..8_i64).prop_map(Some)],
        order in prop_oneof![Just(Order::Ordered), Just(Order::Strict), Just(Order::Any)],
        ties in prop_oneof![Just(Ties::Any), Just(Ties::Increase)],
    ) {
        let mut shuffled = shuffled;
        shuffled.sort_by_key(|event| event.ts);
        let spec = FunnelSpec { within_us, order, ties, ..steps(4) };
        let level = |events: &[Event]| {
            let columns = Columns::of(events);
            let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
            kernel.run(&columns.input(&spec)).first().map_or(0, |chain| chain.level())
        };
        prop_assert_eq!(level(&events), level(&shuffled));
    }
}
