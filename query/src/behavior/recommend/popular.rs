//! What most people use, and what is used more of late than before.

use super::view::{Fixed, View};
use trodden_engine::error::{Error, Result};

/// Spans of `trending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrendingOptions {
    /// Half-life of what counts as of late.
    pub short_half_life_us: i64,
    /// Half-life of what it is compared with, longer than the short one.
    pub long_half_life_us: i64,
}

impl Default for TrendingOptions {
    /// A day against a week.
    fn default() -> Self {
        let day_us = 86_400_000_000;
        Self { short_half_life_us: day_us, long_half_life_us: 7 * day_us }
    }
}

impl TrendingOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if self.short_half_life_us <= 0 || self.long_half_life_us <= self.short_half_life_us {
            let message = "the half-lives of trending are not above zero, the short one below the long one";
            return Err(Error::invalid(message).with_hint("such as one day and 7 days"));
        }
        Ok(())
    }
}

/// Weights of events by item, each halved with every half-life of the view: O(events) once, for all questions of a moment.
pub fn popular(view: &View<'_>) -> Vec<f64> {
    sums(view, |view, ts_us| view.decay(ts_us))
}

/// How far the weight of late is above what the long one makes expect, in standard deviations of a count:
/// `(s - e) / sqrt(e + 1)`, with `s` the sum by the short half-life and `e` that by the long one times short / long. An
/// item with a steady rate is at 0; items below have no score. The 1 keeps an item with one event from the top.
pub fn trending(view: &View<'_>, options: TrendingOptions) -> Vec<f64> {
    let with = |half_life_us| View { half_life_us: Some(half_life_us), ..view.clone() };
    let short = popular(&with(options.short_half_life_us));
    let long = popular(&with(options.long_half_life_us));
    let share = options.short_half_life_us as f64 / options.long_half_life_us as f64;
    let score = |(short, long): (&f64, &f64)| ((short - long * share) / (long * share + 1.0).sqrt()).max(0.0);
    short.iter().zip(&long).map(score).collect()
}

fn sums(view: &View<'_>, decay: impl Fn(&View<'_>, i64) -> f64) -> Vec<f64> {
    let interactions = view.interactions;
    let mut sums = vec![Fixed::default(); interactions.item_count()];
    if view.is_whole() && view.half_life_us.is_none() {
        for kind in interactions.kinds() {
            let weight = view.weights.of(kind);
            (0..).zip(&mut sums).for_each(|(item, sum)| sum.add_times(weight, interactions.kind_events(kind, item)));
        }
        return sums.into_iter().map(Fixed::value).collect();
    }
    for user in 0..interactions.user_count() as u32 {
        for event in view.events(user) {
            sums[event.item as usize].add(view.weights.of(event.kind) * decay(view, event.ts_us));
        }
    }
    sums.into_iter().map(Fixed::value).collect()
}
