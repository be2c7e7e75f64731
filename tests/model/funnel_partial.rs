//! Partials add up to the same rows however the users were divided, and the rows are what their definition says.

use crate::case::{Columns, Event, config, events, steps};
use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::funnel::{FunnelKernel, FunnelPartial, StepRow};

const STEPS: usize = 3;

/// One partial over some users; the key of a user is drawn with it.
fn partial(users: &[(u8, Vec<Event>)]) -> FunnelPartial<u8> {
    let spec = steps(STEPS);
    let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
    let mut partial = FunnelPartial::default();
    for (key, events) in users {
        let columns = Columns::of(events);
        let input = columns.input(&spec);
        for chain in kernel.run(&input).iter() {
            partial.add(key, &chain);
        }
    }
    partial
}

/// The times of the chosen chain of each user of `key`, in microseconds.
fn chains(users: &[(u8, Vec<Event>)], key: u8) -> Vec<Vec<i64>> {
    let spec = steps(STEPS);
    let mut kernel = FunnelKernel::new(spec.clone()).unwrap();
    let mut chains = Vec::new();
    for (_, events) in users.iter().filter(|user| user.0 == key) {
        let columns = Columns::of(events);
        let matches = kernel.run(&columns.input(&spec));
        for chain in matches.iter() {
            let times: Vec<i64> = chain.events.iter().map(|&event| events[event as usize].ts).collect();
            assert_eq!(chain.times, times);
            chains.push(times);
        }
    }
    chains
}

/// The quantile as PostgreSQL defines `percentile_cont`, over seconds.
fn quantile(mut seconds: Vec<f64>, q: f64) -> Option<f64> {
    seconds.sort_by(f64::total_cmp);
    let row = 1.0 + q * (seconds.len().checked_sub(1)? as f64);
    let (floor, ceiling) = (seconds[row.floor() as usize - 1], seconds[row.ceil() as usize - 1]);
    Some(floor + (row - row.floor()) * (ceiling - floor))
}

pub(crate) fn close(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    }
}

/// The rows of `steps` steps over chains, given as the times of their events, as the definitions say.
pub(crate) fn naive_rows(chains: &[Vec<i64>], steps: usize) -> Vec<StepRow> {
    let reached = |step: usize| chains.iter().filter(|chain| chain.len() >= step).count() as u64;
    let seconds = |step: usize, from: fn(&[i64], usize) -> i64| {
        let reached = chains.iter().filter(|chain| chain.len() >= step && step > 1);
        reached.map(|chain| (chain[step - 1] - from(chain, step)) as f64 / 1e6).collect::<Vec<f64>>()
    };
    let row = |step: usize| {
        let gaps = seconds(step, |chain, step| chain[step - 2]);
        let before = if step > 1 { reached(step - 1) } else { 0 };
        StepRow {
            step: step as u32,
            users: reached(step),
            conversion: (reached(1) > 0).then(|| reached(step) as f64 / reached(1) as f64),
            step_conversion: (before > 0).then(|| reached(step) as f64 / before as f64),
            dropped: before.saturating_sub(reached(step)),
            median_seconds: quantile(gaps.clone(), 0.5),
            p90_seconds: quantile(gaps, 0.9),
            median_seconds_total: quantile(seconds(step, |chain, _| chain[0]), 0.5),
        }
    };
    (1..=steps).map(row).collect()
}

/// The row is what the definitions say of these chains.
pub(crate) fn check_row(row: &StepRow, chains: &[Vec<i64>]) -> Result<(), TestCaseError> {
    let expected = naive_rows(chains, row.step as usize).pop().unwrap();
    prop_assert_eq!((row.step, row.users, row.dropped), (expected.step, expected.users, expected.dropped));
    prop_assert!(close(row.conversion, expected.conversion));
    prop_assert!(close(row.step_conversion, expected.step_conversion));
    prop_assert!(close(row.median_seconds, expected.median_seconds));
    prop_assert!(close(row.p90_seconds, expected.p90_seconds));
    prop_assert!(close(row.median_seconds_total, expected.median_seconds_total));
    Ok(())
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn any_division_gives_the_same_rows(
        users in vec((0..3_u8, events(STEPS, 8)), 0..40),
        cuts in vec(0..40_usize, 0..5),
        backward in any::<bool>(),
    ) {
        let whole = partial(&users).finish(STEPS);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(users.len())).collect();
        cuts.extend([0, users.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<_> = cuts.windows(2).map(|cut| partial(&users[cut[0]..cut[1]])).collect();
        if backward {
            parts.reverse();
        }
        // Merged as a tree, not from left to right.
        while parts.len() > 1 {
            let last = parts.pop().unwrap();
            let index = parts.len() / 2;
            parts[index].merge(last);
        }
        prop_assert_eq!(&parts.pop().unwrap().finish(STEPS), &whole);
        for (key, rows) in &whole {
            prop_assert_eq!(rows.len(), STEPS);
            let chains = chains(&users, *key);
            for row in rows {
                check_row(row, &chains)?;
            }
        }
    }
}

#[test]
fn a_step_that_nobody_reached_has_its_row() {
    let event = |ts, steps| Event { ts, steps, excludes: 0, hold: 1 };
    let users = [(0, vec![event(0, 1)]), (0, vec![event(5, 1), event(2_000_005, 2)])];
    let rows = partial(&users).finish(STEPS).pop().unwrap().1;
    let third = StepRow {
        step: 3,
        users: 0,
        conversion: Some(0.0),
        step_conversion: Some(0.0),
        dropped: 1,
        median_seconds: None,
        p90_seconds: None,
        median_seconds_total: None,
    };
    assert_eq!(rows[2], third);
    assert_eq!(rows[1].median_seconds, Some(2.0));
    let nobody = FunnelPartial::<u8>::default().group(&0).clone().finish(STEPS);
    assert_eq!(nobody.len(), STEPS);
    assert_eq!((nobody[0].users, nobody[0].conversion, nobody[2].step_conversion), (0, None, None));
}
