//! What is counted from days alone is what the kernel counts from the events themselves.

use crate::case::config;
use crate::retention_case::{Case, Event, case, events, grid};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trodden_engine::scan::NO_DAY;
use trodden_query::behavior::retention::{
    Cohorts, DayBits, DayRows, FirstDays, Mode, Period, RETURN, RetentionKernel, RetentionPartial, RetentionRow, START,
    Windows,
};

/// Groups that users have.
const GROUPS: u32 = 3;

/// Users of one group each.
type Users = [(u32, Vec<Event>)];

/// Start events are return events, or none of them is.
fn with_overlap(users: &mut Users, inside: bool) {
    for event in users.iter_mut().flat_map(|user| &mut user.1) {
        if event.1 == START | RETURN || inside && event.1 == START {
            event.1 = if inside { START | RETURN } else { START };
        }
    }
}

fn by_events(case: &Case, users: &Users) -> Vec<RetentionRow<u32>> {
    let mut kernel = RetentionKernel::new(case.spec.clone()).unwrap();
    let mut partial = RetentionPartial::default();
    for (group, events) in users {
        let (times, masks): (Vec<i64>, Vec<u64>) = events.iter().copied().unzip();
        kernel.run(&times, &masks, |cohort| partial.add(*group, &cohort));
    }
    partial.finish(&case.spec, 0)
}

/// By day, users and how many events each has.
type Days = BTreeMap<i32, BTreeMap<u32, u32>>;

/// By day, the users with such an event, and how many each has.
fn days(case: &Case, users: &Users, bit: u64) -> Days {
    let mut days = Days::new();
    for (user, (_, events)) in (0..).zip(users) {
        for (ts, _) in events.iter().filter(|event| event.1 & bit != 0) {
            *days.entry(case.zone.day(*ts) as i32).or_default().entry(user).or_default() += 1;
        }
    }
    days
}

fn by_units(case: &Case, users: &Users, inside: bool) -> Vec<RetentionRow<u32>> {
    let mut kernel = RetentionKernel::new(case.spec.clone()).unwrap();
    let mut partial = RetentionPartial::default();
    let (starts, returns) = (days(case, users, START), days(case, users, RETURN));
    for (user, (group, _)) in (0..).zip(users) {
        let mut last_unit = None;
        for (&day, _) in starts.iter().filter(|(_, of_day)| of_day.contains_key(&user)) {
            let unit = case.spec.unit_of_day(day);
            let again = last_unit.replace(unit);
            if again == Some(unit) || case.spec.cohort == Cohorts::First && again.is_some() {
                continue;
            }
            let own = returns.iter().filter(|(_, of_day)| of_day.contains_key(&user));
            let units = own.map(|(&day, _)| case.spec.unit_of_day(day)).filter(|&of_day| of_day >= unit);
            let once = returns.get(&day).and_then(|of_day| of_day.get(&user)) == Some(&1);
            let rows = kernel.rows_of_units(unit, units, inside && once).to_vec();
            let mut cohort = trodden_query::behavior::retention::CohortPartial::default();
            let cohort_us = case.spec.unit_start_us(unit);
            cohort.add_rows(cohort_us, &rows);
            partial.merge_cohort(cohort_us, *group, cohort);
        }
    }
    partial.finish(&case.spec, 0)
}

/// The first and the last day with an event.
fn range_of(case: &Case, users: &Users) -> (i32, i32) {
    let days = || users.iter().flat_map(|user| &user.1).map(|event| case.zone.day(event.0) as i32);
    (days().min().unwrap_or(0), days().max().unwrap_or(0))
}

/// The first day with a start event of each user, [`NO_DAY`] for none; the groups; the days with return events.
fn by_user(case: &Case, users: &Users) -> (Vec<i32>, Vec<u32>, Days) {
    let starts = days(case, users, START);
    let day_of = |user: u32| starts.iter().find(|(_, of_day)| of_day.contains_key(&user)).map(|(&day, _)| day);
    let first = (0..users.len() as u32).map(|user| day_of(user).unwrap_or(NO_DAY)).collect();
    (first, users.iter().map(|user| user.0).collect(), days(case, users, RETURN))
}

