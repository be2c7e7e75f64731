//! The kernel gives what the model gives: ways, their stops and times, and transitions.

use crate::case::config;
use crate::path_case::{Columns, Event, events, spec};
use crate::path_model::{self, Found, Stop};
use proptest::prelude::*;
use trodden_query::behavior::path::{Anchor, CUT, PathKernel, PathSpec, Sessions};

fn ways(kernel: &mut PathKernel, events: &[Event]) -> Vec<Found> {
    let mut found = Vec::new();
    kernel.ways(&Columns::of(events).input(), |way| {
        assert_eq!(way.duration_us(), way.times[way.times.len() - 1] - way.times[0]);
        let stops = way.stops.iter().copied().zip(way.times.iter().copied()).collect();
        found.push(Found { anchor: way.anchor_event, stops, exited: way.exited });
    });
    found
}

fn transitions(kernel: &mut PathKernel, events: &[Event]) -> Vec<(usize, u32, u32, i64)> {
    let mut found = Vec::new();
    kernel.transitions(&Columns::of(events).input(), |one| {
        found.push((one.anchor_event, one.source, one.target, one.duration_us));
    });
    found
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn every_argument(spec in spec(), users in (events(12), events(5))) {
        let mut kernel = PathKernel::new(spec.clone()).unwrap();
        for events in [users.0, users.1] {
            prop_assert_eq!(ways(&mut kernel, &events), path_model::ways(&spec, &events));
            let expected: Vec<_> = path_model::transitions(&spec, &events)
                .into_iter()
                .map(|(anchor, source, target): (usize, Stop, Stop)| (anchor, source.0, target.0, target.1 - source.1))
                .collect();
            prop_assert_eq!(transitions(&mut kernel, &events), expected);
        }
    }
}

/// Events a microsecond apart, a letter each: `A` is node 1, a start where it stands in capitals; `.` is an end of node 9.
fn user(text: &str) -> Vec<Event> {
    let event = |(at, letter): (usize, char)| Event {
        ts: at as i64,
        node: if letter == '.' { 9 } else { letter.to_ascii_lowercase() as u32 - 'a' as u32 + 1 },
        is_start: letter.is_ascii_uppercase(),
        is_end: letter == '.',
        is_excluded: false,
        session: 1,
        by: 1,
    };
    text.chars().enumerate().map(event).collect()
}

#[track_caller]
fn check(spec: PathSpec, text: &str, expected: &[&[u32]]) {
    let mut kernel = PathKernel::new(PathSpec { sessions: Sessions::Whole, ..spec }).unwrap();
    let found = ways(&mut kernel, &user(text));
    let nodes: Vec<Vec<u32>> = found.iter().map(|way| way.stops.iter().map(|stop| stop.0).collect()).collect();
    assert_eq!(nodes, expected);
}

#[test]
fn the_examples_of_the_reference() {
    let start = PathSpec { has_start: true, ..PathSpec::default() };
    let end = PathSpec { has_end: true, ..PathSpec::default() };
    let both = PathSpec { has_start: true, has_end: true, ..PathSpec::default() };
    let each = |spec: &PathSpec| PathSpec { anchor: Anchor::Each, ..spec.clone() };
    check(PathSpec::default(), "abbbcdefg", &[&[1, 2, 3, 4, 5]]);
    check(PathSpec { collapse: false, ..PathSpec::default() }, "abbbcdefg", &[&[1, 2, 2, 2, 3]]);
    check(start.clone(), "abCdaCb", &[&[3, 4, 1, 3, 2]]);
    check(each(&start), "abCdaCb", &[&[3, 4, 1, 3, 2], &[3, 2]]);
    check(end.clone(), "abcdef.g.", &[&[3, 4, 5, 6, 9]]);
    check(each(&end), "ab.g.", &[&[1, 2, 9], &[1, 2, 9, 7, 9]]);
    check(both.clone(), "xAbcd.e.", &[&[1, 2, 3, 4, 9]]);
    check(both.clone(), "xAbcdef.", &[&[1, 2, 3, CUT, 6, 9]]);
    check(both.clone(), "ab.Acd", &[]);
    check(each(&both), "AbAc.", &[&[1, 2, 1, 3, 9], &[1, 3, 9]]);
    check(PathSpec { steps: 2, ..both }, "Abc.", &[&[1, CUT, 9]]);
}

/// Ways of a user with very many anchors must not each walk to the end of the session.
#[test]
fn a_million_anchors_of_one_stop_are_no_work_of_their_own() {
    let mut events = user(&"A".repeat(1_000_000));
    events.extend(user("."));
    let last = events.len() - 1;
    events[last].ts = last as i64;
    for has_end in [false, true] {
        let spec = PathSpec {
            has_start: true,
            has_end,
            anchor: Anchor::Each,
            sessions: Sessions::Whole,
            ..PathSpec::default()
        };
        let mut kernel = PathKernel::new(spec).unwrap();
        let mut count = 0;
        kernel.ways(&Columns::of(&events).input(), |way| {
            assert_eq!(way.stops, [1, 9]);
            count += 1;
        });
        assert_eq!(count, 1_000_000);
        assert_eq!(transitions(&mut kernel, &events).len(), 1);
    }
}
