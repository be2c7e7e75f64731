//! What is found among bits of rows, and by cells of pairs, is what the model finds.

use crate::case::config;
use crate::path_case::{Event, events, spec};
use crate::path_model::{self, Found, counted_transitions, ranked};
use proptest::collection::vec;
use proptest::prelude::*;
use std::ops::Range;
use trodden_query::behavior::path::{
    ListedEvents, ListedRows, NamedEvents, PathKernel, PathRows, PathSpec, Sessions, Tally, TallyRow, TransitionMatrix,
    Wanted, rank,
};

/// A user's events as rows from `first` on.
struct Rows<'a> {
    events: &'a [Event],
    first: usize,
}

impl PathRows for Rows<'_> {
    fn rows(&self) -> Range<usize> {
        self.first..self.first + self.events.len()
    }

    fn node(&self, row: usize) -> u32 {
        self.events[row - self.first].node
    }

    fn time(&self, row: usize) -> i64 {
        self.events[row - self.first].ts
    }

    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.time(late) - self.time(early) <= limit_us
    }

    fn first_end(&self, mut range: Range<usize>) -> Option<usize> {
        range.find(|row| self.events[row - self.first].is_end)
    }
}

/// No event is left out, and sessions have no names.
fn plain(spec: PathSpec) -> PathSpec {
    let sessions = if spec.sessions == Sessions::Named { Sessions::GapUs(10) } else { spec.sessions };
    PathSpec { sessions, ..spec }
}

fn none_left_out(count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let kept = |event: Event| Event { node: event.node.max(1), is_excluded: false, ..event };
    events(count_max).prop_map(move |events| events.into_iter().map(kept).collect())
}

fn by_cells(spec: &PathSpec, users: &[Vec<Event>], wanted: Wanted) -> Vec<TallyRow> {
    let (mut matrix, mut tally) = (TransitionMatrix::default(), Tally::new(wanted));
    for (user, events) in users.iter().enumerate() {
        // Later users have nodes of codes that the first do not have, and short codes of their own.
        let nodes: Vec<u32> = if user < 2 { (0..5).collect() } else { (0..12).rev().collect() };
        let name = |event: &Event| nodes.iter().position(|&node| node == event.node).unwrap() as u8;
        let names: Vec<u8> = events.iter().map(name).collect();
        let times: Vec<i64> = events.iter().map(|event| event.ts).collect();
        let named = NamedEvents { times: &times, names: &names, nodes: &nodes };
        let nodes: Vec<u32> = events.iter().map(|event| event.node).collect();
        let listed = ListedEvents { times: &times, nodes: &nodes };
        tally.begin_user();
        // Users of one block and of several are counted in the same cells.
        assert!(match (wanted.users, user % 2 == 0) {
            (true, true) => matrix.add(spec, 1, &named, &mut tally),
            (true, false) => matrix.add(spec, 1, &listed, &mut tally),
            (false, true) => matrix.count(spec, &named),
            (false, false) => matrix.count(spec, &listed),
        });
    }
    if !wanted.users {
        matrix.add_to(spec, 1, &mut tally);
    }
    rank(&tally, spec.top, 1, <[u32]>::cmp)
}

proptest! {
    #![proptest_config(config(6_000))]

    #[test]
    fn ways_to_ends(spec in spec(), users in (none_left_out(14), none_left_out(5)), first in 0..70_usize) {
        let spec = PathSpec { has_start: false, has_end: true, ..plain(spec) };
        let mut kernel = PathKernel::new(spec.clone()).unwrap();
        for events in [users.0, users.1] {
            let (mut timed, mut untimed) = (Vec::new(), Vec::new());
            kernel.ways_of_rows(&Rows { events: &events, first }, true, |way| {
                let stops = way.stops.iter().copied().zip(way.times.iter().copied()).collect();
                timed.push(Found { anchor: way.anchor_event, stops, exited: way.exited });
            });
            kernel.ways_of_rows(&Rows { events: &events, first }, false, |way| {
                assert!(way.times.is_empty());
                untimed.push(way.stops.to_vec());
            });
            let (times, codes): (Vec<i64>, Vec<u32>) = events.iter().map(|event| (event.ts, event.node)).unzip();
            let masks: Vec<u64> = events.iter().map(|event| u64::from(event.is_end) << 1 | 1).collect();
            let mut listed = Vec::new();
            let rows = ListedRows { times: &times, nodes: &codes, masks: &masks, end: 2 };
            kernel.ways_of_rows(&rows, true, |way| {
                let stops = way.stops.iter().copied().zip(way.times.iter().copied()).collect();
                listed.push(Found { anchor: way.anchor_event, stops, exited: way.exited });
            });
            prop_assert_eq!(&listed, &timed);
            let nodes = |way: &Found| way.stops.iter().map(|stop| stop.0).collect::<Vec<_>>();
            prop_assert_eq!(untimed, timed.iter().map(nodes).collect::<Vec<_>>());
            prop_assert_eq!(timed, path_model::ways(&spec, &events));
        }
    }

    #[test]
    fn transitions_by_cells(spec in spec(), users in vec(none_left_out(10), 0..5)) {
        let spec = PathSpec { has_start: false, has_end: false, ..plain(spec) };
        let event = |user: usize, at: usize, event: Event| {
            let is_late = user >= 2 && at.is_multiple_of(2);
            Event { by: 1, node: if is_late { event.node + 7 } else { event.node }, ..event }
        };
        let of_user = |(user, events): (usize, Vec<Event>)| {
            events.into_iter().enumerate().map(|(at, one)| event(user, at, one)).collect()
        };
        let users: Vec<Vec<Event>> = users.into_iter().enumerate().map(of_user).collect();
        let expected = ranked(&counted_transitions(&spec, &users), spec.top);
        prop_assert_eq!(by_cells(&spec, &users, Wanted { users: true, durations: true }), expected.clone());
        let counts: Vec<TallyRow> =
            expected.into_iter().map(|row| TallyRow { users: 0, median_seconds: None, ..row }).collect();
        prop_assert_eq!(by_cells(&spec, &users, Wanted { users: false, durations: false }), counts);
    }
}