/// The users in two sets, which are numbered from 0 each.
fn by_first_days(case: &Case, users: &Users, inside: bool) -> Option<Vec<RetentionRow<u32>>> {
    let range = range_of(case, users);
    let mut table = FirstDays::new(&case.spec, range)?;
    let (first, second) = users.split_at(users.len() / 2);
    for users in [first, second] {
        let (first, groups, returns) = by_user(case, users);
        table.begin(&first, Some(&groups));
        for (&day, of_day) in &returns {
            let all: Vec<u32> = of_day.keys().copied().collect();
            let twice: Vec<u32> = of_day.iter().filter(|(_, count)| **count > 1).map(|(user, _)| *user).collect();
            table.returned(day, &all, inside);
            if inside {
                table.returned_twice(day, &twice);
            }
        }
    }
    let mut partial = RetentionPartial::default();
    table.finish(&case.spec).for_each(|(cohort_us, group, cohort)| partial.merge_cohort(cohort_us, group, cohort));
    Some(partial.finish(&case.spec, 0))
}

/// A bit a day for users, as [`DayBits`] has them.
struct Bits {
    first_day: i32,
    words: usize,
    users: Vec<u64>,
    active: Vec<u64>,
    twice: Vec<u64>,
}

fn bits(returns: &Days, users: usize, first_day: i32, words: usize) -> Bits {
    let lists = |words| vec![0_u64; users * words];
    let mut bits =
        Bits { first_day, words, users: vec![0; users.div_ceil(64)], active: lists(words), twice: lists(words) };
    for (&day, of_day) in returns {
        let at = (day - first_day) as usize;
        for (&user, &count) in of_day {
            let place = user as usize * words + at / 64;
            bits.users[user as usize / 64] |= 1 << (user % 64);
            bits.active[place] |= 1 << (at % 64);
            bits.twice[place] |= u64::from(count > 1) << (at % 64);
        }
    }
    bits
}

/// The users in three sets, of which the last one is counted apart. Bits begin `earlier` days before the first return, and
/// have `spare` words at the end.
fn by_day_rows(
    case: &Case,
    users: &Users,
    inside: bool,
    (earlier, spare): (i32, usize),
    merged: bool,
) -> Option<Vec<RetentionRow<u32>>> {
    let range = range_of(case, users);
    let mut table = DayRows::new(&case.spec, range, merged)?;
    let (first, others) = users.split_at(users.len() / 3);
    let (second, third) = others.split_at(others.len() / 2);
    let mut apart = DayRows::new(&case.spec, range, merged)?;
    for (number, users) in [first, second, third].into_iter().enumerate() {
        let (first, mut groups, returns) = by_user(case, users);
        let table = if number == 2 { &mut apart } else { &mut table };
        if number == 2 {
            // There, groups have other numbers.
            groups.iter_mut().for_each(|group| *group = (*group + 1) % GROUPS);
        }
        let first_day = returns.keys().next().map_or(range.0, |first| first - earlier);
        let last_day = returns.keys().last().copied().unwrap_or(first_day);
        let words = (last_day - first_day) as usize / 64 + 1 + spare;
        let bits = bits(&returns, users.len(), first_day, words);
        let Bits { first_day, words, ref users, ref active, ref twice } = bits;
        let twice = inside.then_some(twice.as_slice());
        table.add(&first, &DayBits { first_day, words, users, active, twice }, Some(&groups));
    }
    let numbers: Vec<u32> = (0..GROUPS).map(|group| (group + GROUPS - 1) % GROUPS).collect();
    table.merge(&apart, &numbers);
    let mut partial = RetentionPartial::default();
    let cohorts = table.finish(&case.spec).into_iter();
    cohorts.for_each(|(cohort_us, group, cohort)| partial.merge_cohort(cohort_us, group, cohort));
    Some(partial.finish(&case.spec, 0))
}

/// Users of all cohorts of each group, and those that count, by group and period.
fn sums(rows: &[RetentionRow<u32>]) -> BTreeMap<(u32, u32), (u64, u64)> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let (cohort_users, users) = sums.entry((row.key, row.period)).or_default();
        (*cohort_users, *users) = (*cohort_users + row.cohort_users, *users + row.users);
    }
    sums
}

