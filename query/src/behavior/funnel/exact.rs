//! The best chain of a user under any rules.

use super::any_order::{AnyOrder, for_each_order};
use super::matches::Events;
use super::matching::Matching;
use super::ordered::Search;
use super::rules::Rules;
use super::spec::Order;
use super::stops::Stops;
use super::timeline::Timeline;
use std::ops::Range;

/// Buffers of the exact kernels.
#[derive(Debug, Default)]
pub(super) struct Exact {
    pub(super) timeline: Timeline,
    stops: Stops,
    matching: Matching,
    any_order: AnyOrder,
    reordered: Vec<u64>,
    chain: Vec<u32>,
    best: Vec<u32>,
}

impl Exact {
    /// The chosen chain of the user that `self.timeline` has read: the longest, and among the longest the earliest.
    pub(super) fn best(&mut self, input: &Events<'_>, rules: &Rules) -> &[u32] {
        self.best.clear();
        for index in 0..self.timeline.divisions.len() {
            let division = self.timeline.divisions[index].clone();
            let Some(&first) = self.timeline.candidates.get(division.start) else { continue };
            // An equally long chain is better only if it enters earlier.
            let later = self.best.first().is_some_and(|&entry| first > entry);
            let level_min = if later { self.best.len() } else { self.best.len().saturating_sub(1) };
            self.longest(input, rules, division, level_min);
            if self.chain.len() > self.best.len() || (self.chain.len() == self.best.len() && self.chain < self.best) {
                std::mem::swap(&mut self.chain, &mut self.best);
            }
        }
        &self.best
    }

    /// Whether a level above `level` can be reached.
    pub(super) fn exceeds(&mut self, input: &Events<'_>, rules: &Rules, level: usize) -> bool {
        (0..self.timeline.divisions.len()).any(|index| {
            let division = self.timeline.divisions[index].clone();
            self.longest(input, rules, division, level);
            self.chain.len() > level
        })
    }

    /// Puts the best chain of one division into `self.chain`; it may stay empty when no level above `level_min` exists.
    fn longest(&mut self, input: &Events<'_>, rules: &Rules, division: Range<usize>, level_min: usize) {
        self.chain.clear();
        match rules.order {
            Order::Any if rules.limits_gaps() => self.longest_of_all_orders(input, rules, division),
            Order::Any => {
                let candidates = &self.timeline.candidates[division];
                self.any_order.best(input, candidates, rules, &mut self.chain);
            }
            Order::Ordered | Order::Strict => {
                if self.stops.read(input, &self.timeline, division, (rules.steps, rules.ties), level_min) {
                    let mut search = Search::new(rules, &self.timeline, &self.stops, &mut self.matching);
                    let level = search.longest();
                    if level > level_min {
                        search.choose(level, &mut self.chain);
                    }
                }
            }
        }
    }

    fn longest_of_all_orders(&mut self, input: &Events<'_>, rules: &Rules, division: Range<usize>) {
        let candidates = &self.timeline.candidates[division.clone()];
        let present = candidates.iter().fold(0, |all, &event| all | input.steps[event as usize]);
        let mut best = Vec::new();
        for_each_order(rules.steps, present, |order| {
            self.reordered.clear();
            self.reordered.extend(input.steps.iter().map(|mask| {
                order.iter().enumerate().fold(0, |all, (position, step)| all | (mask >> step & 1) << position)
            }));
            let reordered = Events { steps: &self.reordered, ..*input };
            let level_min = best.len().saturating_sub(1);
            if !self.stops.read(&reordered, &self.timeline, division.clone(), (rules.steps, rules.ties), level_min) {
                return;
            }
            let mut search = Search::new(rules, &self.timeline, &self.stops, &mut self.matching);
            let level = search.longest();
            if level > level_min {
                search.choose(level, &mut self.chain);
                if self.chain.len() > best.len() || self.chain < best {
                    std::mem::swap(&mut self.chain, &mut best);
                }
            }
        });
        self.chain = best;
    }
}
