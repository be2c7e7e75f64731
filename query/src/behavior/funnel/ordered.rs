//! The exact kernel for ordered and strict funnels: every rule, every kind of ties, near-linear.
//!
//! Seen as positions in time, every rule is either "step s + 1 not before step s" or a deadline "step j not after
//! f(step i)" with f growing (`within`, `step_within`, strictness, and an exclusion: f is the first excluding event
//! after step i). Of two chains that obey such rules, the chain of the earlier of both at each step obeys them too; that
//! also holds for steps that share a stop, since a run of steps that can be matched with different events contains no
//! run that cannot. So there is a chain that is earliest at every step at once, and it is found by moving forward:
//! start every step at its first stop, and as long as a rule is broken, move the step that is too early to the first
//! stop that the rule allows. No step ever moves back, so the work is bounded by the number of stops times the number
//! of rules. When a step runs out of stops, no chain of that length exists.
//!
//! Within a stop that several steps could share, "earliest by arrival" can ask for another event than the earliest
//! chain has: there the events are tried in order of arrival, one per distinct mask.

use super::matching::Matching;
use super::rules::{Rules, UNLIMITED_US};
use super::spec::Order;
use super::stops::{Sharing, Stop, Stops};
use super::timeline::Timeline;

/// The step has no event of its own yet.
const FREE: u32 = u32::MAX;

/// How far every step has moved.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// Per step: position in its list of stops.
    stop: [u32; 64],
    /// Per exclusion: position in its list of excluding events.
    excluding: [u32; 64],
}

/// A search for the chains of one division of one user.
pub(super) struct Search<'a> {
    rules: &'a Rules,
    timeline: &'a Timeline,
    stops: &'a Stops,
    matching: &'a mut Matching,
    cursor: Cursor,
    /// Per step: position of its event in `stops.events`, once chosen.
    chosen: [u32; 64],
}

impl<'a> Search<'a> {
    pub(super) fn new(rules: &'a Rules, timeline: &'a Timeline, stops: &'a Stops, matching: &'a mut Matching) -> Self {
        let cursor = Cursor { stop: [0; 64], excluding: [0; 64] };
        Self { rules, timeline, stops, matching, cursor, chosen: [FREE; 64] }
    }

    /// The longest level. Every step up to it stands at its earliest stop afterwards.
    pub(super) fn longest(&mut self) -> usize {
        for level in 1..=self.rules.steps {
            if self.stops.by_step[level - 1].is_empty() {
                return level - 1;
            }
            let before = self.cursor;
            let added = 1 << (level - 1);
            if !self.settle(level, added | added >> 1) {
                self.cursor = before;
                return level - 1;
            }
        }
        self.rules.steps
    }

    /// The events (indices in the input) of the chosen chain, after [`Self::longest`] has returned `level`.
    pub(super) fn choose(&mut self, level: usize, chain: &mut Vec<u32>) {
        chain.clear();
        for step in 0..level {
            let stop = self.stop(step);
            let position = match stop.sharing {
                Sharing::Compete => self.choose_competing(step, &stop, level),
                Sharing::One | Sharing::Separate => self.first_fitting(step, &stop),
            };
            self.chosen[step] = position as u32;
            chain.push(self.stops.events[position].0);
        }
    }

    fn first_fitting(&self, step: usize, stop: &Stop) -> usize {
        let mut range = stop.range();
        let first = range.start;
        range.find(|&position| self.stops.events[position].1 >> step & 1 != 0).unwrap_or(first)
    }

    /// The earliest event of a shared stop with which the chain can still be completed.
    fn choose_competing(&mut self, step: usize, stop: &Stop, level: usize) -> usize {
        let before = self.cursor;
        let mut tried = 0;
        let fits = |position: usize, chosen: &[u32; 64]| {
            self.stops.events[position].1 >> step & 1 != 0 && !chosen[..step].contains(&(position as u32))
        };
        let positions: Vec<usize> = stop.range().filter(|&position| fits(position, &self.chosen)).collect();
        for (index, &position) in positions.iter().enumerate() {
            // Events with the same mask can stand for each other: the earliest free one has spoken for all of them.
            let mask = self.stops.events[position].1;
            if positions[..index].iter().any(|&earlier| self.stops.events[earlier].1 == mask) {
                continue;
            }
            tried += 1;
            self.chosen[step] = position as u32;
            if self.settle(level, 1 << step) {
                return position;
            }
            self.cursor = before;
        }
        debug_assert!(tried == 0, "the earliest chain stops here, so one of the events must fit");
        self.first_fitting(step, stop)
    }

    /// Moves steps forward until the first `level` of them obey every rule. `moved` says which may break one.
    /// False when there is no such chain; the cursor is undefined then.
    fn settle(&mut self, level: usize, mut moved: u64) -> bool {
        while moved != 0 {
            let step = moved.trailing_zeros() as usize;
            moved &= moved - 1;
            let settled = self.settle_next(step, level, &mut moved)
                && self.settle_limits(step, level, &mut moved)
                && self.settle_excludes(step, &mut moved)
                && self.settle_sharing(step, level, &mut moved);
            if !settled {
                return false;
            }
        }
        true
    }

