//! The ways of one session.

use super::kernel::{END, START, UserInput, Way};
use super::spec::{Anchor, CUT, PathSpec};

/// A stop: equal neighbours, or a single event.
#[derive(Debug, Clone, Copy)]
struct Stop {
    node: u32,
    /// Place of its first event in the session.
    first: u32,
}

/// Cuts ways out of a session. Buffers are kept from session to session.
#[derive(Debug, Default)]
pub(super) struct Ways {
    stops: Vec<Stop>,
    nodes: Vec<u32>,
    times: Vec<i64>,
}

/// A session of a user: indexes of its events.
struct Session<'a> {
    user: &'a UserInput<'a>,
    events: &'a [u32],
}

impl Session<'_> {
    fn time(&self, place: usize) -> i64 {
        self.user.times[self.events[place] as usize]
    }

    /// The first place from `from` on whose event has `bit`.
    fn find(&self, bit: u64, from: usize) -> Option<usize> {
        (from..self.events.len()).find(|&place| self.user.masks[self.events[place] as usize] & bit != 0)
    }
}

impl Ways {
    /// Calls `found` for each way of the session of `user` that consists of `events`.
    pub(super) fn of_session(
        &mut self,
        spec: &PathSpec,
        user: &UserInput<'_>,
        events: &[u32],
        found: &mut impl FnMut(&Way<'_>),
    ) {
        let session = Session { user, events };
        self.read_stops(&session, spec.collapse);
        if !spec.has_start && !spec.has_end {
            self.forward(&session, spec, Anchored { place: 0, stop: 0 }, found);
            return;
        }
        let bit = if spec.has_start { START } else { END };
        let (mut stop, mut next) = (0, session.find(bit, 0));
        let mut end: Option<Anchored> = None;
        while let Some(place) = next {
            stop = self.stop_at(place, stop);
            let anchor = Anchored { place, stop };
            if spec.is_backward() {
                self.backward(&session, spec, anchor, found);
            } else if !spec.has_end {
                self.forward(&session, spec, anchor, found);
            } else {
                // The end of an earlier start serves this one too, as long as it lies behind it.
                if end.is_none_or(|end| end.place <= place) {
                    let Some(place) = session.find(END, place + 1) else { return };
                    end = Some(Anchored { place, stop: self.stop_at(place, stop) });
                }
                let last = end.map_or(stop, |end| end.stop);
                self.between(&session, spec, anchor, last, found);
            }
            next = if spec.anchor == Anchor::Each { session.find(bit, place + 1) } else { None };
        }
    }

    fn read_stops(&mut self, session: &Session<'_>, collapse: bool) {
        self.stops.clear();
        for (first, &event) in (0..).zip(session.events) {
            let node = session.user.nodes[event as usize];
            if !collapse || self.stops.last().is_none_or(|stop| stop.node != node) {
                self.stops.push(Stop { node, first });
            }
        }
    }

    /// The stop that the event at `place` belongs to, which is not before `from`.
    fn stop_at(&self, place: usize, from: usize) -> usize {
        let later = self.stops[from + 1..].iter().take_while(|stop| stop.first as usize <= place).count();
        from + later
    }

    /// The way from an anchor to the end of the session.
    fn forward(&mut self, session: &Session<'_>, spec: &PathSpec, anchor: Anchored, found: &mut impl FnMut(&Way<'_>)) {
        let end = self.stops.len().min(anchor.stop + spec.steps as usize);
        self.begin(session, anchor);
        self.append(session, anchor.stop + 1..end);
        self.hand_on(session, anchor.place, end == self.stops.len(), found);
    }

    /// The way from the start of the session to an anchor.
    fn backward(&mut self, session: &Session<'_>, spec: &PathSpec, anchor: Anchored, found: &mut impl FnMut(&Way<'_>)) {
        self.nodes.clear();
        self.times.clear();
        let end = anchor.stop + 1;
        self.append(session, end.saturating_sub(spec.steps as usize)..end);
        self.hand_on(session, anchor.place, false, found);
    }

    /// The way from an anchor to the stop `last`.
    fn between(
        &mut self,
        session: &Session<'_>,
        spec: &PathSpec,
        anchor: Anchored,
        last: usize,
        found: &mut impl FnMut(&Way<'_>),
    ) {
        let steps = spec.steps as usize;
        self.begin(session, anchor);
        if last + 1 - anchor.stop <= steps {
            self.append(session, anchor.stop + 1..last + 1);
        } else {
            let hidden = anchor.stop + steps.div_ceil(2);
            self.append(session, anchor.stop + 1..hidden);
            self.nodes.push(CUT);
            self.times.push(session.time(self.stops[hidden].first as usize));
            self.append(session, last + 1 - steps / 2..last + 1);
        }
        self.hand_on(session, anchor.place, false, found);
    }

    /// The first stop of a way begins with its anchor, not before.
    fn begin(&mut self, session: &Session<'_>, anchor: Anchored) {
        self.nodes.clear();
        self.times.clear();
        self.nodes.push(self.stops[anchor.stop].node);
        self.times.push(session.time(anchor.place));
    }

    fn append(&mut self, session: &Session<'_>, stops: std::ops::Range<usize>) {
        for stop in &self.stops[stops] {
            self.nodes.push(stop.node);
            self.times.push(session.time(stop.first as usize));
        }
    }

    fn hand_on(&self, session: &Session<'_>, anchor: usize, exited: bool, found: &mut impl FnMut(&Way<'_>)) {
        let anchor_event = session.events[anchor] as usize;
        found(&Way { anchor_event, stops: &self.nodes, times: &self.times, exited });
    }
}

/// An event that makes a way, and the stop that it belongs to.
#[derive(Debug, Clone, Copy)]
struct Anchored {
    place: usize,
    stop: usize,
}
