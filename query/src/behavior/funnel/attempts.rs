//! Every attempt of a user, one after the other.
//!
//! An attempt is anchored at its first event and takes each next step as early as it can. What comes "after" something
//! is what may follow it in a chain: with free ties an event at the same time that no attempt has used, by arrival an
//! event later in the total order, otherwise an event at a later time. Per step one pointer into the list of its events
//! moves forward only, so all attempts together cost one pass.

use super::basis::Basis;
use super::matches::{DropReason, Events, Matches};
use super::rules::Rules;
use super::spec::{Order, Ties};
use super::timeline::{Timeline, mask_of};
use std::ops::Range;

/// What an event must come after.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// At this time or later.
    From(i64),
    /// Later than this time.
    LaterThan(i64),
    /// Later in the total order than this event.
    Behind(u32),
}

/// Where the next step would be, and what stands in the way.
struct Ahead {
    next: Option<u32>,
    /// The first excluding event between the steps that it belongs to.
    excluding: Option<u32>,
    deadline: i64,
}

/// Buffers of the search.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Per step: its events, in total order.
    by_step: Vec<Vec<u32>>,
    /// Per step: position in `by_step` before which nothing is of use any more.
    position: Vec<usize>,
    /// Per event of the input, with free ties: an attempt has it.
    used: Vec<bool>,
    chain: Vec<u32>,
}

impl Attempts {
    /// Adds the attempts of every division to `matches`.
    pub(super) fn run(
        &mut self,
        input: &Events<'_>,
        rules: &Rules,
        timeline: &Timeline,
        reasons: bool,
        matches: &mut Matches,
    ) {
        self.used.clear();
        self.used.resize(input.ts.len(), false);
        for division in &timeline.divisions {
            self.read(input, timeline, division.clone(), rules.steps);
            let search = Division { input, rules, timeline, buffers: self };
            search.run(reasons, matches);
        }
        matches.sort_by_entry();
    }

    fn read(&mut self, input: &Events<'_>, timeline: &Timeline, division: Range<usize>, steps: usize) {
        self.by_step.resize_with(steps, Vec::new);
        self.by_step.iter_mut().for_each(Vec::clear);
        self.position.clear();
        self.position.resize(steps, 0);
        for &event in &timeline.candidates[division] {
            let mut mask = input.steps[event as usize] & mask_of(steps);
            while mask != 0 {
                self.by_step[mask.trailing_zeros() as usize].push(event);
                mask &= mask - 1;
            }
        }
    }
}

/// The attempts of one division.
struct Division<'a> {
    input: &'a Events<'a>,
    rules: &'a Rules,
    timeline: &'a Timeline,
    buffers: &'a mut Attempts,
}

