//! Sequential rules: what people use soon after an item.
//!
//! After Kamehkhosh, Jannach and Ludewig, "A Comparison of Frequent Pattern Techniques and a Deep Learning Method for
//! Session-Based Recommendation" (2017): an item that follows another within ten steps is worth 1 / distance to it.

use super::histories::{USES_AT_ONCE, histories};
use super::interactions::Interaction;
use super::rows::Rows;
use super::scores::{Scores, Source};
use super::view::{Fixed, View};
use trodden_engine::error::{Error, Result};

/// Options of `sequence`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SequenceOptions {
    /// How many events after an item still follow it.
    pub steps: usize,
    /// Over how many newest uses of an item its successors are counted.
    pub uses: usize,
    /// How many of the user's newest items vote.
    pub sources: usize,
    /// What the vote of each older item is worth of that of the next newer one, above 0 and at most 1.
    pub recency: f64,
}

impl Default for SequenceOptions {
    fn default() -> Self {
        Self { steps: 10, uses: 1_000, sources: 3, recency: 0.5 }
    }
}

impl SequenceOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if self.steps == 0 || self.uses == 0 || self.sources == 0 {
            return Err(
                Error::invalid("a sequence looks at no step, no use or no item").with_hint("give at least 1 of each")
            );
        }
        if !(self.recency > 0.0 && self.recency <= 1.0) {
            let message = format!("recency of a sequence is {}", self.recency);
            return Err(Error::invalid(message).with_hint("give a number above 0, at most 1"));
        }
        Ok(())
    }
}

/// Calls `vote` for each successor of an item, in no order, with its strength: over the newest uses of the item, the sum of the weight of
/// the event that follows over its distance in events, by the number of uses. Uses at one moment of one user count as one
/// among the newest ones, all of them or none.
pub fn successors(view: &View<'_>, item: u32, options: SequenceOptions, mut vote: impl FnMut(u32, f64)) {
    // A list and not a map: a popular item has tens of thousands of successors to add up.
    let mut strength = vec![Fixed::default(); view.interactions.item_count()];
    let mut is_met = vec![false; strength.len()];
    let mut met: Vec<u32> = Vec::new();
    let (mut moments, mut uses, mut last) = (0, 0_u64, None);
    let mut newest = view.interactions.uses_between(item, view.since_us, view.until_us).rev();
    let mut is_new = |moment: &(i64, u32)| last.replace(*moment) != Some(*moment);
    while moments < options.uses {
        let some: Vec<(i64, u32)> =
            newest.by_ref().filter(&mut is_new).take(USES_AT_ONCE.min(options.uses - moments)).collect();
        if some.is_empty() {
            break;
        }
        for (&(ts_us, _), (events, first)) in some.iter().zip(histories(view, &some)) {
            let before = uses;
            for at in (first..events.len()).take_while(|&at| events[at].ts_us == ts_us) {
                if events[at].item == item && view.holds(&events[at]) {
                    uses += 1;
                    each_follower(view, &events[at..], options.steps, |next, worth| {
                        if !std::mem::replace(&mut is_met[next as usize], true) {
                            met.push(next);
                        }
                        strength[next as usize].add(worth);
                    });
                }
            }
            moments += usize::from(uses > before);
        }
    }
    met.into_iter().for_each(|next| vote(next, strength[next as usize].value() / uses as f64));
}

/// Calls `found` for each other item among the `steps` events that count after the first of `events`, with its weight over
/// its distance.
fn each_follower(view: &View<'_>, events: &[Interaction], steps: usize, mut found: impl FnMut(u32, f64)) {
    let [first, later @ ..] = events else { return };
    let followers = later.iter().filter(|event| view.holds(event)).take(steps);
    for (gap, next) in followers.enumerate().filter(|(_, next)| next.item != first.item) {
        found(next.item, view.weight(next) / (gap + 1) as f64);
    }
}

/// Successors of the items that were asked for.
#[derive(Debug)]
pub struct Sequence {
    options: SequenceOptions,
    successors: Rows,
}

impl Sequence {
    /// Nothing is found before it is asked for.
    pub fn new(options: SequenceOptions) -> Self {
        Self { options, successors: Rows::default() }
    }

    /// The options.
    pub fn options(&self) -> SequenceOptions {
        self.options
    }

    /// Bytes of the rows that were asked for.
    pub fn heap_bytes(&self) -> usize {
        self.successors.heap_bytes()
    }

    /// Scores what follows the newest sources.
    pub(super) fn score(&self, view: &View<'_>, sources: &[Source], scores: &mut Scores) {
        for source in sources.iter().take(self.options.sources) {
            let row = self.successors.get(view.interactions, source.item, || {
                let mut row = Vec::new();
                successors(view, source.item, self.options, |item, strength| row.push((item, strength)));
                row
            });
            row.iter().for_each(|&(item, strength)| scores.add(item, source.weight * strength));
        }
    }
}
