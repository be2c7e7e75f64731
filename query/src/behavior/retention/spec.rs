//! The arguments of a retention.

use chrono::Weekday;
use chrono_tz::Tz;
use trodden_engine::error::{Error, Result};

/// The last period that may be asked for.
pub const PERIODS_MAX: u32 = 10_000;
/// The longest period that is given in days.
pub const PERIOD_DAYS_MAX: u32 = 3_660;

/// How long a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Period {
    /// Calendar days.
    #[default]
    Day,
    /// Calendar weeks.
    Week {
        /// The first day of a week.
        starts_on: Weekday,
    },
    /// Calendar months.
    Month,
    /// Blocks of this many calendar days, counted from the day of the start event, with that day as the cohort.
    /// `Days(1)` is the same as `Day`.
    Days(u32),
}

/// Which periods have a row. Period 0, that of the start event, always has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Periods {
    /// Periods 0 to this one.
    Count(u32),
    /// Last periods of brackets, ascending from 1 or more: `[1, 3, 7]` stands for period 0, period 1, periods 2 and 3
    /// as one, and periods 4 to 7 as one. A bracket takes the place of a period in every other argument (`min_count`
    /// counts the return events of the whole bracket, a streak is one of brackets), and is known by its last period.
    ///
    /// So are the custom brackets of Mixpanel (its help page "Custom Brackets in Retention"). The share of single days (day 1, day 3,
    /// day 7) is among the rows of `periods`; that of a bracket cannot be had from them, since a user who comes back
    /// on two days of it counts once.
    Brackets(Vec<u32>),
}

impl Default for Periods {
    fn default() -> Self {
        Self::Count(30)
    }
}

impl Periods {
    /// Number of rows of a cohort, which are known by their index.
    pub fn rows(&self) -> usize {
        match self {
            Self::Count(last) => *last as usize + 1,
            Self::Brackets(brackets) => brackets.len() + 1,
        }
    }

    /// The number of the row's period, or of the last one of its bracket.
    pub fn period(&self, row: usize) -> u32 {
        match self {
            Self::Count(_) => row as u32,
            Self::Brackets(brackets) => row.checked_sub(1).map_or(0, |bracket| brackets[bracket]),
        }
    }

    /// The row of a period. Periods after the last row are a row each, which nobody sees but `Mode::OnOrAfter`.
    pub(super) fn row(&self, period: i64) -> i64 {
        match self {
            Self::Count(_) => period,
            Self::Brackets(brackets) => {
                let last = brackets.last().map_or(0, |&last| i64::from(last));
                let rows = brackets.len() as i64;
                match period {
                    0 => 0,
                    _ if period > last => rows + (period - last),
                    _ => brackets.partition_point(|&end| i64::from(end) < period) as i64 + 1,
                }
            }
        }
    }
}

/// When a user counts in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The user came back in the period.
    #[default]
    On,
    /// The user came back in the period or in a later one, also one that has no row ("unbounded" retention).
    OnOrAfter,
    /// The user came back in the period or in an earlier one, period 0 included: "by its end" leaves nothing out.
    OnOrBefore,
    /// The user came back in every period from 1 up to this one. Period 0 is as `On`, and not part of the streak.
    Streak,
}

/// Which start events give a user a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cohorts {
    /// The first start event.
    #[default]
    First,
    /// The first start event of each period that has one; a later start event of that period may be a return. With
    /// `Period::Days` the cohorts are days, so each day with a start event is one, and the blocks of different cohorts
    /// of a user overlap. The user counts once in each of these cohorts.
    Every,
}

/// Where periods begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Windows {
    /// At the start of a calendar day, week or month: period 0 is the one that holds the start event.
    #[default]
    Calendar,
    /// At the instant of the start event. Days are 24 hours and weeks 7 · 24 hours, whatever clocks do. Months are those
    /// of the wall clock: the same day and time of day, or the last day of a shorter month (always counted from the
    /// start event, so 31 January is followed by 28 February and 31 March). Users share a cohort when their start
    /// events share a calendar period, as with `Calendar`; a period of the cohort is over when it is for its last user.
    Rolling,
}

