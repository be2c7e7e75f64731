//! The arguments of a funnel.

use crate::behavior::bucket::Bucket;
use chrono_tz::Tz;
use trodden_engine::error::{Error, Result};

/// The most steps that a funnel takes: a step is a bit of a mask of 64.
pub const STEPS_MAX: usize = 64;
/// The most exclusions that a funnel takes.
pub const EXCLUDES_MAX: usize = 64;
/// The most steps of a funnel in any order that also limits the time between steps. Every order of the steps is tried.
pub const ANY_ORDER_STEP_WITHIN_STEPS_MAX: usize = 6;

/// In which order the steps must be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// In the order of the steps; other events may lie between.
    #[default]
    Ordered,
    /// In the order of the steps, with nothing of the input between two matched events.
    Strict,
    /// In any order.
    Any,
}

/// How events with the same time follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ties {
    /// Each may be taken to come first.
    #[default]
    Any,
    /// In the order of arrival.
    Arrival,
    /// They do not follow each other: time must increase.
    Increase,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Count {
    /// Each user once, by the best chain.
    #[default]
    Users,
    /// Every attempt.
    Attempts,
}

/// Which event of the chosen chain gives `by` its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Attribution {
    /// The first.
    #[default]
    First,
    /// The last one that was reached.
    Last,
    /// The n-th, counted from 1. A chain that did not get there has no value (NULL).
    Step(usize),
}

/// `EXCLUDE(cond, after => i, before => j)`: no such event strictly between step i and step j of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exclude {
    /// Step i, counted from 1.
    pub after: usize,
    /// Step j, counted from 1, later than i.
    pub before: usize,
}

/// The arguments of a funnel, apart from its conditions, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelSpec {
    /// Names of the steps, in order. The same name may occur twice.
    pub steps: Vec<String>,
    /// Longest time from the first to the last event of a chain, in microseconds, inclusive.
    pub within_us: Option<i64>,
    /// Longest time between neighbours, in microseconds, inclusive: one entry per gap, or none at all.
    pub step_within_us: Vec<Option<i64>>,
    /// Order of the steps.
    pub order: Order,
    /// Events with the same time.
    pub ties: Ties,
    /// Exclusions; bit e of an exclusion mask belongs to entry e.
    pub excludes: Vec<Exclude>,
    /// Whether columns must be equal along the chain.
    pub hold: bool,
    /// What is counted.
    pub count: Count,
    /// Which event gives `by` its value.
    pub attribution: Attribution,
    /// Rows per bucket of the entry.
    pub bucket: Option<Bucket>,
    /// Time zone of the buckets.
    pub time_zone: Tz,
}

impl FunnelSpec {
    /// A funnel over `steps` with every other argument at its default.
    pub fn new<S: Into<String>>(steps: impl IntoIterator<Item = S>) -> Self {
        Self {
            steps: steps.into_iter().map(Into::into).collect(),
            within_us: None,
            step_within_us: Vec::new(),
            order: Order::default(),
            ties: Ties::default(),
            excludes: Vec::new(),
            hold: false,
            count: Count::default(),
            attribution: Attribution::default(),
            bucket: None,
            time_zone: Tz::UTC,
        }
    }

