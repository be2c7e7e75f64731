//! Days, weeks and months of a time zone as numbers, so that "n periods later" is an addition.

use super::bucket::{DAY_US, local_to_utc_us, offset_us};
use chrono::{DateTime, Datelike, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Weekday};
use chrono_tz::Tz;

/// Instants further than this from 1970 (253,000 years) are taken to be this far: calendars end soon after.
const FAR_US: i64 = 8_000_000_000_000_000_000;

/// A calendar unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    /// Days.
    Day,
    /// Weeks that start on this day.
    Week(Weekday),
    /// Months.
    Month,
}

/// A unit with its number and the instants at which it begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Numbers of neighbouring units differ by one.
    pub(super) number: i64,
    /// The first instant, in microseconds since 1970.
    pub(super) start_us: i64,
    /// The first instant of the next unit.
    pub(super) end_us: i64,
}

impl Unit {
    /// The unit that holds `ts_us`.
    ///
    /// Where the clock goes back over midnight, the new day has begun at its first midnight and does not end again:
    /// numbers never fall while time goes on.
    pub(super) fn span(self, ts_us: i64, tz: Tz) -> Span {
        let ts_us = ts_us.clamp(-FAR_US, FAR_US);
        let mut number = self.number(local(ts_us, tz).date());
        let mut end_us = self.start_us(number + 1, tz);
        while end_us <= ts_us {
            number += 1;
            end_us = self.start_us(number + 1, tz);
        }
        Span { number, start_us: self.start_us(number, tz), end_us }
    }

    /// The first instant of the unit of this number.
    pub(super) fn start_us(self, number: i64, tz: Tz) -> i64 {
        let day = match self {
            Self::Day => number,
            Self::Week(starts_on) => number.saturating_mul(7).saturating_add(monday_offset(starts_on)),
            Self::Month => first_day_of_month(number),
        };
        let local_us = day.saturating_mul(DAY_US);
        local_to_utc_us(local_us, tz).unwrap_or(local_us)
    }

    fn number(self, date: NaiveDate) -> i64 {
        match self {
            Self::Month => month_number(date),
            Self::Day | Self::Week(_) => self.of_day(i64::from(date.to_epoch_days())),
        }
    }

    /// The unit of a day, which counts from 1970-01-01.
    pub(super) fn of_day(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            Self::Week(starts_on) => (day - monday_offset(starts_on)).div_euclid(7),
            Self::Month => {
                let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
                date.map_or(i64::MAX / DAY_US, month_number)
            }
        }
    }
}

/// Whether no clock goes back over midnight between two instants.
pub(super) fn days_are_whole(from_us: i64, to_us: i64, tz: Tz) -> bool {
    if tz == Tz::UTC || from_us > to_us {
        return true;
    }
    let date = |us: i64| local(us.clamp(-FAR_US, FAR_US), tz).date();
    let (first, last) = (date(from_us).to_epoch_days() - 1, date(to_us).to_epoch_days() + 1);
    (first..=last).filter_map(NaiveDate::from_epoch_days).all(|day| {
        match tz.from_local_datetime(&day.and_time(NaiveTime::MIN)) {
            // Midnight comes twice. Just before the second one it may be the evening of the day before, once more.
            MappedLocalTime::Ambiguous(_, second) => date(second.timestamp_micros() - 1) >= day,
            _ => true,
        }
    })
}

/// Months from `from_us` to `to_us` by the wall clock, with those that are not over.
pub(super) fn months_between(from_us: i64, to_us: i64, tz: Tz) -> i64 {
    let date = |us: i64| local(us.clamp(-FAR_US, FAR_US), tz).date();
    month_number(date(to_us)) - month_number(date(from_us))
}

/// The instant `months` months later by the wall clock: the same day and time of day, or the last day of a shorter
/// month. Of an hour that occurs twice it is the first, and after an hour that is skipped the first instant.
pub(super) fn add_months(ts_us: i64, months: i64, tz: Tz) -> i64 {
    let later = u32::try_from(months).ok().and_then(|months| {
        let from = local(ts_us.clamp(-FAR_US, FAR_US), tz);
        let at = from.checked_add_months(Months::new(months))?;
        local_to_utc_us(at.and_utc().timestamp_micros(), tz)
    });
    if months == 0 { ts_us } else { later.unwrap_or(i64::MAX) }
}

