//! Interactions and arguments of a recommendation, drawn so that equal times, equal scores and repeated items are frequent.

use proptest::collection::vec;
use proptest::prelude::*;
use trodden_query::behavior::recommend::{Interaction, Interactions, View, Weights};

pub(crate) const ITEMS: u32 = 7;
pub(crate) const USERS: u32 = 6;
pub(crate) const KINDS: u8 = 3;

/// What a user did, in the order of arrival.
pub(crate) type Event = (u32, Interaction);

/// Events with what counts of them.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) events: Vec<Event>,
    pub(crate) weights: Vec<f64>,
    pub(crate) window_us: Option<i64>,
    pub(crate) as_of_us: Option<i64>,
    pub(crate) half_life_us: Option<i64>,
    /// Order of items by value, by code.
    pub(crate) ranks: Vec<u32>,
}

impl Case {
    pub(crate) fn interactions(&self) -> Interactions {
        Interactions::from_events(self.events.iter().copied())
    }

    /// The same with every time and span so many times as long.
    pub(crate) fn stretched(mut self, factor: i64) -> Self {
        self.events.iter_mut().for_each(|(_, event)| event.ts_us *= factor);
        let spans = [&mut self.window_us, &mut self.as_of_us, &mut self.half_life_us];
        spans.into_iter().flatten().for_each(|span| *span *= factor);
        self
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.as_of_us.or(self.events.iter().map(|event| event.1.ts_us).max()).unwrap_or(0)
    }

    pub(crate) fn view<'a>(&self, interactions: &'a Interactions) -> View<'a> {
        let now_us = self.now_us();
        View {
            since_us: self.window_us.map_or(i64::MIN, |window_us| now_us - window_us),
            until_us: now_us,
            now_us,
            half_life_us: self.half_life_us,
            ..View::whole(interactions, Weights::new(self.weights.clone()))
        }
    }
}

pub(crate) fn events(count_max: usize) -> impl Strategy<Value = Vec<Event>> {
    let span = prop_oneof![Just(1_i64), Just(4), Just(12), Just(40)];
    span.prop_flat_map(move |span| {
        let event = (0..USERS, 0..span, 0..ITEMS, 0..KINDS)
            .prop_map(|(user, ts_us, item, kind)| (user, Interaction { ts_us, item, kind }));
        let in_order = any::<bool>();
        (vec(event, 0..=count_max), in_order).prop_map(|(mut events, in_order)| {
            if in_order {
                events.sort_by_key(|event| event.1.ts_us);
            }
            events
        })
    })
}

pub(crate) fn ranks() -> impl Strategy<Value = Vec<u32>> {
    Just((0..ITEMS).collect::<Vec<u32>>()).prop_shuffle()
}

/// What a question says of the events: what each kind is worth, and the moment, the window and the half-life.
pub(crate) fn question() -> impl Strategy<Value = (Vec<f64>, [Option<i64>; 3])> {
    let weight = prop_oneof![2 => Just(1.0), 1 => Just(0.0), 1 => Just(2.5)];
    let weights = prop_oneof![2 => Just(vec![1.0; 3]), 3 => vec(weight, 3)];
    let moment = prop_oneof![3 => Just(None), 1 => (0..40_i64).prop_map(Some)];
    let span = || prop_oneof![2 => Just(None), 1 => (1..20_i64).prop_map(Some)];
    (weights, (moment, span(), span()))
        .prop_map(|(weights, (moment, window, half_life))| (weights, [moment, window, half_life]))
}

pub(crate) fn case(count_max: usize) -> impl Strategy<Value = Case> {
    (events(count_max), question(), ranks()).prop_map(|(events, question, ranks)| asked_of(&events, &ranks, &question))
}

/// A question over these events.
pub(crate) fn asked_of(events: &[Event], ranks: &[u32], question: &(Vec<f64>, [Option<i64>; 3])) -> Case {
    let (weights, [as_of_us, window_us, half_life_us]) = question.clone();
    Case { events: events.to_vec(), weights, window_us, as_of_us, half_life_us, ranks: ranks.to_vec() }
}
