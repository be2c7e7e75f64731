//! The arguments of a lifecycle.

use crate::behavior::periods::Calendar;
use std::ops::RangeInclusive;
use trodden_engine::error::{Error, Result};

/// The arguments of a lifecycle, apart from its condition, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifecycleSpec {
    /// The periods that have rows.
    pub calendar: Calendar,
    /// The first period with rows is the one that holds this instant, or a later one. Who is new is decided by all events,
    /// those before it as well.
    pub from_us: Option<i64>,
    /// Periods that begin at this instant or later have no rows.
    pub to_us: Option<i64>,
}

impl LifecycleSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        match (self.from_us, self.to_us) {
            (Some(from_us), Some(to_us)) if to_us <= from_us => Err(Error::invalid("to: it does not come after from")
                .with_hint("from => TIMESTAMP '2026-03-01', to => TIMESTAMP '2026-04-01' has the periods of March")),
            _ => Ok(()),
        }
    }

    /// The periods that have rows, where `first` is the first one with an active user and `last_active` the last one. No
    /// row is of a period that begins at the newest event `newest_ts` or later, unless a user is active in it.
    pub fn periods(&self, first: i64, last_active: i64, newest_ts: i64) -> RangeInclusive<i64> {
        let begun = |before_us: i64| self.calendar.number(before_us.saturating_sub(1));
        let first = self.from_us.map_or(first, |from_us| first.max(self.calendar.number(from_us)));
        let last = last_active.max(begun(newest_ts));
        first..=self.to_us.map_or(last, |to_us| last.min(begun(to_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_after_the_beginning() {
        let spec = |from_us, to_us| LifecycleSpec { from_us, to_us, ..LifecycleSpec::default() };
        spec(Some(1), Some(2)).validate().unwrap();
        spec(None, Some(2)).validate().unwrap();
        let error = spec(Some(2), Some(2)).validate().unwrap_err();
        assert!(error.message().starts_with("to: it does not come after from"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn periods_end_before_the_newest_event() {
        let day_us = 86_400_000_000;
        let spec = LifecycleSpec { from_us: Some(day_us + 5), ..LifecycleSpec::default() };
        assert_eq!(spec.periods(0, 2, 2 * day_us + 1), 1..=2);
        assert_eq!(spec.periods(0, 2, 4 * day_us), 1..=3);
        assert_eq!(spec.periods(3, 4, 4 * day_us), 3..=4);
        let spec = LifecycleSpec { to_us: Some(2 * day_us), ..LifecycleSpec::default() };
        assert_eq!(spec.periods(0, 4, 4 * day_us), 0..=1);
        assert!(spec.periods(3, 4, 4 * day_us).is_empty());
    }
}
