//! Transitions of whole sessions between few nodes: a cell for each pair, so that no key is looked up for an event.

use super::spec::{PathSpec, Sessions};
use super::tally::Tally;
use std::hint::select_unpredictable;

/// Nodes with a code below this have cells.
const NODES_MAX: usize = 512;

/// One user's events, in total order: none is left out, and sessions are divided by gaps or not at all.
pub trait TimedNodes {
    /// Times in microseconds, ascending.
    fn times(&self) -> &[i64];

    /// The node of each event.
    fn nodes(&self) -> impl Iterator<Item = u32>;

    /// The largest code that a node may have.
    fn largest(&self) -> Option<u32>;
}

/// Events of a block, which share the nodes of short codes.
#[derive(Debug, Clone, Copy)]
pub struct NamedEvents<'a> {
    /// Times in microseconds, ascending.
    pub times: &'a [i64],
    /// Short codes of the nodes.
    pub names: &'a [u8],
    /// The node of each short code.
    pub nodes: &'a [u32],
}

impl TimedNodes for NamedEvents<'_> {
    #[inline]
    fn times(&self) -> &[i64] {
        self.times
    }

    #[inline]
    fn nodes(&self) -> impl Iterator<Item = u32> {
        self.names.iter().map(|&name| self.nodes[name as usize])
    }

    #[inline]
    fn largest(&self) -> Option<u32> {
        self.nodes.iter().copied().max()
    }
}

/// Events with a node each.
#[derive(Debug, Clone, Copy)]
pub struct ListedEvents<'a> {
    /// Times in microseconds, ascending.
    pub times: &'a [i64],
    /// The node of each event.
    pub nodes: &'a [u32],
}

impl TimedNodes for ListedEvents<'_> {
    #[inline]
    fn times(&self) -> &[i64] {
        self.times
    }

    #[inline]
    fn nodes(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().copied()
    }

    #[inline]
    fn largest(&self) -> Option<u32> {
        self.nodes.iter().copied().max()
    }
}

/// Counts of transitions between pairs of nodes, of one group.
#[derive(Debug, Default)]
pub struct TransitionMatrix {
    /// Cells of a row: more than any node's code.
    width: usize,
    /// Row after row, and one cell behind them for what is no transition.
    counts: Vec<u64>,
    /// The number of a cell's key in the tally, plus 1; 0 where there is none yet.
    numbers: Vec<u32>,
}

impl TransitionMatrix {
    /// Whether it counts what `spec` asks for.
    pub fn takes(spec: &PathSpec) -> bool {
        !spec.has_start && !spec.has_end && spec.sessions != Sessions::Named
    }

    /// Counts the transitions of a user. False, and nothing is counted, where nodes are too many.
    pub fn count(&mut self, spec: &PathSpec, user: &impl TimedNodes) -> bool {
        if !self.make_room(user.largest()) {
            return false;
        }
        let gap_us = gap_us(spec);
        let (width, nowhere) = (self.width, self.counts.len() - 1);
        let mut nodes = user.nodes().map(|node| node as usize);
        let Some(first) = nodes.next() else { return true };
        let mut source = first * width;
        // No branch on the gap: where a session ends is hard to predict. Equal neighbours are left out at the end.
        for (target, times) in nodes.zip(user.times().windows(2)) {
            let is_new = times[1].saturating_sub(times[0]) > gap_us;
            let cell = select_unpredictable(is_new, nowhere, source + target);
            self.counts[cell] += 1;
            source = target * width;
        }
        true
    }

    /// Adds what was counted to `tally`, as transitions of `group`.
    pub fn add_to(&self, spec: &PathSpec, group: u32, tally: &mut Tally) {
        let rows = self.counts.chunks_exact(self.width.max(1)).enumerate();
        let cells =
            rows.flat_map(|(source, row)| row.iter().enumerate().map(move |(target, count)| (source, target, count)));
        for (source, target, &count) in cells.filter(|cell| *cell.2 > 0) {
            if !(spec.collapse && source == target) {
                tally.add_count(&[group, source as u32, target as u32], count);
            }
        }
    }

    /// Adds the transitions of a user to `tally`, with users and durations. False, and nothing is added, where nodes are too
    /// many. The user has begun in the tally, which is the same one at each call.
    pub fn add(&mut self, spec: &PathSpec, group: u32, user: &impl TimedNodes, tally: &mut Tally) -> bool {
        if !self.make_room(user.largest()) {
            return false;
        }
        let gap_us = gap_us(spec);
        let mut nodes = user.nodes();
        let (Some(first), Some((&began, times))) = (nodes.next(), user.times().split_first()) else { return true };
        let (mut source, mut since, mut before) = (first, began, began);
        for (target, &at) in nodes.zip(times) {
            if at.saturating_sub(before) > gap_us {
                (source, since) = (target, at);
            } else if !(spec.collapse && target == source) {
                let number = &mut self.numbers[source as usize * self.width + target as usize];
                if *number == 0 {
                    *number = tally.number_of(&[group, source, target]) + 1;
                }
                tally.add_number(*number - 1, Some(at.saturating_sub(since)));
                (source, since) = (target, at);
            }
            before = at;
        }
        true
    }

    /// Bytes held on the heap, for accounting of memory.
    pub fn heap_bytes(&self) -> usize {
        8 * self.counts.capacity() + 4 * self.numbers.capacity()
    }

    /// Make cells for nodes up to `largest`. False where they are too many.
    fn make_room(&mut self, largest: Option<u32>) -> bool {
        let needed = largest.map_or(0, |node| node as usize + 1);
        if needed <= self.width {
            return true;
        }
        if needed > NODES_MAX {
            return false;
        }
        let width = needed.next_power_of_two();
        let mut wider = Self { width, counts: vec![0; width * width + 1], numbers: vec![0; width * width] };
        for row in 0..self.width {
            let (from, to) = (row * self.width..(row + 1) * self.width, row * width..row * width + self.width);
            wider.counts[to.clone()].copy_from_slice(&self.counts[from.clone()]);
            wider.numbers[to].copy_from_slice(&self.numbers[from]);
        }
        *self = wider;
        true
    }
}

fn gap_us(spec: &PathSpec) -> i64 {
    match spec.sessions {
        Sessions::GapUs(gap_us) => gap_us,
        Sessions::Named | Sessions::Whole => i64::MAX,
    }
}
