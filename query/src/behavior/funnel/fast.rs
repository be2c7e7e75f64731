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
    let mut pass = Pass { deadlines: [NO_DEADLINE; 65], within_us, level: 0, at: 0 };
    let wanted = if level_max == 64 { u64::MAX } else { (1 << level_max) - 1 };
    match ties {
        Ties::Arrival => pass.run_by_arrival(&ts[begin..], &masks[begin..], wanted, level_max),
        Ties::Any => {
            if !pass.run_by_group(&ts[begin..], &masks[begin..], wanted, level_max, false) {
                return Forward::Compete;
            }
        }
        Ties::Increase => {
            pass.run_by_group(&ts[begin..], &masks[begin..], wanted, level_max, true);
        }
    }
    Forward::Level { level: pass.level, completed_at: pass.at }
}

struct Pass {
    /// `deadlines[s]`: the latest time until which a chain of s events may end. `deadlines[0]` is not used.
    deadlines: [i64; 65],
    within_us: i64,
    level: usize,
    at: i64,
}

impl Pass {
    /// An event at `at` satisfies step `step` (from 0).
    #[inline(always)]
    fn take(&mut self, step: usize, at: i64) {
        let deadline = if step == 0 { at.saturating_add(self.within_us) } else { self.deadlines[step & 63] };
        if deadline >= at {
            self.deadlines[(step & 63) + 1] = deadline;
            if step >= self.level {
                (self.level, self.at) = (step + 1, at);
            }
        }
    }

    /// Later steps first, so that no event is used twice.
    #[inline(always)]
    fn take_all_backward(&mut self, mut mask: u64, at: i64) {
        while mask != 0 {
            let step = 63 - mask.leading_zeros() as usize;
            self.take(step, at);
            mask ^= 1 << step;
        }
    }

    /// Earlier steps first: each is satisfied by an event of its own.
    fn take_all_forward(&mut self, mut mask: u64, at: i64) {
        while mask != 0 {
            self.take(mask.trailing_zeros() as usize, at);
            mask &= mask - 1;
        }
    }

    fn run_by_arrival(&mut self, ts: &[i64], masks: &[u64], wanted: u64, level_max: usize) {
        for (&at, &mask) in ts.iter().zip(masks) {
            self.take_all_backward(mask & wanted, at);
            if self.level == level_max {
                return;
            }
        }
    }

    /// Whether it could decide: with `ties => 'any'` an event that satisfies several steps must stand alone in time.
    fn run_by_group(&mut self, ts: &[i64], masks: &[u64], wanted: u64, level_max: usize, increase: bool) -> bool {
        let mut next = 0;
        while next < ts.len() {
            let (at, mut mask) = (ts[next], masks[next] & wanted);
            let mut competes = mask & mask.wrapping_sub(1) != 0;
            next += 1;
            if next < ts.len() && ts[next] == at {
                while next < ts.len() && ts[next] == at {
                    let more = masks[next] & wanted;
                    competes |= more & more.wrapping_sub(1) != 0;
                    mask |= more;
                    next += 1;
                }
                if increase {
                    self.take_all_backward(mask, at);
                } else if competes {
                    return false;
                } else {
                    self.take_all_forward(mask, at);
                }
            } else {
                self.take_all_backward(mask, at);
            }
            if self.level == level_max {
                return true;
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
