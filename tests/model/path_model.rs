//! PATH by brute force: sessions, ways and counts worked out one by one, with every list written out.
//!
//! Written from the reference ("Words used below", "PATH") and what the arguments say of themselves; shares nothing with the
//! kernel but their types.

use crate::path_case::Event;
use std::collections::{BTreeMap, BTreeSet};
use trodden_query::behavior::path::{Anchor, CUT, PathSpec, Sessions, TallyRow};

/// A stop: its node and when it began.
pub(crate) type Stop = (u32, i64);

/// A way as a path shows it: index of the anchor, stops, whether the session was over.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) anchor: usize,
    pub(crate) stops: Vec<Stop>,
    pub(crate) exited: bool,
}

/// An event, and its index among all events of the user.
type Place = (usize, Event);

/// What is left of the events, session by session.
fn sessions(spec: &PathSpec, events: &[Event]) -> Vec<Vec<Place>> {
    let kept: Vec<Place> = events
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, event)| !event.is_excluded && event.node != 0)
        .filter(|(_, event)| spec.sessions != Sessions::Named || event.session != 0)
        .collect();
    let mut found: Vec<Vec<Place>> = Vec::new();
    for (index, event) in kept {
        let of = match spec.sessions {
            Sessions::Whole => found.first_mut(),
            Sessions::Named => found.iter_mut().find(|session| session[0].1.session == event.session),
            Sessions::GapUs(gap_us) => {
                found.last_mut().filter(|session| event.ts - session[session.len() - 1].1.ts <= gap_us)
            }
        };
        match of {
            Some(session) => session.push((index, event)),
            None => found.push(vec![(index, event)]),
        }
    }
    found
}

/// Where the ways of a session lie: first and last place, and the place of the anchor.
fn ways_of(spec: &PathSpec, session: &[Place]) -> Vec<(usize, usize, usize)> {
    let last = session.len() - 1;
    let starts = (0..session.len()).filter(|&place| session[place].1.is_start);
    let ends = || (0..session.len()).filter(|&place| session[place].1.is_end);
    let taken = if spec.anchor == Anchor::Each { usize::MAX } else { 1 };
    match (spec.has_start, spec.has_end) {
        (false, false) => vec![(0, last, 0)],
        (true, false) => starts.take(taken).map(|start| (start, last, start)).collect(),
        (false, true) => ends().take(taken).map(|end| (0, end, end)).collect(),
        (true, true) => {
            let way = |start| Some((start, ends().find(|&end| end > start)?, start));
            starts.take(taken).filter_map(way).collect()
        }
    }
}

fn stops(spec: &PathSpec, events: &[Place]) -> Vec<Stop> {
    let mut found: Vec<Stop> = Vec::new();
    for (_, event) in events {
        if !(spec.collapse && found.last().is_some_and(|stop| stop.0 == event.node)) {
            found.push((event.node, event.ts));
        }
    }
    found
}

fn cut(spec: &PathSpec, mut stops: Vec<Stop>) -> Vec<Stop> {
    let steps = spec.steps as usize;
    if stops.len() <= steps {
        return stops;
    }
    match (spec.has_start, spec.has_end) {
        (false, true) => stops.split_off(stops.len() - steps),
        (true, true) => {
            let (head, tail) = (steps - steps / 2, steps / 2);
            let hidden = stops[head].1;
            let behind = stops.split_off(stops.len() - tail);
            stops.truncate(head);
            stops.push((CUT, hidden));
            stops.extend(behind);
            stops
        }
        _ => {
            stops.truncate(steps);
            stops
        }
    }
}

/// The ways of one user.
pub(crate) fn ways(spec: &PathSpec, events: &[Event]) -> Vec<Found> {
    let mut found = Vec::new();
    for session in sessions(spec, events) {
        for (first, last, anchor) in ways_of(spec, &session) {
            let whole = stops(spec, &session[first..=last]);
            let exited = !spec.has_end && whole.len() <= spec.steps as usize;
            found.push(Found { anchor: session[anchor].0, stops: cut(spec, whole), exited });
        }
    }
    found
}

/// The transitions of one user: index of the anchor, source and target.
pub(crate) fn transitions(spec: &PathSpec, events: &[Event]) -> Vec<(usize, Stop, Stop)> {
    let mut found = Vec::new();
    for session in sessions(spec, events) {
        let mut ways = ways_of(spec, &session);
        // Ways that share an event are one.
        while let Some((a, b)) = two_that_touch(&ways) {
            let (second, first) = (ways.remove(b), ways[a]);
            ways[a] = (first.0.min(second.0), first.1.max(second.1), first.2.min(second.2));
        }
        for (first, last, anchor) in ways {
            let stops = stops(spec, &session[first..=last]);
            found.extend(stops.windows(2).map(|pair| (session[anchor].0, pair[0], pair[1])));
        }
    }
    found
}

