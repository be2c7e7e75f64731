//! LIFECYCLE by brute force, and against it: kernel and partials, merged in any order; and every cell through SQL, whether
//! it comes from day bitmaps, from a scan or from rows.
//!
//! The model is written from the reference: in each period every user is asked for every event. It shares nothing with the
//! kernel but the types.

use crate::analysis_case::{
    Cal, Event, Group, INPUTS, ON, Shape, answer, cal, events, filled, group_cells, merged, newest, period_argument,
    shape,
};
use crate::case::config;
use crate::retention_case::grid;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trodden_query::behavior::lifecycle::{LifecyclePartial, LifecycleRow, LifecycleSpec, Status, statuses};
use trodden_query::behavior::periods::ActivePeriods;

/// Arguments: the periods, `from` and `to`.
#[derive(Debug, Clone)]
struct Case {
    cal: Cal,
    from: Option<i64>,
    to: Option<i64>,
}

fn case((start, step): (i64, i64)) -> impl Strategy<Value = Case> {
    let instant =
        move || prop_oneof![2 => Just(None), 1 => (-2..14_i64).prop_map(move |at| Some(start + at * step + at % 2))];
    (cal(), instant(), instant()).prop_map(|(cal, from, to)| Case {
        cal,
        from,
        to: to.filter(|to| from.is_none_or(|from| from < *to)),
    })
}

/// Period, group, status, users, complete.
type Row = (i64, Group, Status, u64, bool);

/// Which of the statuses a user has in a period.
fn status(cal: &Cal, events: &[Event], period: i64) -> Option<Status> {
    let active = |is_in: &dyn Fn(i64) -> bool| events.iter().any(|event| event.counts && is_in(cal.number(event.ts)));
    match (active(&|at| at == period), active(&|at| at == period - 1), active(&|at| at < period)) {
        (true, _, false) => Some(Status::New),
        (true, true, _) => Some(Status::Returning),
        (true, false, true) => Some(Status::Resurrected),
        (false, true, _) => Some(Status::Dormant),
        (false, false, _) => None,
    }
}

/// The rows of users with their groups. `newest` is the time of the newest event, of any user.
fn rows(case: &Case, users: &[(Group, Vec<Event>)], newest: i64) -> Vec<Row> {
    let active = |events: &[Event]| -> Vec<i64> {
        events.iter().filter(|event| event.counts).map(|event| case.cal.number(event.ts)).collect()
    };
    let mut groups: BTreeMap<Group, Vec<&[Event]>> = BTreeMap::new();
    for (group, events) in users.iter().filter(|(_, events)| !active(events).is_empty()) {
        groups.entry(group.clone()).or_default().push(events);
    }
    let last_active = groups.values().flatten().flat_map(|events| active(events)).max().unwrap_or(0);
    let mut rows = Vec::new();
    for (group, members) in groups {
        let first = members.iter().flat_map(|events| active(events)).min().unwrap();
        let last = last_active.max(case.cal.last_before(first, newest));
        for period in first..=last {
            let (start, end) = (case.cal.start(period), case.cal.start(period + 1));
            // The period that holds `from` and later ones; those that begin before `to`.
            if case.from.is_some_and(|from| end <= from) || case.to.is_some_and(|to| start >= to) {
                continue;
            }
            for of_row in Status::ALL {
                let count = members.iter().filter(|events| status(&case.cal, events, period) == Some(of_row)).count();
                rows.push((start, group.clone(), of_row, count as u64, newest >= end));
            }
        }
    }
    rows.sort();
    rows
}

