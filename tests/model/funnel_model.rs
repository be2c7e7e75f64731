//! FUNNEL by brute force: every sequence of different events is looked at, and every rule is checked on the whole of it.
//!
//! Written from the reference ("Words used below", "FUNNEL") and `docs/semantics/funnel.md`; shares nothing with the
//! kernel but the types of the arguments. Exponential: for a handful of events.

use crate::case::Event;
use trodden_query::behavior::funnel::{Count, DropReason, FunnelSpec, Order, Ties};

/// Events of a chain, and why it went no further.
pub(crate) type Found = (Vec<u32>, Option<DropReason>);

/// What the definitions say about one user.
pub(crate) fn funnel(spec: &FunnelSpec, events: &[Event]) -> Vec<Found> {
    match spec.count {
        Count::Users => best(spec, events).into_iter().collect(),
        Count::Attempts => {
            let mut found = Vec::new();
            for value in hold_values(spec, events) {
                found.extend(attempts(spec, events, value));
            }
            found.sort_by_key(|(chain, _)| chain[0]);
            found
        }
    }
}

fn best(spec: &FunnelSpec, events: &[Event]) -> Option<Found> {
    let steps = spec.steps.len();
    let (level, chain) = longest(spec, events)?;
    let mut reason = None;
    if level < steps {
        let mut relaxed = spec.clone();
        relaxed.within_us = None;
        relaxed.step_within_us = Vec::new();
        reason = Some(DropReason::Never);
        if longest(&relaxed, events).unwrap().0 > level {
            reason = Some(DropReason::Timeout);
        } else {
            relaxed.excludes.clear();
            if longest(&relaxed, events).unwrap().0 > level {
                reason = Some(DropReason::Excluded);
            } else if relaxed.order == Order::Strict {
                relaxed.order = Order::Ordered;
                if longest(&relaxed, events).unwrap().0 > level {
                    reason = Some(DropReason::Broken);
                }
            }
        }
    }
    Some((chain, reason))
}

/// The longest level and the chosen chain.
fn longest(spec: &FunnelSpec, events: &[Event]) -> Option<(usize, Vec<u32>)> {
    (1..=spec.steps.len()).rev().find_map(|level| {
        let mut sequence = Vec::new();
        let mut first: Option<Vec<u32>> = None;
        each_sequence(events.len(), level, &mut sequence, &mut |sequence| {
            if is_chain(spec, events, sequence) && first.as_ref().is_none_or(|first| sequence < &first[..]) {
                first = Some(sequence.to_vec());
            }
        });
        first.map(|chain| (level, chain))
    })
}

/// Every sequence of `length` different events.
fn each_sequence(events: usize, length: usize, sequence: &mut Vec<u32>, each: &mut impl FnMut(&[u32])) {
    if sequence.len() == length {
        each(sequence);
        return;
    }
    for event in 0..events as u32 {
        if !sequence.contains(&event) {
            sequence.push(event);
            each_sequence(events, length, sequence, each);
            sequence.pop();
        }
    }
}

fn is_chain(spec: &FunnelSpec, events: &[Event], chain: &[u32]) -> bool {
    let at = |position: usize| events[chain[position] as usize];
    let length = chain.len();
    let fills = match spec.order {
        // In any order, a chain is listed in total order.
        Order::Any => chain.is_sorted() && fill_different_steps(chain.iter().map(|&e| events[e as usize].steps), 0),
        _ => (0..length).all(|position| at(position).steps >> position & 1 != 0),
    };
    if !fills {
        return false;
    }
    if spec.hold && (0..length).any(|position| at(position).hold == 0 || at(position).hold != at(0).hold) {
        return false;
    }
    if spec.within_us.is_some_and(|within| at(length - 1).ts - at(0).ts > within) {
        return false;
    }
    for next in 1..length {
        let (a, b) = (chain[next - 1], chain[next]);
        let gap = spec.step_within_us.get(next - 1).copied().flatten();
        if !follows(spec, events, a, b)
            || gap.is_some_and(|gap| at(next).ts - at(next - 1).ts > gap)
            || (spec.order == Order::Strict && (0..events.len() as u32).any(|x| between(spec, events, a, x, b)))
        {
            return false;
        }
    }
    spec.excludes.iter().enumerate().all(|(index, exclude)| {
        exclude.before > length
            || !(0..events.len() as u32).any(|x| {
                events[x as usize].excludes >> index & 1 != 0
                    && between(spec, events, chain[exclude.after - 1], x, chain[exclude.before - 1])
            })
    })
}

/// Whether the events can be given different steps.
fn fill_different_steps(mut masks: impl Iterator<Item = u64> + Clone, used: u64) -> bool {
    let Some(mask) = masks.next() else { return true };
    (0..64).any(|step| {
        let bit = 1_u64 << step;
        mask & bit != 0 && used & bit == 0 && fill_different_steps(masks.clone(), used | bit)
    })
}

/// Whether `b` may be the neighbour after `a`, another event.
fn follows(spec: &FunnelSpec, events: &[Event], a: u32, b: u32) -> bool {
    let (at_a, at_b) = (events[a as usize].ts, events[b as usize].ts);
    match spec.ties {
        Ties::Any => at_a <= at_b,
        Ties::Arrival => a < b,
        Ties::Increase => at_a < at_b,
    }
}

