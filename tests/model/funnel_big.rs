//! Users of thousands of events, too many for brute force: the two kernels against each other, and the exact one
//! against a quadratic search from every entry.

use crate::case::{Columns, Event, config, steps};
use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::funnel::{Exclude, FunnelKernel, FunnelSpec, Order, Ties};

/// Events at gaps up to `gap_max`, of which `crowded` in 100 satisfy several steps.
fn long_user(steps: usize, length: usize, gap_max: i64, crowded: u8) -> impl Strategy<Value = Vec<Event>> {
    let event = (0..=gap_max, 0..steps, any::<u64>(), 0..100_u8, 0..40_u8);
    vec(event, 1..=length).prop_map(move |drawn| {
        let mut ts = 0;
        let all = (1_u64 << steps) - 1;
        let event = |(gap, step, mask, dice, excluded): (i64, usize, u64, u8, u8)| {
            ts += gap;
            let steps = if dice < crowded { mask & all } else { 1 << step };
            Event { ts, steps, excludes: u64::from(excluded == 0), hold: 1 }
        };
        drawn.into_iter().map(event).collect()
    })
}

fn ties() -> impl Strategy<Value = Ties> {
    prop_oneof![Just(Ties::Any), Just(Ties::Arrival), Just(Ties::Increase)]
}

fn within(max: i64) -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 4 => (1..max).prop_map(Some)]
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn both_kernels_agree(
        (count, events) in (2..9_usize).prop_flat_map(|count| {
            let user = prop_oneof![long_user(count, 2_000, 3, 0), long_user(count, 2_000, 9, 20)];
            (Just(count), user)
        }),
        within_us in within(60),
        ties in ties(),
    ) {
        let spec = FunnelSpec { within_us, ties, ..steps(count) };
        let columns = Columns::of(&events);
        let mut fast = FunnelKernel::new(spec.clone()).unwrap().with_reasons();
        let mut exact = FunnelKernel::new(spec.clone()).unwrap().with_reasons().without_fast_path();
        prop_assert_eq!(fast.run(&columns.input(&spec)), exact.run(&columns.input(&spec)));
    }

    #[test]
    fn exact_kernel_agrees_with_a_search_from_every_entry(
        (count, events) in (2..6_usize).prop_flat_map(|count| (Just(count), long_user(count, 120, 3, 20))),
        within_us in within(80),
        gap_us in within(20),
        strict in any::<bool>(),
        excluded in any::<bool>(),
        ties in prop_oneof![Just(Ties::Arrival), Just(Ties::Increase)],
    ) {
        let spec = FunnelSpec {
            within_us,
            step_within_us: vec![gap_us; count - 1],
            order: if strict { Order::Strict } else { Order::Ordered },
            ties,
            excludes: if excluded { vec![Exclude { after: 1, before: 2 }] } else { Vec::new() },
            ..steps(count)
        };
        let columns = Columns::of(&events);
        let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
        let found = kernel.run(&columns.input(&spec)).first().map(|chain| (chain.level(), chain.events[0]));
        prop_assert_eq!(found, from_every_entry(&spec, &events));
    }
}

/// The longest level and its earliest entry: from each entry, the set of events that each next step can reach. Only for
/// rules that look at the entry and at neighbours.
fn from_every_entry(spec: &FunnelSpec, events: &[Event]) -> Option<(usize, u32)> {
    let mut best: Option<(usize, u32)> = None;
    for (entry, event) in events.iter().enumerate().filter(|(_, event)| event.steps & 1 != 0) {
        let mut reached = vec![entry];
        let mut level = 1;
        while level < spec.steps.len() {
            let next: Vec<usize> = (entry + 1..events.len())
                .filter(|&next| {
                    let inside = spec.within_us.is_none_or(|within| events[next].ts - event.ts <= within);
                    let fills = events[next].steps >> level & 1 != 0;
                    inside && fills && reached.iter().any(|&last| neighbours(spec, events, (last, next), level))
                })
                .collect();
            if next.is_empty() {
                break;
            }
            (reached, level) = (next, level + 1);
        }
        if best.is_none_or(|(best, _)| level > best) {
            best = Some((level, entry as u32));
        }
    }
    best
}

fn neighbours(spec: &FunnelSpec, events: &[Event], (last, next): (usize, usize), level: usize) -> bool {
    if next <= last {
        return false;
    }
    let (from, to) = (events[last].ts, events[next].ts);
    let between = &events[last + 1..next];
    let is_between = |event: &&Event| spec.ties == Ties::Arrival || (from < event.ts && event.ts < to);
    (spec.ties == Ties::Arrival || from < to)
        && spec.step_within_us[level - 1].is_none_or(|gap| to - from <= gap)
        && (spec.order != Order::Strict || !between.iter().any(|event| is_between(&event)))
        && (level != 1
            || spec.excludes.is_empty()
            || !between.iter().filter(is_between).any(|event| event.excludes != 0))
}
