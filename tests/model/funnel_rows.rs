//! Whole rows: groups by the attributed event and by the calendar, and what is counted in them.

use crate::calendar::{HOUR_US, MINUTE_US, MOMENTS, ZONES};
use crate::case::{Columns, Event, config, events, spec};
use crate::funnel_model;
use crate::funnel_partial::check_row;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trodden_query::behavior::funnel::{Attribution, Bucket, FunnelKernel, FunnelPartial, FunnelSpec};

/// Times as drawn are small numbers: make them steps of `step_us` from `start_us` on, limits of time too.
pub(crate) fn stretch(spec: &mut FunnelSpec, users: &mut [Vec<Event>], start_us: i64, step_us: i64) {
    spec.within_us = spec.within_us.map(|limit| limit * step_us);
    spec.step_within_us.iter_mut().flatten().for_each(|limit| *limit *= step_us);
    users.iter_mut().flatten().for_each(|event| event.ts = start_us + event.ts * step_us);
}

pub(crate) fn attribution(steps: usize) -> impl Strategy<Value = Attribution> {
    prop_oneof![
        1 => Just(Attribution::First),
        1 => Just(Attribution::Last),
        3 => (1..=steps).prop_map(Attribution::Step),
    ]
}

/// A zone and a bucket that its clock divides at full and half hours.
pub(crate) fn bucket_and_zone() -> impl Strategy<Value = (Option<Bucket>, usize)> {
    let bucket = prop_oneof![
        2 => Just(None),
        4 => Just(Some(Bucket::Day)),
        2 => Just(Some(Bucket::Week)),
        1 => Just(Some(Bucket::Month)),
        1 => Just(Some(Bucket::IntervalUs(48 * HOUR_US))),
        1 => Just(Some(Bucket::IntervalUs(HOUR_US))),
        1 => Just(Some(Bucket::IntervalUs(6 * HOUR_US))),
    ];
    (bucket, 0..ZONES.len()).prop_map(|(bucket, zone)| match bucket {
        // Blocks shorter than a day are asked where clocks change by whole hours, and not at midnight.
        Some(Bucket::IntervalUs(width)) if width < 24 * HOUR_US => (bucket, zone.min(2)),
        _ => (bucket, zone),
    })
}

pub(crate) fn moment() -> impl Strategy<Value = (i64, i64)> {
    let step = prop_oneof![Just(1_i64), Just(17 * MINUTE_US), Just(5 * HOUR_US)];
    (0..MOMENTS.len(), step).prop_map(|(moment, step)| (MOMENTS[moment], step))
}

/// The event that gives a chain its `by` value.
pub(crate) fn attributed(chain: &[u32], attribution: Attribution) -> Option<usize> {
    let at = match attribution {
        Attribution::First => 0,
        Attribution::Last => chain.len() - 1,
        Attribution::Step(step) => step - 1,
    };
    chain.get(at).map(|&event| event as usize)
}

/// The value of `by` of an event: three, of which one is NULL.
fn by_value(user: usize, event: usize, seed: usize) -> Option<usize> {
    Some((user * 7 + event * 5 + event * event + seed) % 3).filter(|value| *value > 0)
}

type Key = (Option<usize>, i64);

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn every_row_is_what_its_definition_says(
        (spec, users, attribution) in spec(4).prop_flat_map(|spec| {
            let steps = spec.steps.len();
            (Just(spec), vec(events(steps, 5), 0..4), attribution(steps))
        }),
        (bucket, zone) in bucket_and_zone(),
        (start_us, step_us) in moment(),
        seed in 0..100_usize,
    ) {
        let (mut spec, mut users, zone) = (spec, users, &ZONES[zone]);
        stretch(&mut spec, &mut users, start_us, step_us);
        (spec.attribution, spec.bucket, spec.time_zone) = (attribution, bucket, zone.name.parse().unwrap());
        let steps = spec.steps.len();
        let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
        let mut partial: FunnelPartial<Key> = FunnelPartial::default();
        let mut chains: BTreeMap<Key, Vec<Vec<i64>>> = BTreeMap::new();
        for (number, events) in users.iter().enumerate() {
            let columns = Columns::of(events);
            let input = columns.input(&spec);
            for chain in kernel.run(&input).iter() {
                let by = chain.attributed_event(spec.attribution);
                let by = by.and_then(|event| by_value(number, event as usize, seed));
                let entered = events[chain.events[0] as usize].ts;
                let start = spec.bucket.map_or(0, |bucket| bucket.start_us(entered, spec.time_zone));
                partial.add(&(by, start), &chain);
            }
            for (chain, _) in funnel_model::funnel(&spec, events) {
                let by = attributed(&chain, attribution).and_then(|event| by_value(number, event, seed));
                let times: Vec<i64> = chain.iter().map(|&event| events[event as usize].ts).collect();
                let start = bucket.map_or(0, |bucket| zone.start_us(bucket, times[0]));
                chains.entry((by, start)).or_default().push(times);
            }
        }
        let rows = partial.finish(steps);
        let keys: Vec<Key> = rows.iter().map(|(key, _)| *key).collect();
        prop_assert_eq!(keys, chains.keys().copied().collect::<Vec<_>>());
        for (key, rows) in &rows {
            prop_assert_eq!(rows.len(), steps);
            for row in rows {
                check_row(row, &chains[key])?;
            }
        }
    }
}