/// Whether the answer is had from bits of days.
fn has_day_rows(case: &Case) -> bool {
    let (days, periods) = match case.spec.period {
        Period::Day => (1, &case.spec.periods),
        Period::Days(days) => (days, &case.spec.periods),
        Period::Week { .. } | Period::Month => return false,
    };
    let plain = case.spec.mode == Mode::On && case.spec.cohort == Cohorts::First;
    plain && periods.rows() < 64 && (periods.period(periods.rows() - 1) + 1) * days <= 128
}

/// Counters have room for fewer users than there may be.
#[test]
fn counters_are_emptied_before_they_are_full() {
    let spec = trodden_query::behavior::retention::RetentionSpec::default();
    let users = 200_001;
    let mut table = DayRows::new(&spec, (10, 12), false).unwrap();
    let (first, active) = (vec![11; users], vec![0b1010_u64; users]);
    let everybody = vec![u64::MAX; users.div_ceil(64)];
    let returns = DayBits { first_day: 10, words: 1, users: &everybody, active: &active, twice: None };
    table.add(&first, &returns, None);
    let mut partial = RetentionPartial::default();
    table
        .finish(&spec)
        .into_iter()
        .for_each(|(cohort_us, group, cohort)| partial.merge_cohort(cohort_us, group, cohort));
    let rows = partial.finish(&spec, 0);
    let counts: Vec<u64> = rows.iter().map(|row| row.users).take(4).collect();
    assert_eq!((rows[0].cohort_users, counts), (200_001, vec![200_001, 0, 200_001, 0]));
}

proptest! {
    #![proptest_config(config(6_000))]

    #[test]
    fn days_say_what_events_say(
        mut case in case(),
        plain in any::<bool>(),
        inside in any::<bool>(),
        place in (prop_oneof![0..3_i32, 0..200_i32], 0..3_usize),
        mut users in grid().prop_flat_map(|grid| vec((0..GROUPS, events(grid, 7)), 1..5)),
    ) {
        case.spec.windows = Windows::Calendar;
        case.spec.min_count = 1;
        if plain {
            (case.spec.mode, case.spec.cohort) = (Mode::On, Cohorts::First);
        }
        with_overlap(&mut users, inside);
        let times = || users.iter().flat_map(|user| &user.1).map(|event| event.0);
        let range = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        prop_assume!(case.spec.has_whole_days(range));
        let expected = by_events(&case, &users);
        prop_assert_eq!(by_units(&case, &users, inside), expected.clone());
        let first = by_first_days(&case, &users, inside);
        prop_assert_eq!(first.is_some(), case.spec.mode == Mode::On && case.spec.cohort == Cohorts::First);
        if let Some(first) = first {
            prop_assert_eq!(first, expected.clone());
        }
        let rows = by_day_rows(&case, &users, inside, place, false);
        prop_assert_eq!(rows.is_some(), has_day_rows(&case));
        if let Some(rows) = rows {
            prop_assert_eq!(&rows, &expected);
            let merged = by_day_rows(&case, &users, inside, place, true).expect("as before");
            prop_assert_eq!(merged.len(), sums(&merged).len(), "one cohort a group");
            prop_assert_eq!(sums(&merged), sums(&expected));
        }
    }
}

/// Where the clock goes back over midnight, and only there, a date is not all that there is to say of a day.
#[test]
fn only_a_clock_that_goes_back_over_midnight_divides_a_day() {
    let hour = 3_600_000_000;
    let whole = |zone: &str, at_s: i64| {
        let around = (at_s * 1_000_000 - 30 * hour, at_s * 1_000_000 + 30 * hour);
        let spec = trodden_query::behavior::retention::RetentionSpec {
            time_zone: zone.parse().unwrap(),
            ..Default::default()
        };
        spec.has_whole_days(around)
    };
    assert!(!whole("America/St_Johns", 1_289_097_060), "2010-11-07T02:31:00Z: from 00:01 back to 23:01");
    assert!(whole("America/St_Johns", 1_291_689_060), "2010-12-07T02:31:00Z");
    assert!(whole("America/Havana", 1_793_509_200), "2026-11-01T05:00:00Z: from 01:00 back to 00:00");
    assert!(whole("Europe/Berlin", 1_792_890_000), "2026-10-25T01:00:00Z");
    assert!(whole("America/Sao_Paulo", 1_541_300_400), "2018-11-04T03:00:00Z: from 00:00 on to 01:00");
    assert!(whole("Pacific/Apia", 1_325_239_200), "2011-12-30T10:00:00Z: a day is left out");
}
