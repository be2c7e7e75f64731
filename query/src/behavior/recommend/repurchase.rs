//! What the user had before, again: own items by how often and how lately, and a little of their neighbours.

use super::item_knn::ItemKnn;
use super::scores::{Scores, Source};
use super::view::View;

/// What a use is worth in the next basket of what it was worth in this one.
const BASKET_FACTOR: f64 = 0.95;
/// What neighbours are worth beside the user's own items.
const NEIGHBOUR_SHARE: f64 = 0.3;
/// Events without a longer gap between them are one basket.
pub(super) const BASKET_GAP_US: i64 = 30 * 60_000_000;

/// The user's distinct items, the newest first. An item's weight is that of its events, each basket since then taking 5 %.
pub(super) fn own_items(view: &View<'_>, user: u32) -> Vec<Source> {
    let mut places = std::collections::HashMap::new();
    let mut sources: Vec<Source> = Vec::new();
    let (mut left, mut newer_us) = (1.0, None);
    for event in view.events(user).rev() {
        if newer_us.is_some_and(|newer_us: i64| newer_us.saturating_sub(event.ts_us) > BASKET_GAP_US) {
            left *= BASKET_FACTOR;
        }
        newer_us = Some(event.ts_us);
        let place = *places.entry(event.item).or_insert_with(|| {
            sources.push(Source { item: event.item, weight: 0.0 });
            sources.len() - 1
        });
        sources[place].weight += left * view.weight(event);
    }
    sources
}

/// Scores each source with its own weight, and the first neighbours of the newest ones with a share of it: the similarity to each,
/// as a part of that to the most alike. Sources come as [`own_items`] gives them; with `only` one of them, by its place.
pub(super) fn score(
    neighbours: &ItemKnn,
    view: &View<'_>,
    ranks: &[u32],
    (sources, only): (&[Source], Option<usize>),
    scores: &mut Scores,
) {
    let newest = sources.len().min(neighbours.options().sources);
    let share = NEIGHBOUR_SHARE / newest as f64;
    for place in only.map_or(0..sources.len(), |only| only..only + 1) {
        let source = &sources[place];
        scores.add(source.item, source.weight);
        if place < newest {
            let row = neighbours.nearest(view, ranks, source.item, neighbours.options().voters);
            let highest = row.first().map_or(1.0, |first| first.1);
            for &(item, value) in row.iter() {
                scores.add(item, share * source.weight * value / highest);
            }
        }
    }
}
