//! Tallies add up to the same rows however the users were divided and whatever the codes of each part, and the rows are what
//! the model says.

use crate::case::config;
use crate::path_case::{Columns, Event, events, spec};
use crate::path_model::{Counted, counted_edges, counted_paths, counted_transitions, ranked};
use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::path::{
    CUT, LEAVING, PathKernel, PathSpec, Tally, Wanted, edges_of_way, path_key, rank, transition_key,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Paths,
    Edges,
    Transitions,
}

/// Another code for each, so that the parts have codes of their own. Codes 0 and [`CUT`] are the same for all.
fn recode(code: u32, shift: u32) -> u32 {
    if code == LEAVING || code == CUT { code } else { code + shift }
}

/// The tally of some users, with codes that are `shift` larger.
fn tally(kind: Kind, spec: &PathSpec, users: &[Vec<Event>], shift: u32) -> Tally {
    let mut kernel = PathKernel::new(spec.clone()).unwrap();
    let mut tally = Tally::new(Wanted { users: true, durations: true });
    let mut key = Vec::new();
    for events in users {
        tally.begin_user();
        let shifted: Vec<Event> = events.iter().map(|e| Event { node: recode(e.node, shift), ..*e }).collect();
        let columns = Columns::of(&shifted);
        let group = |event: usize| recode(events[event].by, shift);
        match kind {
            Kind::Paths => kernel.ways(&columns.input(), |way| {
                path_key(group(way.anchor_event), way, &mut key);
                tally.add(&key, Some(way.duration_us()));
            }),
            Kind::Edges => kernel.ways(&columns.input(), |way| {
                edges_of_way(spec, group(way.anchor_event), way, |key, duration_us| tally.add(&key, duration_us));
            }),
            Kind::Transitions => kernel.transitions(&columns.input(), |one| {
                tally.add(&transition_key(group(one.anchor_event), &one), Some(one.duration_us));
            }),
        }
    }
    tally
}

/// The codes of a part as those of the model.
fn translated(kind: Kind, part: &Tally, shift: u32) -> Tally {
    let mut whole = Tally::new(part.wanted());
    whole.merge(part, |key| {
        for (place, code) in key.iter_mut().enumerate() {
            let is_step = kind == Kind::Edges && place == 1;
            if !is_step && *code != LEAVING && *code != CUT {
                *code -= shift;
            }
        }
    });
    whole
}

fn expected(kind: Kind, spec: &PathSpec, users: &[Vec<Event>]) -> Vec<Counted> {
    match kind {
        Kind::Paths => counted_paths(spec, users),
        Kind::Edges => counted_edges(spec, users),
        Kind::Transitions => counted_transitions(spec, users),
    }
}

/// Codes around the limits of what fits into one byte.
fn any_code() -> impl Strategy<Value = u32> {
    prop_oneof![0..3_u32, 126..130_u32, 252..258_u32, Just(CUT), Just(u32::MAX), any::<u32>()]
}

proptest! {
    #![proptest_config(config(6_000))]

    /// Short keys of small codes are found in another way than others, and none is taken for another one.
    #[test]
    fn every_key_has_a_number_of_its_own(keys in vec(vec(any_code(), 1..11), 0..40), again in vec(0..40_usize, 0..40)) {
        let mut tally = Tally::new(Wanted { users: false, durations: false });
        let mut expected: std::collections::BTreeMap<Vec<u32>, u64> = std::collections::BTreeMap::new();
        let repeated = again.iter().filter_map(|&at| keys.get(at));
        for key in keys.iter().chain(repeated) {
            tally.add_count(key, 1);
            *expected.entry(key.clone()).or_default() += 1;
        }
        let found: Vec<(&[u32], u64)> = tally.counted().collect();
        prop_assert_eq!(found.len(), expected.len());
        prop_assert!(found.iter().all(|(key, count)| expected.get(*key) == Some(count)));
        prop_assert!(keys.iter().all(|key| found[tally.clone().number_of(key) as usize].0 == key));
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn any_division_gives_the_rows_of_the_model(
        kind in prop_oneof![Just(Kind::Paths), Just(Kind::Edges), Just(Kind::Transitions)],
        spec in spec(),
        users in vec(events(8), 0..12),
        picks in vec(any::<prop::sample::Index>(), 12),
    ) {
        let whole = rank(&tally(kind, &spec, &users, 0), spec.top, 1, <[u32]>::cmp);
        // A part of up to three users, with codes of its own; any two are merged until one is left.
        let parts = users.chunks(3).zip(1..).map(|(part, shift)| translated(kind, &tally(kind, &spec, part, shift), shift));
        let mut parts: Vec<Tally> = parts.collect();
        let mut picks = picks.iter();
        while parts.len() > 1 {
            let pick = picks.next().unwrap();
            let other = parts.swap_remove(pick.index(parts.len()));
            let into = pick.index(parts.len());
            parts[into].merge(&other, |_| {});
        }
        let merged = parts.pop().map_or_else(Vec::new, |merged| rank(&merged, spec.top, 1, <[u32]>::cmp));
        prop_assert_eq!(&merged, &whole);
        // Two groups that turn out to be one: a user who was in both counts once.
        let mut joined = Tally::new(Wanted { users: true, durations: true });
        joined.merge(&tally(kind, &spec, &users, 0), |key| key[0] = 1);
        let of_one_group: Vec<Vec<Event>> =
            users.iter().map(|events| events.iter().map(|event| Event { by: 1, ..*event }).collect()).collect();
        let model = ranked(&expected(kind, &spec, &of_one_group), spec.top);
        prop_assert_eq!(rank(&joined, spec.top, 1, <[u32]>::cmp), model);
        let model = ranked(&expected(kind, &spec, &users), spec.top);
        prop_assert_eq!(&whole, &model);
        for row in &whole {
            let all: u64 = whole.iter().filter(|other| other.group == row.group).map(|other| other.count).sum();
            prop_assert_eq!(all, row.group_count);
        }
    }
}
