//! The kernel: one user's events in, the chosen chain (or every attempt) out.

use super::fast::{self, Forward};
use super::matches::{DropReason, Matches, UserInput};
use super::spec::{Count, FunnelSpec, Order};
use trodden_engine::error::{Error, Result};

/// Finds funnels in users, one after the other, with buffers that it keeps. One per thread.
#[derive(Debug)]
pub struct FunnelKernel {
    spec: FunnelSpec,
    reasons: bool,
    plain: bool,
    matches: Matches,
}

impl FunnelKernel {
    /// A kernel for `spec` that finds no drop reasons.
    ///
    /// # Errors
    /// As [`FunnelSpec::validate`].
    pub fn new(spec: FunnelSpec) -> Result<Self> {
        spec.validate()?;
        let limited = spec.step_within_us.iter().any(Option::is_some);
        let plain = spec.order == Order::Ordered
            && spec.count == Count::Users
            && !limited
            && spec.excludes.is_empty()
            && !spec.hold;
        if !plain {
            return Err(Error::invalid("this argument is being built"));
        }
        Ok(Self { spec, reasons: false, plain, matches: Matches::default() })
    }

    /// Also finds why unfinished chains did not get further. Costs a second look at each of them.
    #[must_use]
    pub fn with_reasons(mut self) -> Self {
        self.reasons = true;
        self
    }

    /// The arguments.
    pub fn spec(&self) -> &FunnelSpec {
        &self.spec
    }

    /// Whether every event of the input must be given, also those that satisfy nothing.
    pub fn needs_every_event(&self) -> bool {
        self.spec.order == Order::Strict
    }

    /// The chains of a user. Valid until the next call.
    ///
    /// # Panics
    /// When the slices of `input` that are used have different lengths.
    pub fn run(&mut self, input: &UserInput<'_>) -> &Matches {
        assert_eq!(input.ts.len(), input.steps.len(), "a step mask per event");
        self.matches.clear();
        if self.plain {
            self.run_plain(input);
        }
        &self.matches
    }

    fn run_plain(&mut self, input: &UserInput<'_>) -> bool {
        let (ts, masks, ties) = (input.ts, input.steps, self.spec.ties);
        let within_us = self.spec.within_us;
        let steps = self.spec.steps.len();
        let Forward::Level { level, completed_at } = fast::forward(ts, masks, steps, within_us, ties) else {
            return false;
        };
        if level == 0 {
            return true;
        }
        let matches = &mut self.matches;
        fast::choose(ts, masks, (level, completed_at), within_us, ties, |event| matches.push_event(event));
        let reason = (self.reasons && level < steps).then_some(DropReason::Never);
        self.matches.finish(reason);
        true
    }
}
