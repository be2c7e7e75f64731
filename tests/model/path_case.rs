//! A user and a path, drawn so that ties, gaps of just the allowed length, equal neighbours and sessions that lie in each
//! other are frequent.

use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::path::{Anchor, PathSpec, Sessions, UserInput};

/// The longest gap within a session of drawn arguments, in microseconds.
const GAP_US: i64 = 10;

/// One event. Code 0 is NULL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) ts: i64,
    pub(crate) node: u32,
    pub(crate) is_start: bool,
    pub(crate) is_end: bool,
    pub(crate) is_excluded: bool,
    pub(crate) session: u32,
    pub(crate) by: u32,
}

/// The columns that the kernel reads.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    times: Vec<i64>,
    nodes: Vec<u32>,
    masks: Vec<u64>,
    sessions: Vec<u32>,
}

impl Columns {
    pub(crate) fn of(events: &[Event]) -> Self {
        let mask = |e: &Event| u64::from(e.is_start) | u64::from(e.is_end) << 1 | u64::from(e.is_excluded) << 2;
        Self {
            times: events.iter().map(|e| e.ts).collect(),
            nodes: events.iter().map(|e| e.node).collect(),
            masks: events.iter().map(mask).collect(),
            sessions: events.iter().map(|e| e.session).collect(),
        }
    }

    pub(crate) fn input(&self) -> UserInput<'_> {
        UserInput { times: &self.times, nodes: &self.nodes, masks: &self.masks, sessions: &self.sessions }
    }
}

pub(crate) fn spec() -> impl Strategy<Value = PathSpec> {
    let sessions = prop_oneof![
        3 => Just(Sessions::GapUs(GAP_US)),
        2 => Just(Sessions::Named),
        1 => Just(Sessions::Whole),
    ];
    (sessions, any::<[bool; 4]>(), 1..7_u32, 1..5_u32).prop_map(
        |(sessions, [has_start, has_end, each, collapse], steps, top)| {
            let anchor = if each && (has_start || has_end) { Anchor::Each } else { Anchor::First };
            let steps = if has_start && has_end { steps.max(2) } else { steps };
            PathSpec { sessions, has_start, has_end, anchor, steps, collapse, top }
        },
    )
}

pub(crate) fn events(count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![2 => Just(0), 3 => 1..4_i64, 1 => Just(GAP_US), 1 => Just(GAP_US + 1), 1 => Just(50)];
    let node = prop_oneof![1 => Just(0_u32), 6 => 1..3_u32, 3 => 3..5_u32];
    let often = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let flags = (often(), often(), prop_oneof![8 => Just(false), 1 => Just(true)]);
    let session = prop_oneof![1 => Just(0_u32), 8 => 1..4_u32];
    vec((gap, node, flags, session, 1..3_u32), 0..=count_max).prop_map(|drawn| {
        let mut ts = 0;
        let event = |(gap, node, (is_start, is_end, is_excluded), session, by)| {
            ts += gap;
            Event { ts, node, is_start, is_end, is_excluded, session, by }
        };
        drawn.into_iter().map(event).collect()
    })
}