fn two_that_touch(ways: &[(usize, usize, usize)]) -> Option<(usize, usize)> {
    let pairs = (0..ways.len()).flat_map(|a| (a + 1..ways.len()).map(move |b| (a, b)));
    pairs.into_iter().find(|&(a, b)| ways[a].0 <= ways[b].1 && ways[b].0 <= ways[a].1)
}

/// What is counted once more: user, group, key and duration.
pub(crate) type Counted = (usize, u32, Vec<u32>, Option<i64>);

/// The paths of many users.
pub(crate) fn counted_paths(spec: &PathSpec, users: &[Vec<Event>]) -> Vec<Counted> {
    let of_user = |(user, events): (usize, &Vec<Event>)| {
        let path = |way: Found| {
            let nodes = way.stops.iter().map(|stop| stop.0).collect();
            (user, events[way.anchor].by, nodes, Some(way.stops[way.stops.len() - 1].1 - way.stops[0].1))
        };
        ways(spec, events).into_iter().map(path).collect::<Vec<_>>()
    };
    users.iter().enumerate().flat_map(of_user).collect()
}

/// The edges of many users: step, source and target.
pub(crate) fn counted_edges(spec: &PathSpec, users: &[Vec<Event>]) -> Vec<Counted> {
    let mut found = Vec::new();
    for (user, events) in users.iter().enumerate() {
        for way in ways(spec, events) {
            let (group, stops) = (events[way.anchor].by, way.stops);
            let step = |edge: usize| {
                let backward = edge as i32 + 1 - stops.len() as i32;
                if spec.has_end && !spec.has_start { backward as u32 } else { edge as u32 + 1 }
            };
            for (edge, pair) in stops.windows(2).enumerate() {
                found.push((user, group, vec![step(edge), pair[0].0, pair[1].0], Some(pair[1].1 - pair[0].1)));
            }
            if way.exited {
                found.push((user, group, vec![step(stops.len() - 1), stops[stops.len() - 1].0, 0], None));
            }
        }
    }
    found
}

/// The transitions of many users: source and target.
pub(crate) fn counted_transitions(spec: &PathSpec, users: &[Vec<Event>]) -> Vec<Counted> {
    let of_user = |(user, events): (usize, &Vec<Event>)| {
        let one = |(anchor, source, target): (usize, Stop, Stop)| {
            (user, events[anchor].by, vec![source.0, target.0], Some(target.1 - source.1))
        };
        transitions(spec, events).into_iter().map(one).collect::<Vec<_>>()
    };
    users.iter().enumerate().flat_map(of_user).collect()
}

/// The most frequent of each group, and one row for the rest.
pub(crate) fn ranked(counted: &[Counted], top: u32) -> Vec<TallyRow> {
    let groups: BTreeSet<u32> = counted.iter().map(|one| one.1).collect();
    let mut rows = Vec::new();
    for group in groups {
        let mut by_key: BTreeMap<&[u32], Vec<&Counted>> = BTreeMap::new();
        for one in counted.iter().filter(|one| one.1 == group) {
            by_key.entry(&one.2).or_default().push(one);
        }
        let group_count = by_key.values().map(Vec::len).sum::<usize>() as u64;
        let mut keys: Vec<(&[u32], Vec<&Counted>)> = by_key.into_iter().collect();
        keys.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
        let rest: Vec<&Counted> =
            keys.split_off(keys.len().min(top as usize)).into_iter().flat_map(|key| key.1).collect();
        rows.extend(keys.into_iter().map(|(key, all)| row(group, Some(key.to_vec()), group_count, &all)));
        if !rest.is_empty() {
            rows.push(row(group, None, group_count, &rest));
        }
    }
    rows
}

fn row(group: u32, key: Option<Vec<u32>>, group_count: u64, all: &[&Counted]) -> TallyRow {
    let users: BTreeSet<usize> = all.iter().map(|one| one.0).collect();
    let mut durations: Vec<i64> = all.iter().filter_map(|one| one.3).collect();
    durations.sort_unstable();
    let middle = durations.len() / 2;
    let median_seconds = match durations.len() {
        0 => None,
        count if count % 2 == 1 => Some(durations[middle] as f64 / 1e6),
        _ => Some((durations[middle - 1] as f64 + durations[middle] as f64) / 2.0 / 1e6),
    };
    TallyRow { group, key, count: all.len() as u64, users: users.len() as u64, group_count, median_seconds }
}
