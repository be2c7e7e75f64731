//! Calendar periods as numbers, and those in which one user was active: what LIFECYCLE and STICKINESS count by.

use super::calendar::{Span, Unit, days_are_whole};
use chrono::Weekday;
use chrono_tz::Tz;

/// How long a calendar period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Period {
    /// Days.
    #[default]
    Day,
    /// Weeks.
    Week {
        /// The first day of a week.
        starts_on: Weekday,
    },
    /// Months.
    Month,
}

impl Period {
    fn unit(self) -> Unit {
        match self {
            Self::Day => Unit::Day,
            Self::Week { starts_on } => Unit::Week(starts_on),
            Self::Month => Unit::Month,
        }
    }
}

/// The periods of a time zone. Numbers of neighbours differ by one, and never fall while time goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Calendar {
    /// How long a period is.
    pub period: Period,
    /// Whose midnights count.
    pub time_zone: Tz,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { period: Period::default(), time_zone: Tz::UTC }
    }
}

impl Calendar {
    /// The period that holds an instant.
    pub fn number(&self, ts_us: i64) -> i64 {
        self.span(ts_us).number
    }

    /// The period of a day, which counts from 1970-01-01.
    pub fn number_of_day(&self, day: i64) -> i64 {
        self.period.unit().of_day(day)
    }

    /// The first instant of a period.
    pub fn start_us(&self, number: i64) -> i64 {
        self.period.unit().start_us(number, self.time_zone)
    }

    /// Whether each calendar day between two instants is one stretch of time, so that it says all about the periods of its
    /// events.
    pub fn has_whole_days(&self, (from_us, to_us): (i64, i64)) -> bool {
        days_are_whole(from_us, to_us, self.time_zone)
    }

    fn span(&self, ts_us: i64) -> Span {
        self.period.unit().span(ts_us, self.time_zone)
    }
}

/// The periods in which users were active, one user after the other. The buffer is kept from user to user.
#[derive(Debug)]
pub struct ActivePeriods {
    calendar: Calendar,
    numbers: Vec<i64>,
}

impl ActivePeriods {
    /// None so far.
    pub fn new(calendar: Calendar) -> Self {
        Self { calendar, numbers: Vec::new() }
    }

    /// Read a user's events, in total order, of which those with a mask other than 0 count. Says which is the first of
    /// them; `None` where there is none.
    pub fn read(&mut self, times: &[i64], masks: &[u64]) -> Option<usize> {
        self.numbers.clear();
        let mut first = None;
        // Most events share the period of the one before, whose end is known.
        let mut end_us = i64::MIN;
        for (event, (&ts, &mask)) in times.iter().zip(masks).enumerate() {
            if mask == 0 || first.is_some() && ts < end_us {
                continue;
            }
            first = first.or(Some(event));
            let span = self.calendar.span(ts);
            end_us = span.end_us;
            // At the end of time a period does not end behind its last instant.
            if self.numbers.last() != Some(&span.number) {
                self.numbers.push(span.number);
            }
        }
        first
    }

    /// The periods of the user that was read last, ascending.
    pub fn numbers(&self) -> &[i64] {
        &self.numbers
    }
}
