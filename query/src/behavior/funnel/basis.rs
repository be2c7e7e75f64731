//! Sets of events that can fill different steps, in whatever order.
//!
//! Such sets are the independent sets of a matroid, so greedy choices are exact. The set is kept as a matching of steps
//! with events; an event joins it along an augmenting path over at most 64 steps.

/// The step has no event.
const NONE: u32 = u32::MAX;

/// A set of events, each matched with a step of its own. Events are known by ascending ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basis {
    /// Per step: its event.
    event_of: [u32; 64],
    /// Per step: the mask of its event.
    mask_of: [u64; 64],
    /// Steps that have an event.
    filled: u64,
}

/// Which steps a new event could fill if others moved.
struct Reach {
    /// Every step that the search has come to.
    steps: u64,
    /// Per step: the step whose event would move here; itself when the new event comes here.
    from: [u8; 64],
    /// One of them that is free, if any is.
    free: Option<usize>,
}

impl Default for Basis {
    fn default() -> Self {
        Self { event_of: [NONE; 64], mask_of: [0; 64], filled: 0 }
    }
}

impl Basis {
    /// Number of events.
    pub(super) fn len(&self) -> usize {
        self.filled.count_ones() as usize
    }

    /// The events.
    pub(super) fn events(&self) -> impl Iterator<Item = u32> {
        bits(self.filled).map(|step| self.event_of[step])
    }

    /// Adds the event if the set stays one whose events can fill different steps.
    pub(super) fn add(&mut self, event: u32, mask: u64) -> bool {
        let reach = self.reach(mask);
        match reach.free {
            Some(step) => {
                self.flip(event, mask, step, &reach.from);
                true
            }
            None => false,
        }
    }

    /// Adds the event, and if that is one too many, drops the event with the lowest id that makes room for it. `mask`
    /// must not be empty. Of the events added so far, the set then holds as many of the latest as possible: of every
    /// stretch of events that ends now, it contains a largest set that can fill different steps.
    pub(super) fn add_latest(&mut self, event: u32, mask: u64) {
        let reach = self.reach(mask);
        let step = reach.free.or_else(|| bits(reach.steps).min_by_key(|&step| self.event_of[step]));
        if let Some(step) = step {
            self.flip(event, mask, step, &reach.from);
        }
    }

    /// The steps such that exactly an event that satisfies one of them could be added.
    pub(super) fn open_steps(&self, steps: u64) -> u64 {
        // Steps from which the search comes to a free one: grow the free ones backward along the events that could move.
        let mut open = steps & !self.filled;
        loop {
            let grown = bits(self.filled).filter(|&step| self.mask_of[step] & open != 0);
            let grown = grown.fold(open, |all, step| all | 1 << step);
            if grown == open {
                return open;
            }
            open = grown;
        }
    }

    fn reach(&self, mask: u64) -> Reach {
        let mut reach = Reach { steps: mask, from: [0; 64], free: None };
        for step in bits(mask) {
            reach.from[step] = step as u8;
        }
        let mut open = mask;
        while open != 0 {
            let free = open & !self.filled;
            if free != 0 {
                reach.free = Some(free.trailing_zeros() as usize);
                return reach;
            }
            let step = open.trailing_zeros() as usize;
            open &= open - 1;
            let found = self.mask_of[step] & !reach.steps;
            for next in bits(found) {
                reach.from[next] = step as u8;
            }
            reach.steps |= found;
            open |= found;
        }
        reach
    }

    /// Moves every event on the path to `step` on by one, and puts the new event where the path began.
    fn flip(&mut self, event: u32, mask: u64, step: usize, from: &[u8; 64]) {
        self.filled |= 1 << step;
        let mut step = step;
        loop {
            let before = usize::from(from[step]);
            if before == step {
                (self.event_of[step], self.mask_of[step]) = (event, mask);
                return;
            }
            (self.event_of[step], self.mask_of[step]) = (self.event_of[before], self.mask_of[before]);
            step = before;
        }
    }
}

/// Positions of the bits that are set, ascending.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize)?;
        mask &= mask - 1;
        Some(bit)
    })
}
