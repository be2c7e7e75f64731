//! The kernel gives what the model gives: cohorts, their start events and the rows in which the user counts.

use crate::case::config;
use crate::retention_case::{Case, Event, case, events, grid};
use crate::retention_model::{self, Found};
use proptest::prelude::*;
use trodden_query::behavior::retention::{Period, RetentionKernel};

/// What the kernel finds for several users, one after the other.
fn found(kernel: &mut RetentionKernel, events: &[Event]) -> Vec<Found> {
    let (times, masks): (Vec<i64>, Vec<u64>) = events.iter().copied().unzip();
    let mut all = Vec::new();
    kernel.run(&times, &masks, |cohort| {
        all.push((cohort.cohort_us, cohort.start_ts, cohort.start_event, cohort.rows.to_vec()));
    });
    all
}

fn check(case: &Case, users: &[Vec<Event>]) -> Result<(), TestCaseError> {
    let mut kernel = RetentionKernel::new(case.spec.clone()).unwrap();
    for events in users {
        prop_assert_eq!(found(&mut kernel, events), retention_model::retention(case, events));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn every_argument(
        case in case(),
        users in grid().prop_flat_map(|grid| (events(grid, 8), events(grid, 3)).prop_map(|(a, b)| [a, b])),
    ) {
        check(&case, &users)?;
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn months_and_more_events(mut case in case(), events in grid().prop_flat_map(|grid| events(grid, 20))) {
        case.spec.period = Period::Month;
        check(&case, &[events])?;
    }
}
