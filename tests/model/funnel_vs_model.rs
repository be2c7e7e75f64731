//! The kernel gives what the model gives: level, chosen chain and reason, for every argument.

use crate::case::{Columns, Event, config, spec_and_events};
use crate::funnel_model::{self, Found};
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
    let without_reasons: Vec<Found> = expected.into_iter().map(|(chain, _)| (chain, None)).collect();
    prop_assert_eq!(found(kernel(), events), without_reasons);
    Ok(())
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
