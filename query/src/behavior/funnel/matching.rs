//! Matching of steps with different events at one stop.

/// No step, or no event.
const NONE: u32 = u32::MAX;
/// The event is taken and cannot be given to another step.
const TAKEN: u32 = u32::MAX - 1;

/// A bipartite matching that grows step by step along augmenting paths. A buffer that is used again.
#[derive(Debug)]
pub(super) struct Matching {
    /// Per event of the stop: the step that has it.
    owner: Vec<u32>,
    /// Per event of the stop: the step from which the search came to it.
    found_by: Vec<u32>,
    /// Per step: its event.
    event_of: [u32; 64],
    queue: Vec<u32>,
}

impl Default for Matching {
    fn default() -> Self {
        Self { owner: Vec::new(), found_by: Vec::new(), event_of: [NONE; 64], queue: Vec::new() }
    }
}

impl Matching {
    /// Starts anew with `events` free events.
    pub(super) fn start(&mut self, events: usize) {
        self.owner.clear();
        self.owner.resize(events, NONE);
        self.event_of = [NONE; 64];
    }

    /// Takes `event` out of the game.
    pub(super) fn take(&mut self, event: usize) {
        self.owner[event] = TAKEN;
    }

    /// Gives `step` an event, if need be by giving steps that have one another. `mask` tells which steps an event
    /// satisfies. False when no matching with this step exists.
    pub(super) fn add(&mut self, step: usize, mask: impl Fn(usize) -> u64) -> bool {
        self.found_by.clear();
        self.found_by.resize(self.owner.len(), NONE);
        self.queue.clear();
        self.queue.push(step as u32);
        let mut next = 0;
        while let Some(&from) = self.queue.get(next) {
            next += 1;
            for event in 0..self.owner.len() {
                if mask(event) >> from & 1 == 0 || self.found_by[event] != NONE || self.owner[event] == TAKEN {
                    continue;
                }
                self.found_by[event] = from;
                match self.owner[event] {
                    NONE => {
                        self.flip(event, step as u32);
                        return true;
                    }
                    owner => self.queue.push(owner),
                }
            }
        }
        false
    }

    /// Moves every step of the path that ends at `event` on by one, back to the step where the search began.
    fn flip(&mut self, event: usize, begun_at: u32) {
        let mut event = event as u32;
        loop {
            let step = self.found_by[event as usize];
            self.owner[event as usize] = step;
            let left = std::mem::replace(&mut self.event_of[step as usize], event);
            if step == begun_at {
                return;
            }
            event = left;
        }
    }
}