fn between(spec: &FunnelSpec, events: &[Event], a: u32, x: u32, b: u32) -> bool {
    match spec.ties {
        Ties::Arrival => a < x && x < b,
        _ => events[a as usize].ts < events[x as usize].ts && events[x as usize].ts < events[b as usize].ts,
    }
}

fn hold_values(spec: &FunnelSpec, events: &[Event]) -> Vec<Option<u32>> {
    if !spec.hold {
        return vec![None];
    }
    let mut values: Vec<u32> = events.iter().map(|event| event.hold).filter(|&hold| hold != 0).collect();
    values.sort_unstable();
    values.dedup();
    values.into_iter().map(Some).collect()
}

/// How an attempt ended.
enum End {
    /// With this event: the next attempt is anchored after it.
    Event(u32),
    /// At this time: the next attempt is anchored later.
    Time(i64),
}

/// All attempts with one value of `hold`.
fn attempts(spec: &FunnelSpec, events: &[Event], hold: Option<u32>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut used: Vec<u32> = Vec::new();
    let mut ended: Option<End> = None;
    let all = 0..events.len() as u32;
    loop {
        let anchor = all.clone().find(|&event| {
            let starts = match spec.order {
                Order::Any => events[event as usize].steps != 0,
                _ => events[event as usize].steps & 1 != 0,
            };
            let late_enough = match &ended {
                None => true,
                Some(End::Event(last)) => event != *last && follows(spec, events, *last, event),
                Some(End::Time(time)) => events[event as usize].ts > *time,
            };
            starts
                && late_enough
                && !used.contains(&event)
                && hold.is_none_or(|hold| events[event as usize].hold == hold)
        });
        let Some(anchor) = anchor else { return found };
        used.push(anchor);
        let (chain, reason, end) = attempt(spec, events, hold, anchor, &mut used);
        found.push((chain, reason));
        match end {
            Some(end) => ended = Some(end),
            None => return found,
        }
    }
}

/// The attempt that is anchored at `anchor`.
fn attempt(
    spec: &FunnelSpec,
    events: &[Event],
    hold: Option<u32>,
    anchor: u32,
    used: &mut Vec<u32>,
) -> (Vec<u32>, Option<DropReason>, Option<End>) {
    let mut chain = vec![anchor];
    let ts = |event: u32| events[event as usize].ts;
    loop {
        let level = chain.len();
        let last = chain[level - 1];
        if level == spec.steps.len() {
            return (chain, None, Some(End::Event(last)));
        }
        let next = (0..events.len() as u32).find(|&event| {
            let fills = match spec.order {
                Order::Any => {
                    let with: Vec<u64> = chain.iter().chain([&event]).map(|&e| events[e as usize].steps).collect();
                    let follows = if spec.ties == Ties::Increase { ts(last) < ts(event) } else { last < event };
                    follows && fill_different_steps(with.into_iter(), 0)
                }
                _ => events[event as usize].steps >> level & 1 != 0 && follows(spec, events, last, event),
            };
            fills && !used.contains(&event) && hold.is_none_or(|hold| events[event as usize].hold == hold)
        });
        let limits = [
            spec.within_us.map(|within| ts(anchor) + within),
            spec.step_within_us.get(level - 1).copied().flatten().map(|gap| ts(last) + gap),
        ];
        let deadline = limits.into_iter().flatten().min();
        let excluding = first_excluding(spec, events, &chain);
        let excluded_before = |event: u32| {
            excluding.is_some_and(|x| match spec.ties {
                Ties::Arrival => x < event,
                _ => ts(x) < ts(event),
            })
        };
        let broken_before = |event: u32| {
            spec.order == Order::Strict && (0..events.len() as u32).any(|x| between(spec, events, last, x, event))
        };
        if let Some(next) = next
            && deadline.is_none_or(|deadline| ts(next) <= deadline)
            && !excluded_before(next)
            && !broken_before(next)
        {
            chain.push(next);
            used.push(next);
            continue;
        }
        let reason = match next {
            None => DropReason::Never,
            Some(next) if broken_before(next) => DropReason::Broken,
            Some(next) if excluded_before(next) => DropReason::Excluded,
            Some(_) => DropReason::Timeout,
        };
        // A strict attempt that the very next event does not continue ended with its last event.
        if spec.order == Order::Strict && next.is_none_or(broken_before) {
            return (chain, Some(reason), Some(End::Event(last)));
        }
        let end = match (excluding, deadline) {
            (Some(x), deadline) if deadline.is_none_or(|deadline| ts(x) <= deadline) => Some(End::Event(x)),
            (_, deadline) => deadline.map(End::Time),
        };
        return (chain, Some(reason), end);
    }
}

/// The first event that ends an attempt because it is excluded after a step that it has and before one that it lacks.
fn first_excluding(spec: &FunnelSpec, events: &[Event], chain: &[u32]) -> Option<u32> {
    (0..events.len() as u32).find(|&x| {
        spec.excludes.iter().enumerate().any(|(index, exclude)| {
            let open = exclude.after <= chain.len() && chain.len() < exclude.before;
            open && events[x as usize].excludes >> index & 1 != 0 && {
                let after = chain[exclude.after - 1];
                match spec.ties {
                    Ties::Arrival => after < x,
                    _ => events[after as usize].ts < events[x as usize].ts,
                }
            }
        })
    })
}
