//! The common funnel in one pass: `order => 'ordered'` with or without `within`, and nothing else.
//!
//! Forward: per step the latest time until which a chain that has got there may end (the deadline of the chain that
//! entered last). Entering late never hurts, so one number per step decides whether a longer chain exists.
//!
//! Choosing: let T be when the longest level was first completed. The first step-1 event at or after T - within starts
//! a chain that is completed at T too: had it been completed earlier within the window, T would be earlier. No earlier
//! entry can do it: whatever it completes, it completes at T or later, and T is out of its reach. From the entry on,
//! the earliest event for each next step is right, since it leaves the most choice to those after it.

use super::rules::UNLIMITED_US;
use super::spec::Ties;
use super::timeline::mask_of;

/// No chain has got to this step. Below every timestamp that a table stores.
const NO_DEADLINE: i64 = i64::MIN;

/// The answer of the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    /// The longest level, and when it was first completed (0 and undefined when nothing matches step 1).
    Level { level: usize, completed_at: i64 },
    /// Events with the same time compete for steps: the exact kernel must decide.
    Compete,
}

/// The longest level of a plain funnel over `steps` steps. `ts` gives the time of an event; it is asked for few.
pub(super) fn forward(ts: impl Fn(usize) -> i64, masks: &[u64], steps: usize, within_us: i64, ties: Ties) -> Forward {
    let present = masks.iter().fold(0, |all, mask| all | mask);
    // A step that no event satisfies ends every chain before it.
    let level_max = (present.trailing_ones() as usize).min(steps);
    let Some(entry) = masks.iter().position(|mask| mask & 1 != 0) else {
        return Forward::Level { level: 0, completed_at: 0 };
    };
    if level_max == 1 {
        return Forward::Level { level: 1, completed_at: ts(entry) };
    }
    // Events before the entry can matter only if they share its time.
    let entered_at = ts(entry);
    let begin = (0..entry).rev().take_while(|&event| ts(event) == entered_at).last().unwrap_or(entry);
    let (ts, masks) = (|event| ts(begin + event), &masks[begin..]);
    // Clearing the slots is a good part of the work on a short user.
    if level_max < 15 {
        Pass::<16>::new(level_max, within_us).run(ts, masks, ties)
    } else {
        Pass::<128>::new(level_max, within_us).run(ts, masks, ties)
    }
}

/// The state of the forward pass, with `SLOTS` (a power of two, at least `level_max` + 2) deadlines.
struct Pass<const SLOTS: usize> {
    /// At s: the latest time until which a chain of s events may end. At 0: as if it began with the event at hand.
    /// At `level_max`: none, since the pass stops when one gets there.
    deadlines: [i64; SLOTS],
    within_us: i64,
    /// Steps that can be reached.
    wanted: u64,
    level_max: usize,
    level: usize,
    completed_at: i64,
}

impl<const SLOTS: usize> Pass<SLOTS> {
    fn new(level_max: usize, within_us: i64) -> Self {
        let deadlines = [NO_DEADLINE; SLOTS];
        Self { deadlines, within_us, wanted: mask_of(level_max), level_max, level: 0, completed_at: 0 }
    }

    fn run(mut self, ts: impl Fn(usize) -> i64, masks: &[u64], ties: Ties) -> Forward {
        let decided = match ties {
            Ties::Arrival => self.run_by_arrival(ts, masks),
            Ties::Any => self.run_by_time(ts, masks),
            Ties::Increase => self.run_increasing(ts, masks),
        };
        match decided {
            true => Forward::Level { level: self.level, completed_at: self.completed_at },
            false => Forward::Compete,
        }
    }

    /// An event at `at` satisfies `step` (from 0; `level_max` for an event that satisfies nothing). Which step comes
    /// next cannot be predicted, so there is no branch that depends on it but the one that is seldom taken.
    #[inline(always)]
    fn take(&mut self, step: usize, at: i64) {
        let slot = step & (SLOTS - 1);
        let next_slot = (step + 1) & (SLOTS - 1);
        self.deadlines[0] = at.saturating_add(self.within_us);
        let deadline = self.deadlines[slot];
        let reached = deadline >= at;
        self.deadlines[next_slot] = if reached { deadline } else { self.deadlines[next_slot] };
        if step >= self.level && reached {
            (self.level, self.completed_at) = (step + 1, at);
        }
    }

    /// The steps of one event, or of events of which a chain takes one: later steps first, so that none is used twice.
    #[inline(always)]
    fn take_backward(&mut self, mut mask: u64, at: i64) {
        if is_single(mask) {
            let nothing = 1_u64.checked_shl(self.level_max as u32).unwrap_or(0);
            return self.take((mask | nothing).trailing_zeros() as usize, at);
        }
        while mask != 0 {
            let step = 63 - mask.leading_zeros() as usize;
            self.take(step, at);
            mask ^= 1 << step;
        }
    }

