//! One user's events in, the ways and transitions of the user out.

use super::row_ways::{PathRows, RowWays};
use super::sessions::Division;
use super::spec::{PathSpec, Sessions};
use super::ways::Ways;
use trodden_engine::error::Result;

/// Bit of a mask: the event satisfies `start`.
pub const START: u64 = 1;
/// Bit of a mask: the event satisfies `end`.
pub const END: u64 = 2;
/// Bit of a mask: the event satisfies `exclude`, and is left out before anything else.
pub const EXCLUDE: u64 = 4;
/// The code of a NULL. An event without a node is no stop: it is left out, as if excluded.
pub const NO_CODE: u32 = 0;

/// One user's events, in total order.
#[derive(Debug, Clone, Copy)]
pub struct UserInput<'a> {
    /// Times in microseconds, ascending.
    pub times: &'a [i64],
    /// Codes of the nodes, below [`super::CUT`].
    pub nodes: &'a [u32],
    /// [`START`], [`END`] and [`EXCLUDE`] of each event.
    pub masks: &'a [u64],
    /// With [`super::Sessions::Named`] codes of the sessions; not looked at otherwise.
    pub sessions: &'a [u32],
}

/// One way of a user, cut to the stops that a path shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way<'a> {
    /// Index of the event whose values are those of `by`: the start; with an end alone the end; otherwise the first event of
    /// the session.
    pub anchor_event: usize,
    /// Codes of the nodes, or [`super::CUT`]. There is at least one.
    pub stops: &'a [u32],
    /// When each stop began, in microseconds.
    pub times: &'a [i64],
    /// Whether the session was over after the last stop. False where more stops followed than a path shows, and where the
    /// way was followed to its end.
    pub exited: bool,
}

impl Way<'_> {
    /// Time from the first to the last stop, in microseconds.
    pub fn duration_us(&self) -> i64 {
        self.times[self.times.len() - 1].saturating_sub(self.times[0])
    }
}

/// A step from one stop to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Index of the event whose values are those of `by`, as of a [`Way`].
    pub anchor_event: usize,
    /// The stop that was left.
    pub source: u32,
    /// The stop that came next.
    pub target: u32,
    /// From the beginning of the one to the beginning of the other, in microseconds.
    pub duration_us: i64,
}

/// Finds the ways of users, one user after the other. Its buffers are kept from user to user.
#[derive(Debug)]
pub struct PathKernel {
    spec: PathSpec,
    division: Division,
    ways: Ways,
    row_ways: RowWays,
}

impl PathKernel {
    /// A kernel for these arguments.
    ///
    /// # Errors
    /// As [`PathSpec::validate`].
    pub fn new(spec: PathSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { spec, division: Division::default(), ways: Ways::default(), row_ways: RowWays::default() })
    }

    /// The arguments.
    pub fn spec(&self) -> &PathSpec {
        &self.spec
    }

    /// Calls `found` for each way of a user: session by session, and from early to late.
    pub fn ways(&mut self, user: &UserInput<'_>, mut found: impl FnMut(&Way<'_>)) {
        self.division.divide(self.spec.sessions, user);
        for index in 0..self.division.len() {
            self.ways.of_session(&self.spec, user, self.division.session(index), &mut found);
        }
    }

    /// Whether [`Self::ways_of_rows`] answers these arguments: ways that lead to an end, of sessions without names.
    pub fn takes_rows(&self) -> bool {
        self.spec.is_backward() && self.spec.sessions != Sessions::Named
    }

    /// As [`Self::ways`], for a user whose events are rows of a block, none of them left out. `anchor_event` is counted from
    /// the user's first row. Without `with_times` no time of a stop is read, and `times` is empty.
    ///
    /// # Panics
    /// With arguments that [`Self::takes_rows`] refuses, when tested.
    pub fn ways_of_rows(&mut self, user: &impl PathRows, with_times: bool, found: impl FnMut(&Way<'_>)) {
        debug_assert!(self.takes_rows(), "ways that lead to an end");
        self.row_ways.of_user(&self.spec, user, with_times, found);
    }

    /// Calls `found` for each transition on a user's ways. `steps` does not limit them, and a transition counts once,
    /// however many ways go over it: ways that share an event are taken as one, that of the first of their anchors.
    pub fn transitions(&mut self, user: &UserInput<'_>, mut found: impl FnMut(Transition)) {
        self.division.divide(self.spec.sessions, user);
        for index in 0..self.division.len() {
            super::transitions::of_session(&self.spec, user, self.division.session(index), &mut found);
        }
    }
}
