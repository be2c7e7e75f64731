//! Which calendar days of a segment lie in a stretch of time: wholly, or in part.

use crate::index::DayClock;
use crate::segment::Segment;
use crate::types::TimeRange;
use chrono::{MappedLocalTime, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;
use std::ops::RangeInclusive;

/// Days of a segment, in the time zone of its bitmaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DayEdges {
    /// All events of these days lie in the time.
    pub(super) inside: RangeInclusive<i32>,
    /// No event of any other day does.
    pub(super) touched: RangeInclusive<i32>,
}

impl DayEdges {
    /// The days of `segment` for a time that overlaps it.
    pub(super) fn of(segment: &Segment, time: TimeRange) -> Self {
        let meta = segment.meta();
        let mut clock = DayClock::new(segment.time_zone());
        let from = (time.start_us > meta.ts_min).then_some(time.start_us);
        let until = (time.end_us <= meta.ts_max).then_some(time.end_us);
        edges(segment.time_zone(), &mut clock, from, until)
    }

    /// The days of which a part lies in the time, or may.
    pub(super) fn partly(&self) -> Vec<RangeInclusive<i32>> {
        if self.inside.is_empty() {
            return vec![self.touched.clone()];
        }
        let before = *self.touched.start()..=self.inside.start().saturating_sub(1);
        let after = self.inside.end().saturating_add(1)..=*self.touched.end();
        [(self.inside.start() > self.touched.start(), before), (self.inside.end() < self.touched.end(), after)]
            .into_iter()
            .filter_map(|(is_there, days)| is_there.then_some(days))
            .collect()
    }

    /// Whether the time has all of the segment.
    pub(super) fn is_all(&self) -> bool {
        self.inside == (i32::MIN..=i32::MAX)
    }
}

/// `from` and `until` are where the time begins and ends, where that is within the events.
fn edges(tz: Tz, clock: &mut DayClock, from: Option<i64>, until: Option<i64>) -> DayEdges {
    let (mut inside, mut touched) = ((i32::MIN, i32::MAX), (i32::MIN, i32::MAX));
    if let Some(at) = from {
        let (before, after, runs_on) = around(tz, clock, at);
        // Where a clock goes back over a midnight, a day has events on both sides of others: a day more on either side.
        inside.0 = if runs_on { before + 1 } else { before.max(after) + 2 };
        touched.0 = if runs_on { after } else { before.min(after) - 1 };
    }
    if let Some(at) = until {
        let (before, after, runs_on) = around(tz, clock, at);
        inside.1 = if runs_on { after - 1 } else { before.min(after) - 2 };
        touched.1 = if runs_on { before } else { before.max(after) + 1 };
    }
    DayEdges { inside: inside.0..=inside.1, touched: touched.0..=touched.1 }
}

/// The days just before an instant and at it, and whether days around it begin only once.
fn around(tz: Tz, clock: &mut DayClock, at: i64) -> (i32, i32, bool) {
    let (before, after) = (clock.day(at - 1), clock.day(at));
    let days = before.min(after).saturating_sub(1)..=before.max(after).saturating_add(1);
    (before, after, before <= after && days.clone().all(|day| !begins_again(tz, day)))
}

/// Whether the clock shows the midnight at which a day begins, then the day before, and then that midnight once more.
fn begins_again(tz: Tz, day: i32) -> bool {
    if tz == Tz::UTC {
        return false;
    }
    let Some(date) = NaiveDate::from_epoch_days(day) else { return false };
    match tz.from_local_datetime(&date.and_time(NaiveTime::MIN)) {
        MappedLocalTime::Ambiguous(_, second) => {
            let just_before = second.checked_sub_signed(chrono::TimeDelta::microseconds(1));
            just_before.is_some_and(|at| at.date_naive() < date)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_US: i64 = 86_400_000_000;
    const HOUR_US: i64 = 3_600_000_000;

    fn of(tz: Tz, from: Option<i64>, until: Option<i64>) -> DayEdges {
        edges(tz, &mut DayClock::new(tz), from, until)
    }

    #[test]
    fn whole_days_are_inside() {
        assert_eq!(of(Tz::UTC, Some(3 * DAY_US), Some(5 * DAY_US)), DayEdges { inside: 3..=4, touched: 3..=4 });
        assert_eq!(of(Tz::UTC, Some(3 * DAY_US + 1), Some(5 * DAY_US + 1)), DayEdges { inside: 4..=4, touched: 3..=5 });
        assert!(of(Tz::UTC, None, None).is_all());
        assert!(!of(Tz::UTC, None, Some(5)).is_all());
    }

    /// Newfoundland set its clocks back at a minute past midnight until 2011, so that a day began, ended, and began again.
    const ZONES: [Tz; 4] = [Tz::UTC, Tz::America__St_Johns, Tz::America__Sao_Paulo, Tz::Europe__Berlin];
    /// 2010-11-07T00:01 in St. John's, in UTC; 2011-02-20T00:00 in São Paulo; 2026-10-25T03:00 in Berlin.
    const TURNS: [i64; 3] = [1_289_097_060_000_000, 1_298_167_200_000_000, 1_792_890_000_000_000];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn edges_are_true_of_every_instant(
            zone in 0..ZONES.len(),
            turn in 0..TURNS.len(),
            minutes in (-3_000_i64..3_000, -3_000_i64..3_000),
            instants in prop::collection::vec(-6_000_i64..6_000, 40),
        ) {
            let tz = ZONES[zone];
            let at = |minutes: i64| TURNS[turn] + minutes * HOUR_US / 60;
            let (from, until) = (at(minutes.0.min(minutes.1)), at(minutes.0.max(minutes.1)) + 1);
            let found = of(tz, Some(from), Some(until));
            for instant in instants.into_iter().map(at).chain([from, from - 1, until, until - 1]) {
                let day = DayClock::new(tz).day(instant);
                let is_in = (from..until).contains(&instant);
                prop_assert!(!found.inside.contains(&day) || is_in, "{found:?} {day} {instant}");
                prop_assert!(!is_in || found.touched.contains(&day), "{found:?} {day} {instant}");
            }
        }
    }
}
