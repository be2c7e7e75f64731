//! One user's events, prepared for the exact kernels: which of them stand at the same place in time, where the
//! exclusions are, and which events may form a chain together.

use super::matches::Events;
use super::spec::Ties;
use std::ops::Range;

/// Places and exclusions over all events of a user, and the divisions of its candidates.
///
/// A **place** is what "between" is about: with `ties => 'arrival'` each event has its own, otherwise events with the
/// same time share one. Places are numbered in order, without gaps.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Place of every event.
    pub(super) places: Vec<u32>,
    /// Per exclusion, the first event at each place that has one, ascending.
    pub(super) excluding: Vec<Vec<u32>>,
    /// Events that satisfy a step; those with the same values of the `hold` columns stand together, in total order.
    pub(super) candidates: Vec<u32>,
    /// Ranges of `candidates` that may form a chain.
    pub(super) divisions: Vec<Range<usize>>,
    sort_keys: Vec<u64>,
}

impl Timeline {
    /// Reads a user.
    pub(super) fn read(&mut self, input: &Events<'_>, steps: usize, excludes: usize, ties: Ties, hold: bool) {
        self.number_places(input.ts, ties);
        self.find_exclusions(input.excludes, excludes);
        let wanted = mask_of(steps);
        if hold {
            self.divide_by_hold(input, wanted);
        } else {
            self.candidates.clear();
            self.candidates
                .extend((0..input.ts.len() as u32).filter(|&event| input.steps[event as usize] & wanted != 0));
            self.divisions.clear();
            self.divisions.push(0..self.candidates.len());
        }
    }

    fn number_places(&mut self, ts: &[i64], ties: Ties) {
        self.places.clear();
        if ties == Ties::Arrival {
            self.places.extend(0..ts.len() as u32);
            return;
        }
        let mut place = 0;
        let mut before = ts.first().copied().unwrap_or_default();
        self.places.extend(ts.iter().map(|&at| {
            place += u32::from(at != before);
            before = at;
            place
        }));
    }

    fn find_exclusions(&mut self, masks: &[u64], excludes: usize) {
        self.excluding.resize_with(excludes, Vec::new);
        for (exclude, events) in self.excluding.iter_mut().enumerate() {
            events.clear();
            let mut before = u32::MAX;
            for (event, mask) in masks.iter().enumerate() {
                let place = self.places[event];
                if mask >> exclude & 1 != 0 && place != before {
                    events.push(event as u32);
                    before = place;
                }
            }
        }
    }

    fn divide_by_hold(&mut self, input: &Events<'_>, wanted: u64) {
        let keys = &mut self.sort_keys;
        keys.clear();
        keys.extend(
            (0..input.ts.len())
                .filter(|&event| input.steps[event] & wanted != 0 && input.hold[event] != 0)
                .map(|event| u64::from(input.hold[event]) << 32 | event as u64),
        );
        keys.sort_unstable();
        self.candidates.clear();
        self.candidates.extend(keys.iter().map(|&key| key as u32));
        self.divisions.clear();
        let mut start = 0;
        for run in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            self.divisions.push(start..start + run.len());
            start += run.len();
        }
    }
}

/// The mask of the first `steps` steps.
pub(super) fn mask_of(steps: usize) -> u64 {
    if steps >= 64 { u64::MAX } else { (1 << steps) - 1 }
}
