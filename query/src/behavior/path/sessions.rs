//! One user's events, without those that are left out, session by session.

use super::kernel::{EXCLUDE, NO_CODE, UserInput};
use super::spec::Sessions;
use std::collections::HashMap;

/// The events of one user that count, by session. Buffers are kept from user to user.
#[derive(Debug, Default)]
pub(in crate::behavior) struct Division {
    /// Indexes of events: session after session, each in total order.
    events: Vec<u32>,
    /// Where in `events` each session ends.
    ends: Vec<usize>,
    /// Of named sessions, which came when.
    places: HashMap<u32, u32>,
}

impl Division {
    /// Divide the events of `user`. Sessions are in the order of their first events.
    pub(in crate::behavior) fn divide(&mut self, sessions: Sessions, user: &UserInput<'_>) {
        self.events.clear();
        self.ends.clear();
        let is_named = sessions == Sessions::Named;
        let kept = |&event: &u32| {
            let event = event as usize;
            let has_session = !is_named || user.sessions[event] != NO_CODE;
            user.masks[event] & EXCLUDE == 0 && user.nodes[event] != NO_CODE && has_session
        };
        self.events.extend((0..user.nodes.len() as u32).filter(kept));
        if self.events.is_empty() {
            return;
        }
        if is_named {
            self.bring_together(user.sessions);
        }
        let begins = |pair: &[u32]| {
            let (before, event) = (pair[0] as usize, pair[1] as usize);
            match sessions {
                Sessions::GapUs(gap_us) => user.times[event].saturating_sub(user.times[before]) > gap_us,
                Sessions::Named => user.sessions[event] != user.sessions[before],
                Sessions::Whole => false,
            }
        };
        if sessions != Sessions::Whole {
            let ends = self.events.windows(2).enumerate().filter(|(_, pair)| begins(pair));
            self.ends.extend(ends.map(|(at, _)| at + 1));
        }
        self.ends.push(self.events.len());
    }

    /// Sort the events by session. Sessions of two devices may lie in each other.
    fn bring_together(&mut self, names: &[u32]) {
        self.places.clear();
        let (mut before, mut is_together) = (NO_CODE, true);
        for &event in &self.events {
            let name = names[event as usize];
            if name != before {
                let place = self.places.len() as u32;
                is_together &= *self.places.entry(name).or_insert(place) == place;
                before = name;
            }
        }
        if !is_together {
            let places = &self.places;
            self.events.sort_by_key(|&event| places[&names[event as usize]]);
        }
    }

    /// Number of sessions.
    pub(in crate::behavior) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The events of a session: at least one.
    pub(in crate::behavior) fn session(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.events[start..self.ends[index]]
    }
}