    /// The next step must not come before this one.
    fn settle_next(&mut self, step: usize, level: usize, moved: &mut u64) -> bool {
        if step + 1 >= level {
            return true;
        }
        let stop = self.stop_index(step);
        let earliest = stop + u32::from(self.stops.stops[stop as usize].sharing == Sharing::One);
        self.advance(step + 1, moved, |_, index| index >= earliest)
    }

    /// Deadlines that this step sets for the entry and for the step before it.
    fn settle_limits(&mut self, step: usize, level: usize, moved: &mut u64) -> bool {
        let rules = self.rules;
        let Stop { ts, place, .. } = self.stop(step);
        if step + 1 == level && rules.within_us != UNLIMITED_US {
            let earliest = ts.saturating_sub(rules.within_us);
            if !self.advance(0, moved, |stop, _| stop.ts >= earliest) {
                return false;
            }
        }
        if step == 0 {
            return true;
        }
        let gap_us = rules.gaps_us[step - 1];
        if gap_us != UNLIMITED_US {
            let earliest = ts.saturating_sub(gap_us);
            if !self.advance(step - 1, moved, |stop, _| stop.ts >= earliest) {
                return false;
            }
        }
        rules.order != Order::Strict || self.advance(step - 1, moved, |stop, _| stop.place + 1 >= place)
    }

    /// No excluding event between step `after` and this one.
    fn settle_excludes(&mut self, step: usize, moved: &mut u64) -> bool {
        let (rules, timeline) = (self.rules, self.timeline);
        for (index, exclude) in rules.excludes.iter().enumerate() {
            if exclude.before != step + 1 {
                continue;
            }
            let after = exclude.after - 1;
            let place = self.stop(step).place;
            let events = &timeline.excluding[index];
            loop {
                let place_after = self.stop(after).place;
                let passed = &events[self.cursor.excluding[index] as usize..];
                let skip = passed.iter().take_while(|&&event| timeline.places[event as usize] <= place_after).count();
                self.cursor.excluding[index] += skip as u32;
                match passed.get(skip).map(|&event| timeline.places[event as usize]) {
                    Some(excluded) if excluded < place => {
                        if !self.advance(after, moved, |stop, _| stop.place >= excluded) {
                            return false;
                        }
                    }
                    _ => break,
                }
            }
        }
        true
    }

    /// Steps that share this step's stop must have different events.
    fn settle_sharing(&mut self, step: usize, level: usize, moved: &mut u64) -> bool {
        let index = self.stop_index(step);
        let stop = self.stops.stops[index as usize];
        if stop.sharing != Sharing::Compete {
            return true;
        }
        let first = (0..step).rev().take_while(|&before| self.stop_index(before) == index).last().unwrap_or(step);
        let last = (step + 1..level).take_while(|&after| self.stop_index(after) == index).last().unwrap_or(step);
        match self.first_unmatched(&stop, first, last) {
            Some(unmatched) => self.advance(unmatched, moved, |_, at| at > index),
            None => true,
        }
    }

    /// The first of the steps `first..=last` up to which they cannot all have an event of their own at `stop`.
    fn first_unmatched(&mut self, stop: &Stop, first: usize, last: usize) -> Option<usize> {
        let range = stop.range();
        let events = &self.stops.events[range.clone()];
        self.matching.start(events.len());
        for &position in self.chosen.iter().filter(|&&position| range.contains(&(position as usize))) {
            self.matching.take(position as usize - range.start);
        }
        (first..=last).find(|&step| self.chosen[step] == FREE && !self.matching.add(step, |event| events[event].1))
    }

    /// Moves `step` to its first stop for which `reached` holds (and holds for all later ones). False when there is
    /// none, or when the step has its event already and would have to leave it.
    fn advance(&mut self, step: usize, moved: &mut u64, reached: impl Fn(&Stop, u32) -> bool) -> bool {
        let list = &self.stops.by_step[step];
        let is_reached = |position: usize| reached(&self.stops.stops[list[position] as usize], list[position]);
        let mut low = self.cursor.stop[step] as usize;
        if is_reached(low) {
            return true;
        }
        if self.chosen[step] != FREE {
            return false;
        }
        // Invariant: not reached at `low`. Most moves are short.
        let mut stride = 1;
        while low + stride < list.len() && !is_reached(low + stride) {
            low += stride;
            stride *= 2;
        }
        let mut high = (low + stride).min(list.len());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is_reached(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        if high == list.len() {
            return false;
        }
        self.cursor.stop[step] = high as u32;
        *moved |= 1 << step;
        true
    }

    fn stop_index(&self, step: usize) -> u32 {
        self.stops.by_step[step][self.cursor.stop[step] as usize]
    }

    fn stop(&self, step: usize) -> Stop {
        self.stops.stops[self.stop_index(step) as usize]
    }
}
