//! STICKINESS by brute force, and against it: kernel and partials, merged in any order; and every cell through SQL, whether
//! it comes from day bitmaps, from a scan or from rows.
//!
//! The model is written from the reference: of every day every user is asked for every event. It shares nothing with the
//! kernel but the types.

use crate::analysis_case::{
    Cal, Event, Group, INPUTS, ON, Shape, answer, cal, events, filled, group_cells, merged, newest, number,
    period_argument, shape,
};
use crate::calendar::month_days;
use crate::case::config;
use crate::retention_case::grid;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trodden_query::behavior::periods::{ActivePeriods, Period};
use trodden_query::behavior::stickiness::{ActivePartial, HistogramPartial, StickinessSpec};

/// Weeks or months.
fn within() -> impl Strategy<Value = Cal> {
    let long = |cal: Cal| if cal.period == Period::Day { Cal { period: Period::Month, ..cal } } else { cal };
    cal().prop_map(long)
}

/// Whether a user is active on a day.
fn is_active(cal: &Cal, events: &[Event], day: i64) -> bool {
    events.iter().any(|event| event.counts && cal.days().number(event.ts) == day)
}

/// The days of a period.
fn days_of(cal: &Cal, period: i64) -> std::ops::Range<i64> {
    match cal.period {
        Period::Month => {
            let (first, count) = month_days(period);
            first..first + count
        }
        Period::Week { starts_on } => {
            let first = period * 7 - 3 + i64::from(starts_on.num_days_from_monday());
            first..first + 7
        }
        Period::Day => period..period + 1,
    }
}

/// The periods and the days of a user with an event that counts.
fn active(cal: &Cal, events: &[Event]) -> Vec<i64> {
    events.iter().filter(|event| event.counts).map(|event| cal.number(event.ts)).collect()
}

fn groups(cal: &Cal, users: &[(Group, Vec<Event>)]) -> BTreeMap<Group, Vec<Vec<Event>>> {
    let mut groups: BTreeMap<Group, Vec<Vec<Event>>> = BTreeMap::new();
    for (group, events) in users.iter().filter(|(_, events)| !active(cal, events).is_empty()) {
        groups.entry(group.clone()).or_default().push(events.clone());
    }
    groups
}

/// Period, group, days, users, share, complete.
fn histogram(cal: &Cal, users: &[(Group, Vec<Event>)], newest: i64) -> Vec<(i64, Group, u64, u64, f64, bool)> {
    let mut rows = Vec::new();
    for (group, members) in groups(cal, users) {
        let mut periods: Vec<i64> = members.iter().flat_map(|events| active(cal, events)).collect();
        periods.sort_unstable();
        periods.dedup();
        for period in periods {
            let days =
                |events: &Vec<Event>| days_of(cal, period).filter(|&day| is_active(cal, events, day)).count() as u64;
            let counts: Vec<u64> = members.iter().map(days).filter(|&days| days > 0).collect();
            for days in 1..=days_of(cal, period).count() as u64 {
                let users = counts.iter().filter(|&&count| count == days).count() as u64;
                let share = users as f64 / counts.len() as f64;
                rows.push((cal.start(period), group.clone(), days, users, share, newest >= cal.start(period + 1)));
            }
        }
    }
    rows.sort_by(|a, b| (a.0, &a.1, a.2).cmp(&(b.0, &b.1, b.2)));
    rows
}

/// Day, group, users of the day, of 7, of 30, complete.
type ActiveRow = (i64, Group, [u64; 3], bool);

