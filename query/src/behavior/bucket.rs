//! Which day, week, month or interval an instant falls into, in a time zone.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;

pub(crate) const DAY_US: i64 = 86_400_000_000;

/// A division of time into buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Calendar days.
    Day,
    /// Calendar weeks, from Monday.
    Week,
    /// Calendar months.
    Month,
    /// Blocks of this many microseconds of wall-clock time, counted from 1970-01-01T00:00 in the time zone.
    IntervalUs(i64),
}

impl Bucket {
    /// Start of the bucket that holds `ts_us`, as microseconds since 1970 in UTC.
    ///
    /// Buckets follow the wall clock of `tz`: a day of 23 hours is one day, and so is a day whose midnight occurs twice,
    /// which starts with the first. Blocks of an interval that the clock runs through twice in autumn are two buckets,
    /// unless the interval is of whole days. A start that the clock skips in spring is the first instant after the gap.
    /// Instants outside of what a calendar holds (years beyond 262,000) come back unchanged.
    pub fn start_us(self, ts_us: i64, tz: Tz) -> i64 {
        let Some(utc) = DateTime::from_timestamp_micros(ts_us) else { return ts_us };
        let offset_us = offset_us(utc.naive_utc(), tz);
        let local_us = ts_us.saturating_add(offset_us);
        let start_local_us = match self {
            Self::Day => floor_to(local_us, DAY_US),
            Self::IntervalUs(width_us) => floor_to(local_us, width_us.max(1)),
            Self::Week => calendar_start(local_us, |day| {
                day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
            }),
            Self::Month => calendar_start(local_us, |day| day.with_day(1)),
        };
        let same_offset_us = start_local_us.saturating_sub(offset_us);
        match DateTime::from_timestamp_micros(same_offset_us) {
            // The offset of the instant is tried first: it keeps apart the two passes of an hour that occurs twice.
            // Not so for days, which a clock that shows their midnight twice does not divide.
            Some(start) if !self.is_of_days() && self::offset_us(start.naive_utc(), tz) == offset_us => same_offset_us,
            _ => local_to_utc_us(start_local_us, tz).unwrap_or(same_offset_us),
        }
    }

    fn is_of_days(self) -> bool {
        match self {
            Self::Day | Self::Week | Self::Month => true,
            Self::IntervalUs(width_us) => width_us % DAY_US == 0,
        }
    }
}

pub(super) fn offset_us(utc: NaiveDateTime, tz: Tz) -> i64 {
    if tz == Tz::UTC {
        return 0;
    }
    i64::from(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000
}

fn floor_to(value: i64, width: i64) -> i64 {
    value.saturating_sub(value.rem_euclid(width))
}

fn calendar_start(local_us: i64, first_day: impl Fn(NaiveDate) -> Option<NaiveDate>) -> i64 {
    DateTime::from_timestamp_micros(local_us)
        .and_then(|local| first_day(local.date_naive()))
        .map_or(local_us, |day| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
}

/// The first instant at which the wall clock of `tz` shows `local_us` or later.
pub(super) fn local_to_utc_us(local_us: i64, tz: Tz) -> Option<i64> {
    let local = DateTime::from_timestamp_micros(local_us)?.naive_utc();
    if tz == Tz::UTC {
        return Some(local_us);
    }
    // No zone ever skipped more than a day and a bit; gaps are whole minutes apart from a few historic ones.
    (0..=26 * 60).find_map(|minutes| {
        let shown = local.checked_add_signed(chrono::TimeDelta::minutes(minutes))?;
        match tz.from_local_datetime(&shown) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.timestamp_micros()),
            LocalResult::None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[track_caller]
    fn check(bucket: Bucket, tz: &str, at: &str, start: &str) {
        assert_eq!(bucket.start_us(us(at), tz.parse().unwrap()), us(start));
    }

    #[test]
    fn days_follow_the_zone() {
        check(Bucket::Day, "UTC", "2026-03-01T23:30:00Z", "2026-03-01T00:00:00Z");
        check(Bucket::Day, "Asia/Shanghai", "2026-03-01T23:30:00Z", "2026-03-01T16:00:00Z");
        check(Bucket::Day, "UTC", "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z");
    }

    #[test]
    fn a_day_of_23_or_25_hours_is_one_day() {
        check(Bucket::Day, "Europe/Berlin", "2026-03-29T21:00:00Z", "2026-03-28T23:00:00Z");
        check(Bucket::Day, "Europe/Berlin", "2026-10-25T22:30:00Z", "2026-10-24T22:00:00Z");
    }

    #[test]
    fn a_day_whose_midnight_occurs_twice_is_one_day() {
        // At 01:00 the clock of the Azores goes back to 00:00, that of Havana too.
        let days = [
            ("Atlantic/Azores", "2026-10-25T00:00:00Z", ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"]),
            ("Atlantic/Azores", "2026-10-25T00:00:00Z", ["2026-10-25T01:30:00Z", "2026-10-26T00:59:59Z"]),
            ("America/Havana", "2026-11-01T04:00:00Z", ["2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"]),
            ("America/Havana", "2026-11-01T04:00:00Z", ["2026-11-01T05:00:00Z", "2026-11-02T04:59:59Z"]),
        ];
        for (tz, start, instants) in days {
            for at in instants {
                check(Bucket::Day, tz, at, start);
                check(Bucket::IntervalUs(DAY_US), tz, at, start);
            }
        }
        check(Bucket::Month, "America/Havana", "2026-11-20T00:00:00Z", "2026-11-01T04:00:00Z");
        check(Bucket::Week, "Atlantic/Azores", "2026-10-25T02:00:00Z", "2026-10-19T00:00:00Z");
        // An interval shorter than a day keeps the two passes apart.
        let hour = Bucket::IntervalUs(3_600_000_000);
        check(hour, "Atlantic/Azores", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z");
        check(hour, "Atlantic/Azores", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z");
    }

    #[test]
    fn a_midnight_that_the_clock_skips_gives_the_first_instant_after_it() {
        check(Bucket::Day, "America/Sao_Paulo", "2018-11-04T15:00:00Z", "2018-11-04T03:00:00Z");
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        check(Bucket::Week, "UTC", "2026-11-22T04:00:00Z", "2026-11-16T00:00:00Z");
        check(Bucket::Week, "UTC", "2026-11-16T00:00:00Z", "2026-11-16T00:00:00Z");
        check(Bucket::Month, "Asia/Shanghai", "2026-02-28T20:00:00Z", "2026-02-28T16:00:00Z");
    }

    #[test]
    fn an_hour_that_occurs_twice_is_two_buckets() {
        let hour = Bucket::IntervalUs(3_600_000_000);
        check(hour, "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z");
        check(hour, "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z");
    }
}
