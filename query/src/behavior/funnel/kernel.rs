//! The kernel: one user's events in, the chosen chain (or every attempt) out.

use super::attempts::Attempts;
use super::exact::Exact;
use super::fast::{self, Forward};
use super::level::LevelFinder;
use super::matches::{DropReason, Events, Matches, UserInput};
use super::row_chain;
use super::rules::{Rules, UNLIMITED_US};
use super::spec::{Count, FunnelSpec, Order};
use super::step_rows::{StepRows, Tied};
use trodden_engine::scan::Times;

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
    levels: LevelFinder,
    /// Times of a user whom the exact kernels look at.
    decoded: Vec<i64>,
    matches: Matches,
}

impl FunnelKernel {
    /// A kernel for `spec` that finds no drop reasons.
    ///
    /// # Errors
    /// As [`FunnelSpec::validate`].
    pub fn new(spec: FunnelSpec) -> trodden_engine::error::Result<Self> {
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
            levels: LevelFinder::default(),
            decoded: Vec::new(),
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

    /// Whether [`Self::level_of_rows`] and [`Self::run_rows`] are for this funnel: only order and `within` count.
    pub fn takes_rows(&self) -> bool {
        self.plain
    }

    /// The chains of a user. Valid until the next call.
    ///
    /// # Panics
    /// When the parts of `input` that are used have different lengths.
    pub fn run(&mut self, input: &UserInput<'_>) -> &Matches {
        assert_eq!(input.times.len(), input.steps.len(), "a step mask per event");
        assert!(
            self.spec.excludes.is_empty() || input.excludes.len() == input.steps.len(),
            "an exclusion mask per event"
        );
        assert!(!self.spec.hold || input.hold.len() == input.steps.len(), "a hold code per event");
        self.matches.clear();
        if !self.plain || !self.run_plain(input) {
            self.with_decoded(input, |kernel, events| {
                kernel.read(events);
                match kernel.spec.count {
                    Count::Users => kernel.run_exact(events),
                    Count::Attempts => {
                        let timeline = &kernel.exact.timeline;
                        kernel.attempts.run(events, &kernel.rules, timeline, kernel.reasons, &mut kernel.matches);
                    }
                }
            });
        }
        &self.matches
    }

    /// The level of a user, where the one-pass kernel can tell it: without choosing a chain. `None` where
    /// [`Self::run`] must.
    pub fn level(&self, times: Times<'_>, steps: &[u64]) -> Option<usize> {
        if !self.plain {
            return None;
        }
        let Rules { steps: count, within_us, ties, .. } = self.rules;
        let found = match times {
            Times::Frame { frame, rows } => {
                fast::forward(|event| frame.get(rows[event] as usize), steps, count, within_us, ties)
            }
            times => fast::forward(|event| times.at(event), steps, count, within_us, ties),
        };
        match found {
            Forward::Level { level, .. } => Some(level),
            Forward::Compete => None,
        }
    }

    /// As [`Self::level`], of a user whose events are bits of rows.
    pub fn level_of_rows(&mut self, user: &impl StepRows) -> Option<usize> {
        let Rules { steps, within_us, ties, .. } = self.rules;
        let found = if self.plain { self.levels.find(user, steps, within_us, ties) } else { Err(Tied) };
        found.ok().map(|reached| reached.level)
    }

    /// As [`Self::run`], of a user whose events are bits of rows, which are counted from the user's first one. `None` where
    /// [`Self::run`] must.
    pub fn run_rows(&mut self, user: &impl StepRows) -> Option<&Matches> {
        self.matches.clear();
        let found = if self.plain { self.match_rows(user) } else { Err(Tied) };
        found.ok().map(|()| &self.matches)
    }

    fn match_rows(&mut self, user: &impl StepRows) -> Result<(), Tied> {
        let Rules { steps, within_us, ties, .. } = self.rules;
        let reached = self.levels.find(user, steps, within_us, ties)?;
        if reached.level == 0 {
            return Ok(());
        }
        let (matches, start) = (&mut self.matches, user.rows().start);
        row_chain::choose(user, reached, within_us, ties, |row, at| matches.push_event((row - start) as u32, at))?;
        let reason = match self.reasons && reached.level < steps {
            false => None,
            true if within_us == UNLIMITED_US => Some(DropReason::Never),
            true => match self.levels.find(user, steps, UNLIMITED_US, ties)?.level > reached.level {
                true => Some(DropReason::Timeout),
                false => Some(DropReason::Never),
            },
        };
        self.matches.finish(reason);
        Ok(())
    }

    /// Let `work` see all times.
    fn with_decoded<R>(&mut self, input: &UserInput<'_>, work: impl FnOnce(&mut Self, &Events<'_>) -> R) -> R {
        let mut buffer = std::mem::take(&mut self.decoded);
        let result = work(self, &input.decoded(&mut buffer));
        self.decoded = buffer;
        result
    }

    /// False when events with the same time compete for steps.
    fn run_plain(&mut self, input: &UserInput<'_>) -> bool {
        // The choice of how times are stored is made once, outside of the loops.
        match input.times {
            Times::Frame { frame, rows } => self.run_plain_with(input, |event| frame.get(rows[event] as usize)),
            times => self.run_plain_with(input, |event| times.at(event)),
        }
    }

    #[inline(always)]
    fn run_plain_with(&mut self, input: &UserInput<'_>, ts: impl Fn(usize) -> i64 + Copy) -> bool {
        let Rules { steps, within_us, ties, .. } = self.rules;
        let Forward::Level { level, completed_at } = fast::forward(ts, input.steps, steps, within_us, ties) else {
            return false;
        };
        if level == 0 {
            return true;
        }
        let matches = &mut self.matches;
        let completed = (level, completed_at);
        fast::choose(ts, input.steps, completed, within_us, ties, |event, at| matches.push_event(event, at));
        let reason = (self.reasons && level < steps).then(|| self.reason_of_plain(input, level));
        self.matches.finish(reason);
        true
    }

    fn reason_of_plain(&mut self, input: &UserInput<'_>, level: usize) -> DropReason {
        let Rules { steps, within_us, ties, .. } = self.rules;
        if within_us == UNLIMITED_US {
            return DropReason::Never;
        }
        match fast::forward(|event| input.times.at(event), input.steps, steps, UNLIMITED_US, ties) {
            Forward::Level { level: without_limit, .. } if without_limit > level => DropReason::Timeout,
            Forward::Level { .. } => DropReason::Never,
            Forward::Compete => self.with_decoded(input, |kernel, events| {
                kernel.read(events);
                kernel.reason(events, level)
            }),
        }
    }

    fn run_exact(&mut self, events: &Events<'_>) {
        let chain = self.exact.best(events, &self.rules);
        if chain.is_empty() {
            return;
        }
        let level = chain.len();
        chain.iter().for_each(|&event| self.matches.push_event(event, events.ts[event as usize]));
        let reason = (self.reasons && level < self.rules.steps).then(|| self.reason(events, level));
        self.matches.finish(reason);
    }

    fn reason(&mut self, events: &Events<'_>, level: usize) -> DropReason {
        let exact = &mut self.exact;
        let mut relaxations = self.relaxations.iter();
        let found = relaxations.find(|(_, rules)| exact.exceeds(events, rules, level));
        found.map_or(DropReason::Never, |&(reason, _)| reason)
    }

    fn read(&mut self, events: &Events<'_>) {
        let ties = self.rules.ties;
        self.exact.timeline.read(events, self.rules.steps, self.spec.excludes.len(), ties, self.spec.hold);
    }
}