/// The arguments of a retention, apart from its conditions, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSpec {
    /// How long a period is.
    pub period: Period,
    /// Which periods have a row.
    pub periods: Periods,
    /// When a user counts in a period.
    ///
    /// `complete` does not depend on it. A period of `OnOrAfter` is complete when it is over, although later events may
    /// still add users to it.
    pub mode: Mode,
    /// Which start events give a user a cohort.
    pub cohort: Cohorts,
    /// Where periods begin.
    pub windows: Windows,
    /// How many return events a period needs before the user came back in it. Events of different periods do not add
    /// up, in no mode.
    ///
    /// The start event itself is no return; every other return event in the period is, whichever of the two came first.
    /// So with `Windows::Calendar` an event earlier on the day of the start counts in period 0, and with
    /// `Windows::Rolling` one with the same time as the start event does.
    pub min_count: u32,
    /// Time zone of days, weeks and months.
    pub time_zone: Tz,
}

impl Default for RetentionSpec {
    fn default() -> Self {
        Self {
            period: Period::default(),
            periods: Periods::default(),
            mode: Mode::default(),
            cohort: Cohorts::default(),
            windows: Windows::default(),
            min_count: 1,
            time_zone: Tz::UTC,
        }
    }
}

impl RetentionSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        if let Period::Days(days) = self.period
            && !(1..=PERIOD_DAYS_MAX).contains(&days)
        {
            return Err(Error::invalid(format!("period: it takes 1 to {PERIOD_DAYS_MAX} days, not {days}"))
                .with_hint("for example period => INTERVAL '7' DAY"));
        }
        self.validate_periods()?;
        if self.min_count == 0 {
            return Err(Error::invalid("min_count: a period needs at least 1 return event, not 0")
                .with_hint("leave out min_count, or use 1 or more"));
        }
        Ok(())
    }

    fn validate_periods(&self) -> Result<()> {
        match &self.periods {
            Periods::Count(last) if *last > PERIODS_MAX => {
                Err(Error::invalid(format!("periods: a retention takes at most {PERIODS_MAX} periods, not {last}"))
                    .with_hint("use fewer or longer periods"))
            }
            Periods::Count(_) => Ok(()),
            Periods::Brackets(brackets) => validate_brackets(brackets),
        }
    }
}

fn validate_brackets(brackets: &[u32]) -> Result<()> {
    let hint = "give the last period of each bracket, for example brackets => [1, 3, 7, 14, 30]";
    let (Some(&first), Some(&last)) = (brackets.first(), brackets.last()) else {
        return Err(Error::invalid("brackets: the list is empty").with_hint(hint));
    };
    if first == 0 {
        return Err(Error::invalid("brackets: period 0 always has its row; brackets begin with 1").with_hint(hint));
    }
    if let Some(pair) = brackets.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid(format!("brackets: {} does not come after {}", pair[1], pair[0])).with_hint(hint));
    }
    if last > PERIODS_MAX {
        return Err(Error::invalid(format!("brackets: the last period is at most {PERIODS_MAX}, not {last}"))
            .with_hint("use longer periods"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl Fn(&mut RetentionSpec), names: &str) {
        let mut spec = RetentionSpec::default();
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with(names), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn defaults_and_limits_are_valid() {
        RetentionSpec::default().validate().unwrap();
        let periods = Periods::Brackets(vec![1, 3, PERIODS_MAX]);
        RetentionSpec { period: Period::Days(PERIOD_DAYS_MAX), periods, ..RetentionSpec::default() }
            .validate()
            .unwrap();
        RetentionSpec { periods: Periods::Count(0), ..RetentionSpec::default() }.validate().unwrap();
    }

    #[test]
    fn every_wrong_argument_is_named() {
        refused(|s| s.period = Period::Days(0), "period: it takes 1 to 3660 days, not 0");
        refused(|s| s.period = Period::Days(3_661), "period: it takes");
        refused(|s| s.periods = Periods::Count(10_001), "periods: a retention takes at most 10000");
        refused(|s| s.periods = Periods::Brackets(vec![]), "brackets: the list is empty");
        refused(|s| s.periods = Periods::Brackets(vec![0, 1]), "brackets: period 0");
        refused(|s| s.periods = Periods::Brackets(vec![1, 3, 3]), "brackets: 3 does not come after 3");
        refused(|s| s.periods = Periods::Brackets(vec![1, 10_001]), "brackets: the last period");
        refused(|s| s.min_count = 0, "min_count:");
    }

    #[test]
    fn brackets_run_to_their_number() {
        let periods = Periods::Brackets(vec![1, 3, 7]);
        let rows: Vec<i64> = (0..10).map(|period| periods.row(period)).collect();
        assert_eq!(rows, [0, 1, 2, 2, 3, 3, 3, 3, 4, 5]);
        assert_eq!((0..periods.rows()).map(|row| periods.period(row)).collect::<Vec<_>>(), [0, 1, 3, 7]);
    }
}
