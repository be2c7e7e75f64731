//! Calendar days of timestamps in a time zone.

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

const DAY_US: i64 = 86_400 * 1_000_000;
const SECOND_US: i64 = 1_000_000;
/// Days whose offset is remembered. A power of two; a year fits.
const REMEMBERED_DAYS: usize = 512;
/// The offset is probed this often within a day of UTC. Zones never change twice within so short a time.
const PROBE_US: i64 = 900 * SECOND_US;

/// Tells the calendar day of timestamps in one time zone, exactly, at a few nanoseconds each.
#[derive(Debug, Clone)]
pub struct DayClock {
    tz: Tz,
    /// The range of time in which the last answer holds, and the answer.
    last: (i64, i64, i32),
    /// By day of UTC modulo [`REMEMBERED_DAYS`]: the day, and its offset if it has one throughout.
    remembered: Vec<(i64, Option<i64>)>,
}

impl DayClock {
    /// A clock for `tz`.
    pub fn new(tz: Tz) -> Self {
        Self { tz, last: (0, 0, 0), remembered: vec![(i64::MIN, None); REMEMBERED_DAYS] }
    }

    /// The calendar day of `ts_us` (microseconds since 1970, UTC) in the time zone, in days since 1970-01-01. Exact
    /// for every timestamp that a table stores.
    #[inline]
    pub fn day(&mut self, ts_us: i64) -> i32 {
        let (start, end, day) = self.last;
        if start <= ts_us && ts_us < end {
            return day;
        }
        self.look_up(ts_us)
    }

    fn look_up(&mut self, ts_us: i64) -> i32 {
        let utc_day = ts_us.div_euclid(DAY_US);
        let Some(offset_us) = self.offset_of_day(utc_day) else {
            return (ts_us + self.offset_us(ts_us)).div_euclid(DAY_US) as i32;
        };
        let day = (ts_us + offset_us).div_euclid(DAY_US);
        // The answer is remembered for that part of the calendar day which lies in this day of UTC.
        let start = (day * DAY_US - offset_us).max(utc_day * DAY_US);
        let end = ((day + 1) * DAY_US - offset_us).min((utc_day + 1) * DAY_US);
        self.last = (start, end, day as i32);
        day as i32
    }

    /// The offset that holds during all of a day of UTC, if one does.
    fn offset_of_day(&mut self, utc_day: i64) -> Option<i64> {
        if self.tz == Tz::UTC {
            return Some(0);
        }
        let slot = utc_day.rem_euclid(REMEMBERED_DAYS as i64) as usize;
        if self.remembered[slot].0 != utc_day {
            let start = utc_day * DAY_US;
            let offset_us = self.offset_us(start);
            let is_constant = (0..=DAY_US / PROBE_US).all(|probe| {
                // The last microsecond, not the first one of the next day.
                self.offset_us((start + probe * PROBE_US).min(start + DAY_US - 1)) == offset_us
            });
            self.remembered[slot] = (utc_day, is_constant.then_some(offset_us));
        }
        self.remembered[slot].1
    }

    fn offset_us(&self, ts_us: i64) -> i64 {
        let utc: NaiveDateTime = DateTime::from_timestamp_micros(ts_us).unwrap_or_default().naive_utc();
        i64::from(self.tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * SECOND_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{TS_MAX_US, TS_MIN_US};
    use chrono::NaiveDate;
    use proptest::prelude::*;

    fn plain(tz: Tz, ts_us: i64) -> i32 {
        let local = DateTime::from_timestamp_micros(ts_us).unwrap().with_timezone(&tz).naive_local();
        (local.date() - NaiveDate::from_ymd_opt(1970, 1, 1).unwrap()).num_days() as i32
    }

    fn zones() -> impl Strategy<Value = Tz> {
        prop::sample::select(vec![
            Tz::UTC,
            Tz::Europe__Berlin,
            Tz::America__New_York,
            Tz::America__St_Johns,
            Tz::Asia__Kolkata,
            Tz::Asia__Kathmandu,
            Tz::Australia__Lord_Howe,
            Tz::Pacific__Apia,
            Tz::Africa__Casablanca,
            Tz::Asia__Shanghai,
        ])
    }

    #[test]
    fn both_ends_of_time_and_every_quarter_hour_of_some_years() {
        for tz in [Tz::UTC, Tz::America__St_Johns, Tz::Pacific__Apia, Tz::Asia__Kathmandu] {
            let mut clock = DayClock::new(tz);
            for ts in [TS_MIN_US, TS_MIN_US + DAY_US, -1, 0, 1, TS_MAX_US - DAY_US, TS_MAX_US] {
                assert_eq!(clock.day(ts), plain(tz, ts), "{tz} {ts}");
            }
            for year_us in [-2_900_000_000_000_000_i64, 1_136_000_000_000_000, 1_300_000_000_000_000] {
                for quarter in 0..40_000 {
                    let ts = year_us + quarter * PROBE_US - 1;
                    assert_eq!(clock.day(ts), plain(tz, ts), "{tz} {ts}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(tz in zones(), start in TS_MIN_US..TS_MAX_US, recent in 0..2_000_000_000_000_000_i64,
                              steps in prop::collection::vec(0..20_000_000_000_i64, 1..60)) {
            for start in [start, recent] {
                let mut clock = DayClock::new(tz);
                let mut ts = start;
                for step in &steps {
                    ts = (ts + step).min(TS_MAX_US);
                    prop_assert_eq!(clock.day(ts), plain(tz, ts));
                }
            }
        }
    }
}
