//! The kernel: one user's events in, the chosen chain (or every attempt) out.

use super::attempts::Attempts;
use super::exact::Exact;
use super::fast::{self, Forward};
use super::matches::{DropReason, Matches, UserInput};
use super::rules::{Rules, UNLIMITED_US};
use super::spec::{Count, FunnelSpec, Order};
use trodden_engine::error::Result;

/// Finds funnels in users, one after the other, with buffers that it keeps. One per thread.
#[derive(Debug)]
pub struct FunnelKernel {
    spec: FunnelSpec,
    rules: Rules,
    /// Rules that give up more and more, with the reason that each of them tells.
    relaxations: Vec<(DropReason, Rules)>,
    reasons: bool,
    plain: bool,
    exact: Exact,
    attempts: Attempts,
    matches: Matches,
}

impl FunnelKernel {
    /// A kernel for `spec` that finds no drop reasons.
    ///
    /// # Errors
    /// As [`FunnelSpec::validate`].
    pub fn new(spec: FunnelSpec) -> Result<Self> {
        spec.validate()?;
        let rules = Rules::new(&spec);
        Ok(Self {
            relaxations: rules.relaxations(),
            plain: rules.is_plain() && spec.count == Count::Users && !spec.hold,
            spec,
            rules,
            reasons: false,
            exact: Exact::default(),
            attempts: Attempts::default(),
            matches: Matches::default(),
        })
    }

    /// Also finds why unfinished chains did not get further. Costs a second look at each of them.
    #[must_use]
    pub fn with_reasons(mut self) -> Self {
        self.reasons = true;
        self
    }

    /// Leaves out the one-pass kernel, also where it would do. For tests and measurements that compare the two.
    #[must_use]
    pub fn without_fast_path(mut self) -> Self {
        self.plain = false;
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
        assert!(self.spec.excludes.is_empty() || input.excludes.len() == input.ts.len(), "an exclusion mask per event");
        assert!(!self.spec.hold || input.hold.len() == input.ts.len(), "a hold code per event");
        self.matches.clear();
        if self.plain && self.run_plain(input) {
            return &self.matches;
        }
        self.read(input);
        match self.spec.count {
            Count::Users => self.run_exact(input),
            Count::Attempts => {
                let timeline = &self.exact.timeline;
                self.attempts.run(input, &self.rules, timeline, self.reasons, &mut self.matches);
            }
        }
        &self.matches
    }

    /// False when events with the same time compete for steps.
    fn run_plain(&mut self, input: &UserInput<'_>) -> bool {
        let Rules { steps, within_us, ties, .. } = self.rules;
        let Forward::Level { level, completed_at } = fast::forward(input.ts, input.steps, steps, within_us, ties)
        else {
            return false;
        };
        if level == 0 {
            return true;
        }
        let matches = &mut self.matches;
        let completed = (level, completed_at);
        fast::choose(input.ts, input.steps, completed, within_us, ties, |event| matches.push_event(event));
        let reason = (self.reasons && level < steps).then(|| self.reason_of_plain(input, level));
        self.matches.finish(reason);
        true
    }

    fn reason_of_plain(&mut self, input: &UserInput<'_>, level: usize) -> DropReason {
        let Rules { steps, within_us, ties, .. } = self.rules;
        if within_us == UNLIMITED_US {
            return DropReason::Never;
        }
        match fast::forward(input.ts, input.steps, steps, UNLIMITED_US, ties) {
            Forward::Level { level: without_limit, .. } if without_limit > level => DropReason::Timeout,
            Forward::Level { .. } => DropReason::Never,
            Forward::Compete => {
                self.read(input);
                self.reason(input, level)
            }
        }
    }

    fn run_exact(&mut self, input: &UserInput<'_>) {
        let chain = self.exact.best(input, &self.rules);
        if chain.is_empty() {
            return;
        }
        let level = chain.len();
        chain.iter().for_each(|&event| self.matches.push_event(event));
        let reason = (self.reasons && level < self.rules.steps).then(|| self.reason(input, level));
        self.matches.finish(reason);
    }

    fn reason(&mut self, input: &UserInput<'_>, level: usize) -> DropReason {
        let exact = &mut self.exact;
        let mut relaxations = self.relaxations.iter();
        let found = relaxations.find(|(_, rules)| exact.exceeds(input, rules, level));
        found.map_or(DropReason::Never, |&(reason, _)| reason)
    }

    fn read(&mut self, input: &UserInput<'_>) {
        let ties = self.rules.ties;
        self.exact.timeline.read(input, self.rules.steps, self.spec.excludes.len(), ties, self.spec.hold);
    }
}
