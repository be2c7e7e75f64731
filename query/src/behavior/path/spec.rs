//! The arguments of a path.

use trodden_engine::error::{Error, Result};

/// The most stops of a path.
pub const STEPS_MAX: u32 = 1_000;
/// The most rows that `top` asks for.
pub const TOP_MAX: u32 = 1_000_000;
/// The stop that stands for those that were cut out, shown as `…`. Greater than every code of a node.
pub const CUT: u32 = u32::MAX;

/// What divides a user's events into sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sessions {
    /// A new one starts after a gap longer than this, in microseconds. Events that are left out do not fill a gap.
    GapUs(i64),
    /// Events with the same name of a session, whether or not others lie between them. An event without one is in no
    /// session and left out. The sessions of two users are never the same.
    Named,
    /// All events of a user are one session.
    Whole,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::GapUs(30 * 60 * 1_000_000)
    }
}

/// Which starts, or with an end alone which ends, make a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Anchor {
    /// The first one of a session.
    #[default]
    First,
    /// Every one: the ways of a session may overlap. It needs a start or an end.
    Each,
}

/// The arguments of a path, apart from its conditions, which the caller has turned into masks.
///
/// A **way** is a piece of a session. Without `start` and `end` it is all of it. With a start it begins at that event, with
/// an end it closes with that event; the end of a start is the first one *after* it, and a start without an end after it
/// makes no way. What lies before a start, or behind an end, does not count.
///
/// The **stops** of a way are the nodes of its events. With `collapse` equal neighbours are one stop, which has the time of
/// the first of them. The way is found first, so two starts that are equal neighbours make two ways with
/// [`Anchor::Each`].
///
/// Of the stops at most `steps` are kept: the first ones, or with an end alone the last ones. With both, a longer way keeps
/// its first half (rounded up) and its last half, with [`CUT`] between them, which is not counted in `steps` and has the
/// time of the first stop that it hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSpec {
    /// What divides a user's events into sessions.
    pub sessions: Sessions,
    /// Whether there is a condition for where ways start.
    pub has_start: bool,
    /// Whether there is a condition for where ways end.
    pub has_end: bool,
    /// Which starts or ends make a way.
    pub anchor: Anchor,
    /// The most stops of a path.
    pub steps: u32,
    /// Whether equal neighbours are one stop.
    pub collapse: bool,
    /// How many rows a group has at most, without the one for the rest.
    pub top: u32,
}

impl Default for PathSpec {
    fn default() -> Self {
        Self {
            sessions: Sessions::default(),
            has_start: false,
            has_end: false,
            anchor: Anchor::default(),
            steps: 5,
            collapse: true,
            top: 50,
        }
    }
}

impl PathSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        if let Sessions::GapUs(gap_us) = self.sessions
            && gap_us <= 0
        {
            return Err(Error::invalid("session: the gap must be longer than zero")
                .with_hint("a new session starts after a gap longer than this; NULL makes one session a user"));
        }
        if self.anchor == Anchor::Each && !self.has_start && !self.has_end {
            return Err(Error::invalid("anchor: 'each' needs a start or an end")
                .with_hint("give a start, an end or both; without them every session is one path"));
        }
        let steps_min = if self.has_start && self.has_end { 2 } else { 1 };
        if !(steps_min..=STEPS_MAX).contains(&self.steps) {
            let both = if steps_min == 2 { " with a start and an end" } else { "" };
            return Err(Error::invalid(format!("steps: {} is not possible{both}", self.steps))
                .with_hint(format!("a path{both} has {steps_min} to {STEPS_MAX} stops")));
        }
        if !(1..=TOP_MAX).contains(&self.top) {
            return Err(Error::invalid(format!("top: {} is not possible", self.top))
                .with_hint(format!("top is 1 to {TOP_MAX}; the rest has a row of its own")));
        }
        Ok(())
    }

    /// Whether ways lead to an end from wherever they come: their steps are counted back from it.
    pub fn is_backward(&self) -> bool {
        self.has_end && !self.has_start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl Fn(&mut PathSpec), says: &str) {
        let mut spec = PathSpec::default();
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with(says), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn defaults_and_limits_are_valid() {
        PathSpec::default().validate().unwrap();
        PathSpec { sessions: Sessions::GapUs(1), steps: 1, top: 1, ..PathSpec::default() }.validate().unwrap();
        let both = PathSpec { has_start: true, has_end: true, anchor: Anchor::Each, ..PathSpec::default() };
        PathSpec { steps: 2, top: TOP_MAX, ..both.clone() }.validate().unwrap();
        PathSpec { steps: STEPS_MAX, ..both }.validate().unwrap();
    }

    #[test]
    fn every_wrong_argument_is_named() {
        refused(|s| s.sessions = Sessions::GapUs(0), "session: the gap must be longer than zero");
        refused(|s| s.anchor = Anchor::Each, "anchor: 'each' needs a start or an end");
        refused(|s| s.steps = 0, "steps: 0 is not possible");
        refused(|s| s.steps = 1_001, "steps: 1001 is not possible");
        let both = |s: &mut PathSpec| (s.has_start, s.has_end, s.steps) = (true, true, 1);
        refused(both, "steps: 1 is not possible with a start and an end");
        refused(|s| s.top = 0, "top: 0 is not possible");
        refused(|s| s.top = 1_000_001, "top: 1000001");
    }
}
