//! A user and a retention, drawn so that ties, and events on both sides of the ends of periods, are frequent.

use crate::calendar::{DAY_US, HOUR_US, MINUTE_US, MOMENTS, ZONES, Zone};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use trodden_query::behavior::retention::{Cohorts, Mode, Period, Periods, RetentionSpec, Windows};

/// One event: its time, and whether it is a start (bit 0) and a return (bit 1).
pub(crate) type Event = (i64, u64);

/// Arguments, with the zone that they name.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) spec: RetentionSpec,
    pub(crate) zone: &'static Zone,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.spec.fmt(f)
    }
}

fn period() -> impl Strategy<Value = Period> {
    prop_oneof![
        3 => Just(Period::Day),
        2 => (0..7_u8).prop_map(|day| Period::Week { starts_on: day.try_into().unwrap() }),
        2 => Just(Period::Month),
        3 => (1..8_u32).prop_map(Period::Days),
    ]
}

fn periods() -> impl Strategy<Value = Periods> {
    prop_oneof![
        (0..5_u32).prop_map(Periods::Count),
        btree_set(1..9_u32, 1..4).prop_map(|ends| Periods::Brackets(ends.into_iter().collect())),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let mode = prop_oneof![Just(Mode::On), Just(Mode::OnOrAfter), Just(Mode::OnOrBefore), Just(Mode::Streak)];
    let cohort = prop_oneof![Just(Cohorts::First), Just(Cohorts::Every)];
    let windows = prop_oneof![Just(Windows::Calendar), Just(Windows::Rolling)];
    let min_count = prop_oneof![3 => Just(1_u32), 1 => Just(2), 1 => Just(3)];
    (period(), periods(), mode, cohort, windows, min_count, 0..ZONES.len()).prop_map(
        |(period, periods, mode, cohort, windows, min_count, zone)| {
            let zone = &ZONES[zone];
            let time_zone = zone.name.parse().unwrap();
            Case { spec: RetentionSpec { period, periods, mode, cohort, windows, min_count, time_zone }, zone }
        },
    )
}

/// Where and in which steps events lie; users of one snapshot share it.
pub(crate) fn grid() -> impl Strategy<Value = (i64, i64)> {
    let step = prop_oneof![
        Just(30 * MINUTE_US),
        Just(6 * HOUR_US),
        Just(12 * HOUR_US),
        Just(DAY_US),
        Just(2 * DAY_US),
        Just(7 * DAY_US)
    ];
    ((0..MOMENTS.len()).prop_map(|moment| MOMENTS[moment]), step)
}

/// Events in total order. Some lie a microsecond beside the grid.
pub(crate) fn events((from, step): (i64, i64), count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let mask = prop_oneof![1 => Just(0_u64), 2 => Just(1), 4 => Just(2), 2 => Just(3)];
    let beside = prop_oneof![4 => Just(0_i64), 1 => Just(-1), 1 => Just(1)];
    let event = (0..13_i64, beside, mask).prop_map(move |(at, beside, mask)| (from + at * step + beside, mask));
    vec(event, 0..=count_max).prop_map(|mut events| {
        events.sort_by_key(|event| event.0);
        events
    })
}
