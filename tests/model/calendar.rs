//! Days, weeks, months and blocks of time by the wall clock, worked out from a table of when clocks change in 2026. Knows
//! nothing of a library of time zones.

use trodden_query::behavior::funnel::Bucket;

pub(crate) const MINUTE_US: i64 = 60_000_000;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
pub(crate) const DAY_US: i64 = 24 * HOUR_US;

/// A zone in 2026: its name, its offset in minutes when the year begins, and when it changes to which.
pub(crate) struct Zone {
    pub(crate) name: &'static str,
    first: i64,
    changes: &'static [(i64, i64)],
}

/// 2026-01-01T00:00:00Z.
const YEAR_US: i64 = 1_767_225_600_000_000;

/// Hours since the year began, for changes that are told in whole and half hours.
const fn at(day_of_year: i64, minutes: i64) -> i64 {
    YEAR_US + day_of_year * DAY_US + minutes * MINUTE_US
}

/// Days of the year, from 0: 8 March is 66, 29 March 87, 4 April 93, 3 October 275, 25 October 297, 1 November 304.
pub(crate) const ZONES: [Zone; 6] = [
    Zone { name: "UTC", first: 0, changes: &[] },
    Zone { name: "Asia/Shanghai", first: 480, changes: &[] },
    Zone { name: "Europe/Berlin", first: 60, changes: &[(at(87, 60), 120), (at(297, 60), 60)] },
    Zone { name: "Atlantic/Azores", first: -60, changes: &[(at(87, 60), 0), (at(297, 60), -60)] },
    Zone { name: "America/Havana", first: -300, changes: &[(at(66, 300), -240), (at(304, 300), -300)] },
    Zone { name: "Australia/Lord_Howe", first: 660, changes: &[(at(93, 900), 630), (at(275, 930), 660)] },
];

/// Instants around which clocks change, and the ends of a year.
pub(crate) const MOMENTS: [i64; 7] =
    [at(0, 0), at(66, 200), at(87, 0), at(93, 800), at(275, 800), at(296, 1_380), at(304, 200)];

impl Zone {
    /// What the wall clock shows, as microseconds since it showed 1970.
    pub(crate) fn local_us(&self, us: i64) -> i64 {
        let offset = self.changes.iter().rev().find(|(from, _)| us >= *from).map_or(self.first, |(_, offset)| *offset);
        us + offset * MINUTE_US
    }

    /// The start of the bucket of `us`: the first instant that the calendar puts into the same place.
    pub(crate) fn start_us(&self, bucket: Bucket, us: i64) -> i64 {
        // Every place begins at a full or half hour.
        let step = 30 * MINUTE_US;
        let last = us.div_euclid(step) * step;
        let place = self.place(bucket, us);
        let longest = match bucket {
            Bucket::Month => 32,
            Bucket::Week => 8,
            Bucket::Day | Bucket::IntervalUs(_) => 3,
        };
        let earlier = (0..longest * 48).map(|steps| last - steps * step);
        earlier.filter(|&instant| self.place(bucket, instant) == place).min().unwrap()
    }

    /// The day since 1970 that the wall clock shows.
    pub(crate) fn day(&self, us: i64) -> i64 {
        self.local_us(us).div_euclid(DAY_US)
    }

    /// The first instant at which the wall clock shows `local` or later.
    pub(crate) fn utc_us(&self, local: i64) -> i64 {
        let offsets = self.changes.iter().map(|change| change.1).chain([self.first]);
        let shown = offsets.map(|offset| local - offset * MINUTE_US).filter(|&us| self.local_us(us) == local);
        // A time that is not shown is skipped by a change.
        let skipped = || {
            self.changes
                .iter()
                .map(|change| change.0)
                .find(|&us| self.local_us(us) > local && self.local_us(us - 1) < local)
        };
        shown.min().or_else(skipped).unwrap()
    }

    /// What two instants of one bucket have in common.
    fn place(&self, bucket: Bucket, us: i64) -> (i64, i64) {
        let local = self.local_us(us);
        let day = local.div_euclid(DAY_US);
        match bucket {
            Bucket::Day => (day, 0),
            // 1970-01-01 was a Thursday.
            Bucket::Week => ((day + 3).div_euclid(7), 0),
            Bucket::Month => month(day),
            // A block of hours that the clock runs through twice is two.
            Bucket::IntervalUs(HOUR_US) => (local.div_euclid(HOUR_US), local - us),
            Bucket::IntervalUs(width) => (local.div_euclid(width), 0),
        }
    }
}

/// Year and month of a day since 1970, by counting.
pub(crate) fn month(day: i64) -> (i64, i64) {
    let (mut year, mut left) = (1970, day);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(lengths) {
            if left < length {
                return (year, month);
            }
            left -= length;
        }
        year += 1;
    }
}

/// The first day, since 1970, of a month that is numbered as twelve times its year and its place from 0, and how many
/// days it has. By counting.
pub(crate) fn month_days(number: i64) -> (i64, i64) {
    let is_in = |day: i64| {
        let (year, place) = month(day);
        year * 12 + place - 1 == number
    };
    // No month begins earlier than this.
    let guess = (number.div_euclid(12) - 1970) * 365 + number.rem_euclid(12) * 28;
    let first = (guess..).find(|&day| is_in(day)).unwrap();
    (first, (first..).take_while(|&day| is_in(day)).count() as i64)
}
