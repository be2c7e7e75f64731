//! Partials add up to the same rows however the users were divided, and the rows are what the model says.

use crate::case::config;
use crate::retention_case::{Case, Event, case, events, grid};
use crate::retention_model::matrix;
use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::retention::{RetentionKernel, RetentionPartial, RetentionRow};

/// One partial over some users; the key of a user is drawn with it.
fn partial(case: &Case, users: &[(u8, Vec<Event>)]) -> RetentionPartial<u8> {
    let mut kernel = RetentionKernel::new(case.spec.clone()).unwrap();
    let mut partial = RetentionPartial::default();
    for (key, events) in users {
        let (times, masks): (Vec<i64>, Vec<u64>) = events.iter().copied().unzip();
        kernel.run(&times, &masks, |cohort| partial.add(*key, &cohort));
    }
    partial
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn any_division_gives_the_rows_of_the_model(
        case in case(),
        users in grid().prop_flat_map(|grid| vec((0..3_u8, events(grid, 6)), 0..12)),
        picks in vec(any::<prop::sample::Index>(), 12),
    ) {
        let newest_ts = users.iter().flat_map(|user| &user.1).map(|event| event.0).max().unwrap_or(0);
        let whole = partial(&case, &users).finish(&case.spec, newest_ts);
        // A partial for each user; any two are merged until one is left.
        let mut parts: Vec<_> = users.iter().map(|user| partial(&case, std::slice::from_ref(user))).collect();
        let mut picks = picks.iter();
        while parts.len() > 1 {
            let pick = picks.next().unwrap();
            let other = parts.swap_remove(pick.index(parts.len()));
            let into = pick.index(parts.len());
            parts[into].merge(other);
        }
        let merged = parts.pop().unwrap_or_default().finish(&case.spec, newest_ts);
        prop_assert_eq!(&merged, &whole);
        let events: Vec<Vec<Event>> = users.iter().map(|user| user.1.clone()).collect();
        for group in 0..3_u8 {
            let rows = matrix(&case, &events, newest_ts, |user, _| users[user].0 == group);
            let of_group = whole.iter().filter(|row| row.key == group).cloned();
            let of_group: Vec<_> = of_group.map(|row| RetentionRow {
                cohort_us: row.cohort_us,
                key: (),
                cohort_users: row.cohort_users,
                period: row.period,
                users: row.users,
                rate: row.rate,
                complete: row.complete,
            }).collect();
            prop_assert_eq!(of_group, rows);
        }
    }
}
