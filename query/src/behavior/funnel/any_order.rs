//! The exact kernel for `order => 'any'`: different events that satisfy different steps, in one window of time.
//!
//! Level: a [`Basis`] of the latest events tells, at each event, how many steps the window that ends there can fill. Let
//! T be the time at which the largest number was first reached. As in the plain ordered funnel, the chosen chain enters
//! at the first event at or after T - within, and then takes each event that fills one more step.
//!
//! With a limit between neighbours there is no such shortcut: every order of the steps that occur (at most six) is tried
//! with the ordered kernel.

use super::basis::Basis;
use super::matches::Events;
use super::rules::{Rules, UNLIMITED_US};
use super::spec::Ties;
use super::timeline::mask_of;

/// Events of which a chain takes one: a single event, or with `ties => 'increase'` all that have the same time.
#[derive(Debug, Clone, Copy)]
struct Element {
    ts: i64,
    mask: u64,
    start: u32,
    end: u32,
}

/// Buffers of the search.
#[derive(Debug, Default)]
pub(super) struct AnyOrder {
    elements: Vec<Element>,
}

impl AnyOrder {
    /// The level that `candidates` reach, and in `chain` the chosen chain. Limits between neighbours are not looked at.
    pub(super) fn best(
        &mut self,
        input: &Events<'_>,
        candidates: &[u32],
        rules: &Rules,
        chain: &mut Vec<u32>,
    ) -> usize {
        chain.clear();
        self.read(input, candidates, rules);
        let (level, completed_at) = self.longest(rules);
        if level > 0 {
            self.choose(input, candidates, rules, (level, completed_at), chain);
        }
        level
    }

    fn read(&mut self, input: &Events<'_>, candidates: &[u32], rules: &Rules) {
        let wanted = mask_of(rules.steps);
        let ts_of = |event: u32| input.ts[event as usize];
        let mut start = 0;
        self.elements.clear();
        for group in candidates.chunk_by(|&a, &b| rules.ties == Ties::Increase && ts_of(a) == ts_of(b)) {
            let mask = group.iter().fold(0, |all, &event| all | input.steps[event as usize]) & wanted;
            let end = start + group.len() as u32;
            self.elements.push(Element { ts: ts_of(group[0]), mask, start, end });
            start = end;
        }
    }

    fn longest(&self, rules: &Rules) -> (usize, i64) {
        let mut latest = Basis::default();
        let (mut level, mut completed_at) = (0, 0);
        for (id, element) in self.elements.iter().enumerate() {
            latest.add_latest(id as u32, element.mask);
            if latest.len() <= level {
                continue;
            }
            let from = element.ts.saturating_sub(rules.within_us);
            let inside = latest.events().filter(|&id| self.elements[id as usize].ts >= from).count();
            if inside > level {
                (level, completed_at) = (inside, element.ts);
                if level == rules.steps {
                    break;
                }
            }
        }
        (level, completed_at)
    }

    fn choose(
        &self,
        input: &Events<'_>,
        candidates: &[u32],
        rules: &Rules,
        (level, completed_at): (usize, i64),
        chain: &mut Vec<u32>,
    ) {
        let from = match rules.within_us {
            UNLIMITED_US => i64::MIN,
            within_us => completed_at.saturating_sub(within_us),
        };
        let entry = self.elements.partition_point(|element| element.ts < from);
        let deadline = self.elements[entry].ts.saturating_add(rules.within_us);
        let wanted = mask_of(rules.steps);
        let mut taken = Basis::default();
        for (index, element) in self.elements.iter().enumerate().skip(entry) {
            if chain.len() == level {
                return;
            }
            for &event in &candidates[element.start as usize..element.end as usize] {
                let mut with_event = taken;
                if !with_event.add(index as u32, input.steps[event as usize] & wanted) {
                    continue;
                }
                // A single event stands for its element. Of several, one that fills the wrong steps can spoil the rest.
                if element.end - element.start == 1 || self.completes(with_event, index + 1, deadline, level) {
                    taken = with_event;
                    chain.push(event);
                    break;
                }
            }
        }
    }

    fn completes(&self, mut taken: Basis, from: usize, deadline: i64, level: usize) -> bool {
        for (index, element) in self.elements.iter().enumerate().skip(from) {
            if taken.len() >= level || element.ts > deadline {
                break;
            }
            taken.add(index as u32, element.mask);
        }
        taken.len() >= level
    }
}

/// Calls `each` with every order of the steps in `present`, followed by the steps that are not; until it says stop.
pub(super) fn for_each_order(steps: usize, present: u64, mut each: impl FnMut(&[usize])) {
    let (mut order, absent): (Vec<usize>, Vec<usize>) = (0..steps).partition(|step| present >> step & 1 != 0);
    let count = order.len();
    order.extend(absent);
    loop {
        each(&order);
        // The next order in the sense of a dictionary.
        let Some(pivot) = (1..count).rev().find(|&at| order[at - 1] < order[at]).map(|at| at - 1) else { return };
        let Some(next) = (pivot + 1..count).rev().find(|&at| order[at] > order[pivot]) else { return };
        order.swap(pivot, next);
        order[pivot + 1..count].reverse();
    }
}
