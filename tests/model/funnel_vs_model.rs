//! The kernel gives what the model gives: level, chosen chain and reason, for every argument.

use crate::case::{Columns, Event, config, plain_spec, sparse_events, spec_and_events};
use crate::funnel_model::{self, Found};
use crate::step_rows::PlainRows;
use proptest::prelude::*;
use trodden_query::behavior::funnel::{FunnelKernel, FunnelSpec};

fn found(mut kernel: FunnelKernel, events: &[Event]) -> Vec<Found> {
    let columns = Columns::of(events);
    let spec = kernel.spec().clone();
    let matches = kernel.run(&columns.input(&spec));
    matches.iter().map(|chain| (chain.events.to_vec(), chain.reason)).collect()
}

fn check(spec: &FunnelSpec, events: &[Event]) -> Result<(), TestCaseError> {
    let expected = funnel_model::funnel(spec, events);
    let kernel = || FunnelKernel::new(spec.clone()).unwrap();
    prop_assert_eq!(&found(kernel().with_reasons(), events), &expected);
    prop_assert_eq!(&found(kernel().with_reasons().without_fast_path(), events), &expected);
    check_rows(spec, events, &expected)?;
    let without_reasons: Vec<Found> = expected.into_iter().map(|(chain, _)| (chain, None)).collect();
    prop_assert_eq!(found(kernel(), events), without_reasons);
    Ok(())
}

/// Of events as rows the kernel finds the same, or says that it cannot: never where all times differ.
fn check_rows(spec: &FunnelSpec, events: &[Event], expected: &[Found]) -> Result<(), TestCaseError> {
    let mut kernel = FunnelKernel::new(spec.clone()).unwrap().with_reasons();
    let must = kernel.takes_rows() && events.windows(2).all(|pair| pair[0].ts < pair[1].ts);
    for first in [0, 3] {
        let rows = PlainRows::new(events, first);
        let level = kernel.level_of_rows(&rows);
        prop_assert!(level.is_none_or(|level| level == expected.first().map_or(0, |(chain, _)| chain.len())));
        let found = kernel.run_rows(&rows).map(|matches| {
            matches.iter().map(|chain| (chain.events.to_vec(), chain.times.to_vec(), chain.reason)).collect::<Vec<_>>()
        });
        let times = |chain: &[u32]| chain.iter().map(|&event| events[event as usize].ts).collect::<Vec<i64>>();
        let expected =
            expected.iter().map(|(chain, reason)| (chain.clone(), times(chain), *reason)).collect::<Vec<_>>();
        prop_assert!(found.is_some() || !must);
        prop_assert!(level.is_some() || !must);
        prop_assert!(found.is_none_or(|found: Vec<(Vec<u32>, Vec<i64>, _)>| found == expected));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn plain_funnels_of_rows(
        (spec, events) in (1..=4_usize).prop_flat_map(|count| (plain_spec(count), sparse_events(count, 12))),
    ) {
        check(&spec, &events)?;
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn every_argument((spec, events) in spec_and_events(4, 7)) {
        check(&spec, &events)?;
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn more_steps_and_events((spec, events) in spec_and_events(5, 8)) {
        check(&spec, &events)?;
    }
}