    /// Longest time from step `gap` to the next one (`gap` counts from 0).
    pub fn gap_us(&self, gap: usize) -> Option<i64> {
        self.step_within_us.get(gap).copied().flatten()
    }

    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        self.validate_steps()?;
        self.validate_limits()?;
        self.validate_excludes()?;
        let steps = self.steps.len();
        if let Attribution::Step(step) = self.attribution
            && !(1..=steps).contains(&step)
        {
            return Err(Error::invalid(format!("attribution => {step}: the funnel has {steps} steps"))
                .with_hint("use 'first', 'last' or a step number counted from 1"));
        }
        match self.bucket {
            Some(Bucket::IntervalUs(width_us)) if width_us <= 0 => Err(not_positive("bucket")),
            _ => Ok(()),
        }
    }

    fn validate_steps(&self) -> Result<()> {
        match self.steps.len() {
            0 => Err(Error::invalid("steps: a funnel needs at least one step")
                .with_hint("write STEPS(name => condition, …) or steps => ['event', …]")),
            1..=STEPS_MAX => Ok(()),
            count => Err(Error::invalid(format!("steps: a funnel takes at most {STEPS_MAX} steps, not {count}"))
                .with_hint("join neighbouring steps with OR, or ask two funnels")),
        }
    }

    fn validate_limits(&self) -> Result<()> {
        if self.within_us.is_some_and(|within_us| within_us <= 0) {
            return Err(not_positive("within"));
        }
        let gaps = self.steps.len() - 1;
        let given = self.step_within_us.len();
        if given != 0 && given != gaps {
            return Err(Error::invalid(format!("step_within: {given} intervals for {gaps} gaps between steps"))
                .with_hint("give one interval for all gaps, or one per gap"));
        }
        if self.step_within_us.iter().flatten().any(|&limit_us| limit_us <= 0) {
            return Err(not_positive("step_within"));
        }
        let limited = self.step_within_us.iter().any(Option::is_some);
        if self.order == Order::Any && limited && self.steps.len() > ANY_ORDER_STEP_WITHIN_STEPS_MAX {
            return Err(Error::invalid(format!(
                "step_within: with order => 'any' it takes at most {ANY_ORDER_STEP_WITHIN_STEPS_MAX} steps, not {}",
                self.steps.len()
            ))
            .with_hint("use within instead, or fewer steps"));
        }
        Ok(())
    }

    fn validate_excludes(&self) -> Result<()> {
        let steps = self.steps.len();
        if self.excludes.len() > EXCLUDES_MAX {
            let count = self.excludes.len();
            return Err(Error::invalid(format!("exclude: a funnel takes at most {EXCLUDES_MAX}, not {count}"))
                .with_hint("join conditions of the same steps with OR"));
        }
        if self.order == Order::Any && !self.excludes.is_empty() {
            return Err(Error::invalid("exclude: with order => 'any' no step comes before another")
                .with_hint("leave out exclude, or use order => 'ordered'"));
        }
        for &Exclude { after, before } in &self.excludes {
            if after < 1 || before > steps || after >= before {
                return Err(Error::invalid(format!(
                    "exclude: after => {after}, before => {before} does not fit a funnel of {steps} steps"
                ))
                .with_hint("steps count from 1, and after must be smaller than before"));
            }
        }
        Ok(())
    }
}

fn not_positive(argument: &str) -> Error {
    Error::invalid(format!("{argument}: the interval must be longer than zero"))
        .with_hint(format!("for example {argument} => INTERVAL '7' DAY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl Fn(&mut FunnelSpec), names: &str) {
        let mut spec = FunnelSpec::new(["a", "b", "c"]);
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with(names), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn defaults_are_valid() {
        FunnelSpec::new(["a"]).validate().unwrap();
        FunnelSpec::new((0..64).map(|i| i.to_string())).validate().unwrap();
    }

    #[test]
    fn every_wrong_argument_is_named() {
        refused(|s| s.steps.clear(), "steps: a funnel needs at least one");
        refused(|s| s.steps = vec!["x".into(); 65], "steps: a funnel takes at most 64 steps, not 65");
        refused(|s| s.within_us = Some(0), "within:");
        refused(|s| s.within_us = Some(-1), "within:");
        refused(|s| s.step_within_us = vec![Some(1)], "step_within: 1 intervals for 2 gaps");
        refused(|s| s.step_within_us = vec![None, Some(0)], "step_within: the interval");
        refused(|s| s.excludes = vec![Exclude { after: 0, before: 2 }], "exclude: after => 0");
        refused(|s| s.excludes = vec![Exclude { after: 2, before: 2 }], "exclude: after => 2, before => 2");
        refused(|s| s.excludes = vec![Exclude { after: 1, before: 4 }], "exclude: after => 1, before => 4");
        refused(|s| s.excludes = vec![Exclude { after: 1, before: 2 }; 65], "exclude: a funnel takes at most 64");
        refused(|s| s.attribution = Attribution::Step(4), "attribution => 4");
        refused(|s| s.attribution = Attribution::Step(0), "attribution => 0");
        refused(|s| s.bucket = Some(Bucket::IntervalUs(0)), "bucket:");
        refused(
            |s| (s.order, s.excludes) = (Order::Any, vec![Exclude { after: 1, before: 2 }]),
            "exclude: with order => 'any'",
        );
        refused(
            |s| {
                *s = FunnelSpec::new((0..7).map(|i| i.to_string()));
                (s.order, s.step_within_us) = (Order::Any, vec![Some(1); 6]);
            },
            "step_within: with order => 'any'",
        );
    }
}
