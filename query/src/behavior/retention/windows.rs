//! Where the periods of a cohort lie in time.

use super::spec::{Period, RetentionSpec, Windows};
use crate::behavior::bucket::DAY_US;
use crate::behavior::calendar::{Unit, add_months, days_are_whole, months_between};

impl Period {
    /// The calendar unit that divides users into cohorts.
    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Day | Self::Days(_) => Unit::Day,
            Self::Week { starts_on } => Unit::Week(starts_on),
            Self::Month => Unit::Month,
        }
    }

    /// How many units a period has.
    pub(super) fn units(self) -> i64 {
        match self {
            Self::Days(days) => i64::from(days.max(1)),
            Self::Day | Self::Week { .. } | Self::Month => 1,
        }
    }

    /// The fixed length of a rolling period; months have none.
    fn rolling_us(self) -> Option<i64> {
        match self {
            Self::Day => Some(DAY_US),
            Self::Week { .. } => Some(7 * DAY_US),
            Self::Days(days) => Some(i64::from(days.max(1)) * DAY_US),
            Self::Month => None,
        }
    }
}

impl RetentionSpec {
    /// The calendar unit of a day, which counts from 1970-01-01. Units divide users into cohorts.
    pub fn unit_of_day(&self, day: i32) -> i64 {
        self.period.unit().of_day(i64::from(day))
    }

    /// The first instant of a calendar unit.
    pub fn unit_start_us(&self, unit: i64) -> i64 {
        self.period.unit().start_us(unit, self.time_zone)
    }

    /// Whether each calendar day between two instants is one stretch of time, so that it says all about the units of its
    /// events. It is not where a clock goes back over midnight: the new day has begun by then (see `Unit::span`), but
    /// the date is that of the day before.
    pub fn has_whole_days(&self, (from_us, to_us): (i64, i64)) -> bool {
        days_are_whole(from_us, to_us, self.time_zone)
    }

    /// The first instant of rolling period `period` after a start event.
    pub(super) fn rolling_start_us(&self, start_ts: i64, period: i64) -> i64 {
        match self.period.rolling_us() {
            Some(length_us) => start_ts.saturating_add(length_us.saturating_mul(period)),
            None => add_months(start_ts, period, self.time_zone),
        }
    }

    /// The rolling period of an instant that is not before the start event.
    pub(super) fn rolling_period(&self, start_ts: i64, ts: i64) -> i64 {
        if let Some(length_us) = self.period.rolling_us() {
            return ts.saturating_sub(start_ts) / length_us;
        }
        let months = months_between(start_ts, ts, self.time_zone);
        // The last of them may not be over, and short months and changes of clocks move ends by days at most.
        let over = |months: &i64| self.rolling_start_us(start_ts, *months) <= ts;
        (months - 1..=months + 1).rev().find(over).unwrap_or(0).max(0)
    }

    /// The first instant after each of `periods`, for a cohort that starts at `cohort_us` and whose last start event is at
    /// `last_start_ts`.
    pub(super) fn period_ends_us(
        &self,
        cohort_us: i64,
        last_start_ts: i64,
        periods: impl Iterator<Item = u32>,
    ) -> Vec<i64> {
        let next = periods.map(|period| i64::from(period) + 1);
        match self.windows {
            Windows::Rolling => next.map(|next| self.rolling_start_us(last_start_ts, next)).collect(),
            Windows::Calendar => {
                let unit = self.period.unit();
                let first = unit.span(cohort_us, self.time_zone).number;
                let after = |next: i64| first.saturating_add(self.period.units().saturating_mul(next));
                next.map(|next| unit.start_us(after(next), self.time_zone)).collect()
            }
        }
    }
}