impl Division<'_> {
    fn run(mut self, reasons: bool, matches: &mut Matches) {
        let mut bound = Bound::From(i64::MIN);
        let mut ended_by = None;
        while let Some(anchor) = self.anchor(bound, ended_by) {
            self.buffers.chain.clear();
            self.take(anchor);
            let reason;
            (reason, bound, ended_by) = match self.rules.order {
                Order::Any => self.run_any_order(anchor),
                Order::Ordered | Order::Strict => self.run_ordered(anchor),
            };
            matches.push_chain(&self.buffers.chain, self.input.ts, reason.filter(|_| reasons));
        }
    }

    /// The first event that can start an attempt, other than the excluding event that ended the one before.
    fn anchor(&mut self, bound: Bound, ended_by: Option<u32>) -> Option<u32> {
        let starts = if self.rules.order == Order::Any { self.rules.steps } else { 1 };
        (0..starts).filter_map(|step| self.next(step, bound, ended_by)).min()
    }

    /// Takes steps in their order from `anchor` on. Returns why the attempt went no further, and what the next one
    /// must come after (and which event ended this one).
    fn run_ordered(&mut self, anchor: u32) -> (Option<DropReason>, Bound, Option<u32>) {
        let mut last = anchor;
        for level in 1..self.rules.steps {
            let ahead = self.look_ahead(level, last);
            let (excluded, broken) = self.obstacles(&ahead, last);
            match ahead.next {
                Some(next) if !excluded && !broken && self.ts(next) <= ahead.deadline => {
                    self.take(next);
                    last = next;
                }
                next => {
                    let reason = match next {
                        None => DropReason::Never,
                        Some(_) if broken => DropReason::Broken,
                        Some(_) if excluded => DropReason::Excluded,
                        Some(_) => DropReason::Timeout,
                    };
                    let (bound, ended_by) = self.end(&ahead, last, broken);
                    return (Some(reason), bound, ended_by);
                }
            }
        }
        (None, self.after(last), None)
    }

    /// What lies ahead of a chain of `level` events.
    fn look_ahead(&mut self, level: usize, last: u32) -> Ahead {
        let bound = self.after(last);
        let next = self.next(level, bound, None);
        let chain = &self.buffers.chain;
        let active = self.rules.excludes.iter().zip(&self.timeline.excluding);
        let active = active.filter(|(exclude, _)| exclude.after <= level && level < exclude.before);
        let places = &self.timeline.places;
        let excluding = active.filter_map(|(exclude, events)| {
            let place = places[chain[exclude.after - 1] as usize];
            let first = events.partition_point(|&event| places[event as usize] <= place);
            events.get(first).copied()
        });
        let entry_deadline = self.ts(chain[0]).saturating_add(self.rules.within_us);
        let gap_deadline = self.ts(last).saturating_add(self.rules.gaps_us[level - 1]);
        Ahead { next, excluding: excluding.min(), deadline: entry_deadline.min(gap_deadline) }
    }

    /// Whether an excluding event, and whether any event (when strict), lies before the next step.
    fn obstacles(&self, ahead: &Ahead, last: u32) -> (bool, bool) {
        let place = |event: u32| self.timeline.places[event as usize];
        let next_place = ahead.next.map_or(u32::MAX, place);
        let excluded = ahead.excluding.is_some_and(|excluding| place(excluding) < next_place);
        let broken = self.rules.order == Order::Strict && next_place > place(last) + 1;
        (excluded, broken)
    }

    /// Where an unfinished attempt ended: a broken one with its last event, otherwise at the excluding event or when
    /// its time ran out, whichever came first.
    fn end(&self, ahead: &Ahead, last: u32, broken: bool) -> (Bound, Option<u32>) {
        match ahead.excluding {
            _ if broken => (self.after(last), None),
            Some(excluding) if self.ts(excluding) <= ahead.deadline => (self.after(excluding), Some(excluding)),
            _ => (Bound::LaterThan(ahead.deadline), None),
        }
    }

    /// Takes every event that fills one more step, from `anchor` on.
    fn run_any_order(&mut self, anchor: u32) -> (Option<DropReason>, Bound, Option<u32>) {
        let wanted = mask_of(self.rules.steps);
        let mut taken = Basis::default();
        let mut last = anchor;
        loop {
            taken.add(last, self.input.steps[last as usize] & wanted);
            let level = self.buffers.chain.len();
            if level == self.rules.steps {
                return (None, self.after(last), None);
            }
            let bound = match self.rules.ties {
                Ties::Increase => Bound::LaterThan(self.ts(last)),
                Ties::Any | Ties::Arrival => Bound::Behind(last),
            };
            let open = taken.open_steps(wanted);
            let steps = (0..self.rules.steps).filter(|step| open >> step & 1 != 0);
            let next = steps.filter_map(|step| self.next(step, bound, None)).min();
            let entry_deadline = self.ts(anchor).saturating_add(self.rules.within_us);
            let deadline = entry_deadline.min(self.ts(last).saturating_add(self.rules.gaps_us[level - 1]));
            match next {
                Some(next) if self.ts(next) <= deadline => {
                    self.take(next);
                    last = next;
                }
                _ => {
                    let reason = if next.is_some() { DropReason::Timeout } else { DropReason::Never };
                    return (Some(reason), Bound::LaterThan(deadline), None);
                }
            }
        }
    }

    fn after(&self, event: u32) -> Bound {
        match self.rules.ties {
            Ties::Any => Bound::From(self.ts(event)),
            Ties::Arrival => Bound::Behind(event),
            Ties::Increase => Bound::LaterThan(self.ts(event)),
        }
    }

    fn take(&mut self, event: u32) {
        self.buffers.chain.push(event);
        self.buffers.used[event as usize] = true;
    }

    /// The first event for `step` that is within `bound`, not used and not `barred`. Bounds only ever move forward.
    fn next(&mut self, step: usize, bound: Bound, barred: Option<u32>) -> Option<u32> {
        let list = &self.buffers.by_step[step];
        let mut position = self.buffers.position[step];
        while position < list.len()
            && (self.buffers.used[list[position] as usize] || !self.admits(bound, list[position]))
        {
            position += 1;
        }
        self.buffers.position[step] = position;
        list[position..].iter().copied().find(|&event| !self.buffers.used[event as usize] && Some(event) != barred)
    }

    fn admits(&self, bound: Bound, event: u32) -> bool {
        match bound {
            Bound::From(ts) => self.ts(event) >= ts,
            Bound::LaterThan(ts) => self.ts(event) > ts,
            Bound::Behind(before) => event > before,
        }
    }

    fn ts(&self, event: u32) -> i64 {
        self.input.ts[event as usize]
    }
}
