//! What goes into the kernel and what comes out of it.

use super::spec::Attribution;
use trodden_engine::scan::Times;

/// One user's events in total order: by time, then by arrival.
///
/// For `order => 'strict'` every event of the input must be here, also those that satisfy nothing. Otherwise those
/// with an empty step mask and an empty exclusion mask may be left out.
#[derive(Debug, Clone, Copy)]
pub struct UserInput<'a> {
    /// Times in microseconds, ascending. The common funnel asks for few of them.
    pub times: Times<'a>,
    /// Bit i: the event satisfies step i (counted from 0).
    pub steps: &'a [u64],
    /// Bit e: the event satisfies exclusion e. Empty when there are no exclusions.
    pub excludes: &'a [u64],
    /// Code of the values of the `hold` columns, equal exactly when all values are equal; 0 when one of them is NULL.
    /// Empty unless `hold` is used.
    pub hold: &'a [u32],
}

impl<'a> UserInput<'a> {
    /// Input of a funnel without exclusions and `hold`.
    pub fn plain(ts: &'a [i64], steps: &'a [u64]) -> Self {
        Self { times: Times::Decoded(ts), steps, excludes: &[], hold: &[] }
    }

    /// The same with all times decoded, in `buffer` if need be.
    pub(super) fn decoded(&self, buffer: &'a mut Vec<i64>) -> Events<'a> {
        Events { ts: self.times.decode(buffer), steps: self.steps, excludes: self.excludes, hold: self.hold }
    }
}

/// A [`UserInput`] for the exact kernels, which want all times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events<'a> {
    pub(super) ts: &'a [i64],
    pub(super) steps: &'a [u64],
    pub(super) excludes: &'a [u64],
    pub(super) hold: &'a [u32],
}

/// Why a chain did not reach the next step. Each reason gives up one more rule than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// Without `within` and `step_within` the next step would have been reached.
    Timeout,
    /// Without time limits and exclusions the next step would have been reached.
    Excluded,
    /// Without time limits, exclusions and strictness the next step would have been reached.
    Broken,
    /// The next step would not have been reached even so.
    Never,
}

impl DropReason {
    /// The word of `drop_reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Excluded => "excluded",
            Self::Broken => "broken",
            Self::Never => "never",
        }
    }
}

/// A chain that was chosen: for `count => 'users'` the best one of the user, for `'attempts'` one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain<'a> {
    /// Indices of the events in the input; its length is the level, at least 1.
    pub events: &'a [u32],
    /// Their times in microseconds.
    pub times: &'a [i64],
    /// Why the next step was not reached. `None` when all steps were, or when reasons were not asked for.
    pub reason: Option<DropReason>,
}

impl Chain<'_> {
    /// Number of steps reached.
    pub fn level(&self) -> usize {
        self.events.len()
    }

    /// Index of the event that gives `by` its value; `None` when the chain did not get to the step asked for.
    pub fn attributed_event(&self, attribution: Attribution) -> Option<u32> {
        match attribution {
            Attribution::First => self.events.first().copied(),
            Attribution::Last => self.events.last().copied(),
            Attribution::Step(step) => step.checked_sub(1).and_then(|step| self.events.get(step)).copied(),
        }
    }
}

/// The chains of one user: none, one, or for attempts any number. A buffer that is used again for the next user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    events: Vec<u32>,
    times: Vec<i64>,
    chains: Vec<(u32, Option<DropReason>)>,
}

impl Matches {
    /// Number of chains.
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether no event satisfies a first step.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The chains; attempts come in the order of their entries.
    pub fn iter(&self) -> impl Iterator<Item = Chain<'_>> {
        let mut start = 0;
        self.chains.iter().map(move |&(end, reason)| {
            let range = start..end as usize;
            start = range.end;
            Chain { events: &self.events[range.clone()], times: &self.times[range], reason }
        })
    }

    /// The only chain of a user, for `count => 'users'`.
    pub fn first(&self) -> Option<Chain<'_>> {
        self.iter().next()
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.times.clear();
        self.chains.clear();
    }

    /// Adds an event and its time to the chain that [`Self::finish`] will close.
    #[inline]
    pub(super) fn push_event(&mut self, event: u32, at: i64) {
        self.events.push(event);
        self.times.push(at);
    }

    pub(super) fn finish(&mut self, reason: Option<DropReason>) {
        self.chains.push((self.events.len() as u32, reason));
    }

    /// Adds a chain of the events `chain`; `ts` has the times of all events of the user.
    pub(super) fn push_chain(&mut self, chain: &[u32], ts: &[i64], reason: Option<DropReason>) {
        self.events.extend_from_slice(chain);
        self.times.extend(chain.iter().map(|&event| ts[event as usize]));
        self.finish(reason);
    }

    /// Puts chains of several `hold` values into the order of their entries.
    pub(super) fn sort_by_entry(&mut self) {
        if self.iter().is_sorted_by_key(|chain| chain.events[0]) {
            return;
        }
        let whole = std::mem::take(self);
        let mut chains: Vec<Chain<'_>> = whole.iter().collect();
        chains.sort_unstable_by_key(|chain| chain.events[0]);
        for Chain { events, times, reason } in chains {
            self.events.extend_from_slice(events);
            self.times.extend_from_slice(times);
            self.finish(reason);
        }
    }
}
