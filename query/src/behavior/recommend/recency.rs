//! A user's history as sources: which items, and how much each counts by its age.

use super::scores::Source;
use super::view::View;

/// How much an item of a history counts by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Recency {
    /// Every item the same.
    #[default]
    None,
    /// The newest item 1, each one before it less by this factor, above 0 and at most 1.
    Factor(f64),
}

impl Recency {
    fn weight(self, place: usize) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Factor(factor) => factor.powi(i32::try_from(place).unwrap_or(i32::MAX)),
        }
    }
}

/// A user's distinct items, the newest first: each with the weights of its events times what `recency` leaves of it.
///
/// An event's weight is that of its kind, halved with every half-life of the view. Weights of one item are not added up,
/// since methods over sets of users know no counts: the highest is taken.
pub fn history(view: &View<'_>, user: u32, recency: Recency) -> Vec<Source> {
    let mut places = std::collections::HashMap::new();
    let mut sources: Vec<Source> = Vec::new();
    for event in view.events(user).rev() {
        let weight = view.weight(event);
        let place = *places.entry(event.item).or_insert_with(|| {
            sources.push(Source { item: event.item, weight: 0.0 });
            sources.len() - 1
        });
        sources[place].weight = sources[place].weight.max(weight);
    }
    for (place, source) in sources.iter_mut().enumerate() {
        source.weight *= recency.weight(place);
    }
    sources
}

/// The items of a basket as sources, the last one first, each once.
pub fn basket(items: &[u32]) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for &item in items.iter().rev() {
        if sources.iter().all(|source| source.item != item) {
            sources.push(Source { item, weight: 1.0 });
        }
    }
    sources
}