fn local(ts_us: i64, tz: Tz) -> NaiveDateTime {
    let utc = DateTime::from_timestamp_micros(ts_us).unwrap_or_default().naive_utc();
    utc.checked_add_signed(chrono::TimeDelta::microseconds(offset_us(utc, tz))).unwrap_or(utc)
}

/// 1970-01-05 was a Monday.
fn monday_offset(starts_on: Weekday) -> i64 {
    4 + i64::from(starts_on.num_days_from_monday())
}

fn month_number(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn first_day_of_month(number: i64) -> i64 {
    let date = i32::try_from(number.div_euclid(12))
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, number.rem_euclid(12) as u32 + 1, 1));
    date.map_or(i64::MAX / DAY_US, |date| date.and_time(NaiveTime::MIN).and_utc().timestamp_micros() / DAY_US)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behavior::bucket::Bucket;

    fn us(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[test]
    fn units_begin_where_buckets_begin() {
        let instants = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-03-29T21:00:00Z", "1969-12-31T23:59:59Z"];
        for tz in ["UTC", "Europe/Berlin", "Atlantic/Azores", "America/Havana", "America/Sao_Paulo"] {
            let tz: Tz = tz.parse().unwrap();
            for at in instants.map(us) {
                for (unit, bucket) in
                    [(Unit::Day, Bucket::Day), (Unit::Week(Weekday::Mon), Bucket::Week), (Unit::Month, Bucket::Month)]
                {
                    let span = unit.span(at, tz);
                    assert_eq!(span.start_us, bucket.start_us(at, tz));
                    assert!(at < span.end_us);
                    assert_eq!(unit.span(span.end_us, tz).number, span.number + 1);
                }
            }
        }
    }

    #[test]
    fn a_new_day_does_not_end_when_the_clock_goes_back_over_its_midnight() {
        // At 00:01 the clock of St John's went back to 23:01.
        let tz: Tz = "America/St_Johns".parse().unwrap();
        let number = |at: &str| Unit::Day.span(us(at), tz).number;
        let first = number("2010-11-07T02:30:30Z");
        assert_eq!(number("2010-11-07T02:29:00Z"), first - 1);
        assert_eq!(number("2010-11-07T03:10:00Z"), first);
        assert_eq!(number("2010-11-07T12:00:00Z"), first);
    }

    #[test]
    fn weeks_start_on_the_chosen_day() {
        let start = |starts_on| Unit::Week(starts_on).span(us("2026-11-25T12:00:00Z"), Tz::UTC).start_us;
        assert_eq!(start(Weekday::Mon), us("2026-11-23T00:00:00Z"));
        assert_eq!(start(Weekday::Sun), us("2026-11-22T00:00:00Z"));
        assert_eq!(start(Weekday::Thu), us("2026-11-19T00:00:00Z"));
    }

    #[test]
    fn months_later_keep_the_wall_clock() {
        let tz: Tz = "Europe/Berlin".parse().unwrap();
        let from = us("2026-01-31T09:00:00Z");
        assert_eq!(add_months(from, 0, tz), from);
        assert_eq!(add_months(from, 1, tz), us("2026-02-28T09:00:00Z"));
        assert_eq!(add_months(from, 2, tz), us("2026-03-31T08:00:00Z"));
    }

    #[test]
    fn the_ends_of_time_are_in_some_unit() {
        for unit in [Unit::Day, Unit::Week(Weekday::Sun), Unit::Month] {
            let (first, last) = (unit.span(i64::MIN, Tz::UTC), unit.span(i64::MAX, Tz::UTC));
            assert!(first.number < last.number);
            assert!(unit.start_us(i64::MAX / 4, Tz::UTC) >= last.start_us);
        }
        assert_eq!(add_months(0, i64::MAX, Tz::UTC), i64::MAX);
    }
}