/// Every period of every user with rows, and the status in it.
fn user_rows(case: &Case, users: &[(Group, Vec<Event>)], newest: i64) -> Vec<(usize, i64, Status)> {
    let mut found = Vec::new();
    let mut periods: Vec<i64> = rows(case, users, newest).iter().map(|row| row.0).collect();
    periods.dedup();
    for (user, (_, events)) in users.iter().enumerate() {
        for &start in &periods {
            let status = status(&case.cal, events, case.cal.number(start));
            found.extend(status.map(|status| (user, start, status)));
        }
    }
    found
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn any_division_gives_the_rows_of_the_model(
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec((0..2_u8, events(grid, 6)), 0..5))),
        picks in vec(any::<prop::sample::Index>(), 6),
    ) {
        let spec = LifecycleSpec { calendar: case.cal.kernel(), from_us: case.from, to_us: case.to };
        spec.validate().unwrap();
        let mut active = ActivePeriods::new(spec.calendar);
        let mut parts = Vec::new();
        for (group, events) in &users {
            let mut partial = LifecyclePartial::default();
            let (times, masks): (Vec<i64>, Vec<u64>) = events.iter().map(|e| (e.ts, u64::from(e.counts))).unzip();
            let first = active.read(&times, &masks);
            prop_assert_eq!(first, events.iter().position(|event| event.counts));
            if first.is_some() {
                statuses(active.numbers(), |period, status| partial.add(u32::from(*group), period, status, 1));
            }
            parts.push(partial);
        }
        let all = merged(parts, &picks, |into, other| into.merge(other, |group| group));
        let users: Vec<(Group, Vec<Event>)> = users.into_iter().map(|(group, events)| (vec![group], events)).collect();
        let newest = users.iter().flat_map(|user| &user.1).map(|event| event.ts).max().unwrap_or(i64::MIN);
        let found = all.finish(&spec, newest, |group| group);
        prop_assert_eq!(found.len(), all.rows(&spec, newest));
        let row = |row: LifecycleRow| (row.period_us, vec![row.group as u8], row.status, row.users, row.complete);
        let found: Vec<Row> = found.into_iter().map(row).collect();
        prop_assert_eq!(found, rows(&case, &users, newest));
    }
}

fn call(case: &Case, shape: &Shape, input: &str, emit: &str) -> String {
    let instant = |name: &str, at: Option<i64>| match at {
        Some(at) => format!(", {name} => to_timestamp_micros({at})"),
        None => String::new(),
    };
    format!(
        "SELECT * FROM LIFECYCLE({input}, {}{}{}{}{}, emit => '{emit}')",
        ON[shape.on],
        period_argument("period", case.cal.period),
        instant("from", case.from),
        instant("to", case.to),
        shape.arguments(&case.cal),
    )
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        shape in shape(),
        (case, users) in grid().prop_flat_map(|grid| (case(grid), vec(events(grid, 7), 0..6))),
    ) {
        let stored = shape.stored(users);
        let (seen, newest) = (shape.seen(&stored), newest(&stored));
        let database = filled(&stored, &shape, case.cal.zone.name);
        let grouped = |events: &Vec<Event>| (shape.group_of_user(events).unwrap_or_default(), events.clone());
        let grouped: Vec<(Group, Vec<Event>)> = seen.iter().map(grouped).collect();
        let periods: Vec<Vec<String>> = rows(&case, &grouped, newest)
            .into_iter()
            .map(|(start, group, status, users, complete)| {
                let cells = [status.word().to_string(), users.to_string(), complete.to_string()];
                [vec![start.to_string()], group_cells(&group), cells.to_vec()].concat()
            })
            .collect();
        let members: Vec<Vec<String>> = user_rows(&case, &grouped, newest)
            .into_iter()
            .map(|(user, start, status)| {
                let cells = [start.to_string(), status.word().to_string()];
                [vec![format!("u{user}")], group_cells(&grouped[user].0), cells.to_vec()].concat()
            })
            .collect();
        for input in INPUTS {
            let sql = call(&case, &shape, input, "periods");
            prop_assert_eq!(&answer(&database, &sql)?, &periods, "{}", sql);
            let sql = call(&case, &shape, input, "users");
            prop_assert_eq!(&answer(&database, &sql)?, &members, "{}", sql);
        }
    }
}
