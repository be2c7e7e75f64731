//! The arguments of RFM.

use chrono_tz::Tz;
use trodden_engine::error::{Error, Result};

/// The most scores of a measure.
pub const SCORES_MAX: u32 = 10;

/// Where the next better score begins, ascending; empty where quantiles decide.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bounds {
    /// In days, the fewer the better: a user with at most so many has the score.
    pub recency: Vec<f64>,
    /// A user with at least so many events has the score.
    pub frequency: Vec<f64>,
    /// A user with at least so large a sum has the score.
    pub monetary: Vec<f64>,
}

/// The arguments of RFM, apart from its condition, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq)]
pub struct RfmSpec {
    /// The moment of the question: later events do not exist. `None`: that of the newest event.
    pub as_of_us: Option<i64>,
    /// How many scores a measure has, from 1 up to the best.
    pub scores: u32,
    /// Bounds in place of quantiles.
    pub bounds: Bounds,
    /// Whose midnights divide days.
    pub time_zone: Tz,
}

impl Default for RfmSpec {
    fn default() -> Self {
        Self { as_of_us: None, scores: 5, bounds: Bounds::default(), time_zone: Tz::UTC }
    }
}

impl RfmSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        if !(2..=SCORES_MAX).contains(&self.scores) {
            return Err(Error::invalid(format!("scores: {} is not possible", self.scores))
                .with_hint(format!("scores is 2 to {SCORES_MAX}; 5 where it is left out")));
        }
        let Bounds { recency, frequency, monetary } = &self.bounds;
        for (name, bounds) in [("recency", recency), ("frequency", frequency), ("monetary", monetary)] {
            self.validate_bounds(name, bounds)?;
        }
        Ok(())
    }

    fn validate_bounds(&self, name: &str, bounds: &[f64]) -> Result<()> {
        let hint = format!("for example scores => 3, bounds => BOUNDS({name} => [10, 50])");
        if bounds.is_empty() {
            return Ok(());
        }
        if bounds.len() + 1 != self.scores as usize {
            let (count, scores) = (bounds.len(), self.scores);
            let message = format!("{name}: {count} bounds make {} scores, but there are {scores}", count + 1);
            return Err(Error::invalid(message).with_hint(hint));
        }
        if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite()) {
            return Err(Error::invalid(format!("{name}: a bound is a number, not {bound}")).with_hint(hint));
        }
        match bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => {
                Err(Error::invalid(format!("{name}: {} does not come after {}", pair[1], pair[0])).with_hint(hint))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl Fn(&mut RfmSpec), says: &str) {
        let mut spec = RfmSpec::default();
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with(says), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn every_wrong_argument_is_named() {
        RfmSpec::default().validate().unwrap();
        let bounds = Bounds { monetary: vec![-1.5, 2.0], ..Bounds::default() };
        RfmSpec { scores: 3, bounds, ..RfmSpec::default() }.validate().unwrap();
        refused(|s| s.scores = 1, "scores: 1 is not possible");
        refused(|s| s.scores = 11, "scores: 11 is not possible");
        refused(|s| s.bounds.recency = vec![7.0, 30.0], "recency: 2 bounds make 3 scores, but there are 5");
        refused(|s| s.bounds.frequency = vec![1.0, 2.0, 2.0, 4.0], "frequency: 2 does not come after 2");
        refused(|s| s.bounds.monetary = vec![1.0, f64::NAN, 2.0, 4.0], "monetary: a bound is a number");
    }
}