    /// Earlier steps first: each is satisfied by an event of its own.
    fn take_forward(&mut self, mut mask: u64, at: i64) {
        while mask != 0 {
            self.take(mask.trailing_zeros() as usize, at);
            mask &= mask - 1;
        }
    }

    /// The next event from `event` on that is the first or the last of a run of events that satisfy the same single
    /// step. The others change nothing: of step 1 the last entry counts, of another step the first event.
    #[inline(always)]
    fn end_of_run(&self, masks: &[u64], mut event: usize) -> usize {
        let mask = masks[event] & self.wanted;
        if event > 0 && masks[event - 1] & self.wanted == mask && is_single(mask) {
            while event + 1 < masks.len() && masks[event + 1] & self.wanted == mask {
                event += 1;
            }
        }
        event
    }

    fn run_by_arrival(&mut self, ts: impl Fn(usize) -> i64, masks: &[u64]) -> bool {
        let mut next = 0;
        while next < masks.len() && self.level < self.level_max {
            let event = self.end_of_run(masks, next);
            self.take_backward(masks[event] & self.wanted, ts(event));
            next = event + 1;
        }
        true
    }

    /// Whether it could decide: an event that satisfies several steps must stand alone in time.
    fn run_by_time(&mut self, ts: impl Fn(usize) -> i64, masks: &[u64]) -> bool {
        let mut next = 0;
        let mut known = None;
        while next < masks.len() && self.level < self.level_max {
            let event = self.end_of_run(masks, next);
            let mask = masks[event] & self.wanted;
            let at = match known.take() {
                Some((of, at)) if of == event => at,
                _ => ts(event),
            };
            next = event + 1;
            // Of events with the same time that satisfy the same single step, one is enough.
            let Some(&following) = masks.get(next) else {
                self.take_backward(mask, at);
                break;
            };
            if following & self.wanted == mask && is_single(mask) {
                self.take_backward(mask, at);
                continue;
            }
            let next_at = ts(next);
            if next_at != at {
                known = Some((next, next_at));
                self.take_backward(mask, at);
                continue;
            }
            let more = (next..masks.len()).take_while(|&other| ts(other) == at).count();
            let group = &masks[event..next + more];
            next += more;
            if group.iter().any(|mask| !is_single(mask & self.wanted)) {
                return false;
            }
            self.take_forward(group.iter().fold(0, |all, mask| all | mask) & self.wanted, at);
        }
        true
    }

    /// Of events with the same time a chain takes one.
    fn run_increasing(&mut self, ts: impl Fn(usize) -> i64, masks: &[u64]) -> bool {
        let mut next = 0;
        while next < masks.len() && self.level < self.level_max {
            let at = ts(next);
            let group = (next..masks.len()).take_while(|&other| ts(other) == at).count();
            let union = masks[next..next + group].iter().fold(0, |all, mask| all | mask) & self.wanted;
            next += group;
            self.take_backward(union, at);
        }
        true
    }
}

/// Whether at most one step is satisfied.
#[inline(always)]
fn is_single(mask: u64) -> bool {
    mask & mask.wrapping_sub(1) == 0
}

/// The chosen chain of `level` events, completed first at `completed_at`, handed to `push` event by event, each with its
/// time.
pub(super) fn choose(
    ts: impl Fn(usize) -> i64,
    masks: &[u64],
    (level, completed_at): (usize, i64),
    within_us: i64,
    ties: Ties,
    mut push: impl FnMut(u32, i64),
) {
    let first_from =
        |event: usize, step: usize| event + masks[event..].iter().take_while(|&mask| mask >> step & 1 == 0).count();
    let begin = match within_us {
        UNLIMITED_US => 0,
        _ => partition_point(masks.len(), |event| ts(event) < completed_at.saturating_sub(within_us)),
    };
    let mut event = first_from(begin, 0);
    let mut at = ts(event);
    push(event as u32, at);
    for step in 1..level {
        let start = match ties {
            Ties::Arrival => event + 1,
            Ties::Increase => event + (event..masks.len()).take_while(|&other| ts(other) == at).count(),
            Ties::Any => event - (0..event).rev().take_while(|&other| ts(other) == at).count(),
        };
        // With free ties the event itself lies in the searched range, but it can satisfy a second step only when it
        // stands alone in time: then it is the first of the range.
        let start = start + usize::from(ties == Ties::Any && start == event);
        event = first_from(start, step);
        // The last step of the longest chain is known to be reached first at that time.
        at = if step + 1 == level { completed_at } else { ts(event) };
        push(event as u32, at);
    }
}

/// The first of `0..len` for which `before` does not hold; it holds for all before that one.
fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
