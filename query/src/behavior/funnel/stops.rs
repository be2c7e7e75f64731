//! The places at which a chain can stop, and for each step the list of them.

use super::matches::Events;
use super::spec::Ties;
use super::timeline::{Timeline, mask_of};
use std::ops::Range;

/// How many steps of a chain a stop can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// One.
    One,
    /// Any run of steps that all occur: each event satisfies one step only.
    Separate,
    /// A run of steps for which a matching with different events exists.
    Compete,
}

/// A place with at least one candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    pub(super) ts: i64,
    pub(super) place: u32,
    start: u32,
    end: u32,
    pub(super) sharing: Sharing,
}

impl Stop {
    /// Positions of its events in [`Stops::events`].
    pub(super) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The stops of one division of a user's candidates.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// Candidates in total order (index in the input, mask of steps). At a stop that steps share only those are kept
    /// that a chosen chain can use: per distinct mask as many of the earliest as there are steps.
    pub(super) events: Vec<(u32, u64)>,
    pub(super) stops: Vec<Stop>,
    /// Per step, the stops that have an event for it, ascending.
    pub(super) by_step: Vec<Vec<u32>>,
    seen: Vec<(u64, usize)>,
}

impl Stops {
    /// Reads one division. False when it cannot reach a level above `level_min`; the rest is undefined then.
    pub(super) fn read(
        &mut self,
        input: &Events<'_>,
        timeline: &Timeline,
        division: Range<usize>,
        (steps, ties): (usize, Ties),
        level_min: usize,
    ) -> bool {
        let candidates = &timeline.candidates[division];
        let present = candidates.iter().fold(0, |all, &event| all | input.steps[event as usize]);
        // A step that no event satisfies ends every chain before it.
        let level_max = (present.trailing_ones() as usize).min(steps);
        if level_max <= level_min {
            return false;
        }
        let wanted = mask_of(level_max);
        self.events.clear();
        self.stops.clear();
        self.by_step.resize_with(steps, Vec::new);
        self.by_step.iter_mut().for_each(Vec::clear);
        let place_of = |event: u32| timeline.places[event as usize];
        for group in candidates.chunk_by(|&a, &b| place_of(a) == place_of(b)) {
            let start = self.events.len();
            self.events.extend(group.iter().map(|&event| (event, input.steps[event as usize] & wanted)));
            self.close(start, input.ts[group[0] as usize], place_of(group[0]), ties, level_max);
        }
        true
    }

    fn close(&mut self, start: usize, ts: i64, place: u32, ties: Ties, level_max: usize) {
        let group = &self.events[start..];
        let mut union = group.iter().fold(0, |all, event| all | event.1);
        if union == 0 {
            self.events.truncate(start);
            return;
        }
        let sharing = if ties != Ties::Any || group.len() == 1 {
            Sharing::One
        } else if group.iter().all(|event| event.1.count_ones() <= 1) {
            Sharing::Separate
        } else {
            Sharing::Compete
        };
        match sharing {
            Sharing::One => {}
            Sharing::Separate => self.keep_earliest(start, 1),
            Sharing::Compete => self.keep_earliest(start, level_max),
        }
        let stop = self.stops.len() as u32;
        self.stops.push(Stop { ts, place, start: start as u32, end: self.events.len() as u32, sharing });
        while union != 0 {
            self.by_step[union.trailing_zeros() as usize].push(stop);
            union &= union - 1;
        }
    }

    /// Keeps `count` events of each distinct mask, from position `start` on.
    fn keep_earliest(&mut self, start: usize, count: usize) {
        self.seen.clear();
        let mut kept = start;
        for position in start..self.events.len() {
            let mask = self.events[position].1;
            if mask == 0 {
                continue;
            }
            let index = self.seen.iter().position(|seen| seen.0 == mask).unwrap_or_else(|| {
                self.seen.push((mask, 0));
                self.seen.len() - 1
            });
            if self.seen[index].1 < count {
                self.seen[index].1 += 1;
                self.events[kept] = self.events[position];
                kept += 1;
            }
        }
        self.events.truncate(kept);
    }
}