fn active_rows(cal: &Cal, users: &[(Group, Vec<Event>)], newest: i64) -> Vec<ActiveRow> {
    let (days, groups) = (cal.days(), groups(cal, users));
    let last_active = groups.values().flatten().flat_map(|events| active(&days, events)).max().unwrap_or(0);
    let mut rows = Vec::new();
    for (group, members) in groups {
        let members: Vec<Vec<i64>> = members.iter().map(|events| active(&days, events)).collect();
        let first = *members.iter().flatten().min().unwrap();
        for day in first..=last_active.max(days.last_before(first, newest)) {
            let of = |length: i64| {
                let is_inside = |other: &i64| (day - length + 1..=day).contains(other);
                members.iter().filter(|days| days.iter().any(is_inside)).count() as u64
            };
            rows.push((days.start(day), group.clone(), [1, 7, 30].map(of), newest >= days.start(day + 1)));
        }
    }
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn any_division_gives_the_rows_of_the_model(
        cal in within(),
        users in grid().prop_flat_map(|grid| vec((0..2_u8, events(grid, 6)), 0..4)),
        picks in vec(any::<prop::sample::Index>(), 6),
    ) {
        let spec = StickinessSpec { within: cal.kernel() };
        spec.validate().unwrap();
        let mut days = ActivePeriods::new(spec.days());
        let mut parts = Vec::new();
        for (group, events) in &users {
            let mut part = (HistogramPartial::default(), ActivePartial::default());
            let (times, masks): (Vec<i64>, Vec<u64>) = events.iter().map(|e| (e.ts, u64::from(e.counts))).unzip();
            if days.read(&times, &masks).is_some() {
                part.0.add_user(&spec, u32::from(*group), days.numbers());
                part.1.add_user(u32::from(*group), days.numbers());
            }
            parts.push(part);
        }
        let (days, active) = merged(parts, &picks, |into, other| {
            into.0.merge(other.0, |group| group);
            into.1.merge(other.1, |group| group);
        });
        let users: Vec<(Group, Vec<Event>)> = users.into_iter().map(|(group, events)| (vec![group], events)).collect();
        let newest = users.iter().flat_map(|user| &user.1).map(|event| event.ts).max().unwrap_or(i64::MIN);
        let days = days.finish(&spec, newest, |group| group);
        let days: Vec<_> = days
            .into_iter()
            .map(|row| (row.period_us, vec![row.group as u8], row.days, row.users, row.share, row.complete))
            .collect();
        prop_assert_eq!(days, histogram(&cal, &users, newest));
        let found = active.finish(&spec, newest, |group| group);
        prop_assert_eq!(found.len(), active.rows(&spec, newest));
        let row = |row: trodden_query::behavior::stickiness::ActiveRow| {
            (row.day_us, vec![row.group as u8], [row.dau, row.wau, row.mau], row.complete)
        };
        let found: Vec<ActiveRow> = found.into_iter().map(row).collect();
        prop_assert_eq!(found, active_rows(&cal, &users, newest));
    }
}

fn call(cal: &Cal, shape: &Shape, input: &str, emit: &str) -> String {
    let within = if emit == "active" { String::new() } else { period_argument("within", cal.period) + ", " };
    format!("SELECT * FROM STICKINESS({input}, {}{within}emit => '{emit}'{})", ON[shape.on], shape.arguments(cal),)
}

/// The lines of every shape of the answer.
fn expected(cal: &Cal, users: &[(Group, Vec<Event>)], newest: i64) -> [(&'static str, Vec<Vec<String>>); 3] {
    let days = histogram(cal, users, newest).into_iter().map(|(start, group, days, users, share, complete)| {
        let cells = vec![days.to_string(), users.to_string(), number(Some(share)), complete.to_string()];
        [vec![start.to_string()], group_cells(&group), cells].concat()
    });
    let active_lines = active_rows(cal, users, newest).into_iter().map(|(start, group, [dau, wau, mau], complete)| {
        let ratio = |part: u64, whole: u64| number((whole > 0).then(|| part as f64 / whole as f64));
        let counts = [dau, wau, mau].map(|users| users.to_string());
        let ratios = vec![ratio(dau, wau), ratio(dau, mau), ratio(wau, mau), complete.to_string()];
        [vec![start.to_string()], group_cells(&group), counts.to_vec(), ratios].concat()
    });
    let mut members = Vec::new();
    for (user, (group, events)) in users.iter().enumerate() {
        let mut periods = active(cal, events);
        periods.dedup();
        for period in periods {
            let days: Vec<String> = days_of(cal, period)
                .filter(|&day| is_active(cal, events, day))
                .map(|day| cal.days().start(day).to_string())
                .collect();
            let cells = vec![cal.start(period).to_string(), days.len().to_string(), days.join(" ")];
            members.push([vec![format!("u{user}")], group_cells(group), cells].concat());
        }
    }
    [("histogram", days.collect()), ("active", active_lines.collect()), ("users", members)]
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn every_cell_is_what_the_definitions_say(
        cal in within(),
        shape in shape(),
        users in grid().prop_flat_map(|grid| vec(events(grid, 7), 0..6)),
    ) {
        let stored = shape.stored(users);
        let (seen, newest) = (shape.seen(&stored), newest(&stored));
        let database = filled(&stored, &shape, cal.zone.name);
        let grouped = |events: &Vec<Event>| (shape.group_of_user(events).unwrap_or_default(), events.clone());
        let grouped: Vec<(Group, Vec<Event>)> = seen.iter().map(grouped).collect();
        for (emit, lines) in expected(&cal, &grouped, newest) {
            for input in INPUTS {
                let sql = call(&cal, &shape, input, emit);
                prop_assert_eq!(&answer(&database, &sql)?, &lines, "{}", sql);
            }
        }
    }
}
