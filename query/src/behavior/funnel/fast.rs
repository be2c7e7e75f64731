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

/// The longest level of a plain funnel over `steps` steps.
pub(super) fn forward(ts: &[i64], masks: &[u64], steps: usize, within_us: i64, ties: Ties) -> Forward {
    let present = masks.iter().fold(0, |all, mask| all | mask);
    // A step that no event satisfies ends every chain before it.
    let level_max = (present.trailing_ones() as usize).min(steps);
    let Some(entry) = masks.iter().position(|mask| mask & 1 != 0) else {
        return Forward::Level { level: 0, completed_at: 0 };
    };
    if level_max == 1 {
        return Forward::Level { level: 1, completed_at: ts[entry] };
    }
    // Events before the entry can matter only if they share its time.
    let begin = ts[..entry].iter().rposition(|&at| at < ts[entry]).map_or(0, |before| before + 1);
    let (ts, masks) = (&ts[begin..], &masks[begin..]);
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

    fn run(mut self, ts: &[i64], masks: &[u64], ties: Ties) -> Forward {
        let decided = match ties {
            Ties::Arrival => self.run_by_arrival(ts, masks),
            Ties::Any => self.run_by_time(ts, masks, false),
            Ties::Increase => self.run_by_time(ts, masks, true),
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
        if mask & mask.wrapping_sub(1) == 0 {
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

    fn run_by_arrival(&mut self, ts: &[i64], masks: &[u64]) -> bool {
        for (&at, &mask) in ts.iter().zip(masks) {
            self.take_backward(mask & self.wanted, at);
            if self.level == self.level_max {
                break;
            }
        }
        true
    }

    /// Whether it could decide: with `ties => 'any'` an event that satisfies several steps must stand alone in time.
    fn run_by_time(&mut self, ts: &[i64], masks: &[u64], increase: bool) -> bool {
        let mut next = 0;
        while next < ts.len() && self.level < self.level_max {
            let (at, mask) = (ts[next], masks[next] & self.wanted);
            next += 1;
            if ts.get(next) != Some(&at) {
                self.take_backward(mask, at);
                continue;
            }
            let more = ts[next..].iter().take_while(|&&other| other == at).count();
            let group = &masks[next - 1..next + more];
            next += more;
            let union = group.iter().fold(0, |all, mask| all | mask) & self.wanted;
            if increase {
                self.take_backward(union, at);
            } else if group.iter().any(|mask| (mask & self.wanted).count_ones() > 1) {
                return false;
            } else {
                self.take_forward(union, at);
            }
        }
        true
    }
}

/// The chosen chain of `level` events, completed first at `completed_at`, handed to `push` event by event.
pub(super) fn choose(
    ts: &[i64],
    masks: &[u64],
    (level, completed_at): (usize, i64),
    within_us: i64,
    ties: Ties,
    mut push: impl FnMut(u32),
) {
    let from = match within_us {
        UNLIMITED_US => 0,
        _ => ts.partition_point(|&at| at < completed_at.saturating_sub(within_us)),
    };
    let mut event = from + masks[from..].iter().take_while(|&mask| mask & 1 == 0).count();
    push(event as u32);
    for step in 1..level {
        let start = match ties {
            Ties::Arrival => event + 1,
            Ties::Increase => event + ts[event..].iter().take_while(|&&at| at == ts[event]).count(),
            Ties::Any => event - ts[..event].iter().rev().take_while(|&&at| at == ts[event]).count(),
        };
        // With free ties the event itself lies in the searched range, but it can satisfy a second step only when it
        // stands alone in time: then it is the first of the range.
        let start = start + usize::from(ties == Ties::Any && start == event);
        event = start + masks[start..].iter().take_while(|&mask| mask >> step & 1 == 0).count();
        push(event as u32);
    }
}
