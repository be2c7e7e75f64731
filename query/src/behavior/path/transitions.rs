//! The transitions of one session.

use super::kernel::{END, START, Transition, UserInput};
use super::spec::{Anchor, PathSpec};

/// Calls `found` for each transition of the session of `user` that consists of `events`.
pub(super) fn of_session(spec: &PathSpec, user: &UserInput<'_>, events: &[u32], found: &mut impl FnMut(Transition)) {
    let has = |bit: u64, place: usize| user.masks[events[place] as usize] & bit != 0;
    let find = |bit: u64, from: usize| (from..events.len()).find(|&place| has(bit, place));
    let last = events.len() - 1;
    let mut walk = |first: usize, last: usize, anchor: usize| {
        walk(spec.collapse, user, &events[first..=last], events[anchor] as usize, found);
    };
    match (spec.has_start, spec.has_end) {
        (false, false) => walk(0, last, 0),
        // Every later start lies on the way of the first.
        (true, false) => {
            if let Some(start) = find(START, 0) {
                walk(start, last, start);
            }
        }
        // Every earlier end lies on the way to the last.
        (false, true) => {
            if let Some(first) = find(END, 0) {
                let end = if spec.anchor == Anchor::First { None } else { (first..=last).rfind(|&at| has(END, at)) };
                walk(0, end.unwrap_or(first), first);
            }
        }
        (true, true) => {
            let mut next = find(START, 0);
            while let Some(start) = next {
                let Some(end) = find(END, start + 1) else { return };
                // An end that is a start, too, goes on to the next end: ways that share an event are one.
                let (mut end, goes_on) = (end, |end: usize| spec.anchor == Anchor::Each && has(START, end));
                while goes_on(end)
                    && let Some(next) = find(END, end + 1)
                {
                    end = next;
                }
                walk(start, end, start);
                next = if spec.anchor == Anchor::First { None } else { find(START, end + 1) };
            }
        }
    }
}

fn walk(collapse: bool, user: &UserInput<'_>, events: &[u32], anchor_event: usize, found: &mut impl FnMut(Transition)) {
    let Some((&first, later)) = events.split_first() else { return };
    let (mut source, mut since) = (user.nodes[first as usize], user.times[first as usize]);
    for &event in later {
        let (target, at) = (user.nodes[event as usize], user.times[event as usize]);
        if collapse && target == source {
            continue;
        }
        found(Transition { anchor_event, source, target, duration_us: at.saturating_sub(since) });
        (source, since) = (target, at);
    }
}
