//! The arguments of a stickiness.

use crate::behavior::periods::{Calendar, Period};
use chrono_tz::Tz;
use trodden_engine::error::{Error, Result};

/// The arguments of a stickiness, apart from its condition, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickinessSpec {
    /// The periods whose active days are counted: weeks or months.
    pub within: Calendar,
}

impl Default for StickinessSpec {
    fn default() -> Self {
        Self { within: Calendar { period: Period::Month, time_zone: Tz::UTC } }
    }
}

impl StickinessSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        match self.within.period {
            Period::Day => Err(Error::invalid("within: a day has one day")
                .with_hint("within is INTERVAL '1' WEEK or INTERVAL '1' MONTH; emit => 'active' counts users by day")),
            Period::Week { .. } | Period::Month => Ok(()),
        }
    }

    /// The days that are counted.
    pub fn days(&self) -> Calendar {
        Calendar { period: Period::Day, time_zone: self.within.time_zone }
    }

    /// How many days a period has.
    pub(super) fn days_of(&self, period: i64) -> usize {
        let day = |period: i64| self.days().number(self.within.start_us(period));
        (day(period + 1) - day(period)).max(0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_and_months_have_days() {
        let spec = StickinessSpec::default();
        spec.validate().unwrap();
        // January and February of 1970.
        let january = spec.within.number(0);
        assert_eq!([spec.days_of(january), spec.days_of(january + 1)], [31, 28]);
        let spec = StickinessSpec { within: Calendar { period: Period::Day, time_zone: Tz::UTC } };
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with("within: a day has one day"), "{error}");
        assert!(error.hint().is_some());
    }
}
