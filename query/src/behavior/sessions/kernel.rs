//! One user's events in, the sessions and stops of the user out.

use super::spec::SessionsSpec;
use crate::behavior::path::{Division, UserInput};
use trodden_engine::error::Result;

/// One session of a user.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Number of the session of the user, from 1, in the order of first events.
    pub number: u32,
    /// Indexes of its events, in total order: at least one.
    events: &'a [u32],
    user: &'a UserInput<'a>,
}

/// Equal neighbours of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Code of the node.
    pub node: u32,
    /// From its first event to that of the next stop; the last one of a session has none.
    pub dwell_us: Option<i64>,
    /// Whether it is the first stop of the session.
    pub is_entry: bool,
}

impl Session<'_> {
    /// Index of the first event, whose values are those of `by`.
    pub fn first_event(&self) -> usize {
        self.events[0] as usize
    }

    fn last_event(&self) -> usize {
        self.events[self.events.len() - 1] as usize
    }

    /// Time of the first event.
    pub fn started_us(&self) -> i64 {
        self.user.times[self.first_event()]
    }

    /// Time of the last event.
    pub fn ended_us(&self) -> i64 {
        self.user.times[self.last_event()]
    }

    /// Time from the first to the last event.
    pub fn duration_us(&self) -> i64 {
        self.ended_us().saturating_sub(self.started_us())
    }

    /// Number of events.
    pub fn events(&self) -> u32 {
        self.events.len() as u32
    }

    /// Node of the first event.
    pub fn entry(&self) -> u32 {
        self.user.nodes[self.first_event()]
    }

    /// Node of the last event.
    pub fn exit(&self) -> u32 {
        self.user.nodes[self.last_event()]
    }

    /// Calls `found` for each stop, from early to late.
    pub fn stops(&self, collapse: bool, mut found: impl FnMut(Stop)) {
        let node = |event: &u32| self.user.nodes[*event as usize];
        let mut rest = self.events;
        while let Some(first) = rest.first() {
            let same = if collapse { rest.iter().take_while(|event| node(event) == node(first)).count() } else { 1 };
            let is_entry = rest.len() == self.events.len();
            rest = &rest[same..];
            let time = |event: &u32| self.user.times[*event as usize];
            let dwell_us = rest.first().map(|next| time(next).saturating_sub(time(first)));
            found(Stop { node: node(first), dwell_us, is_entry });
        }
    }
}

/// Finds the sessions of users, one user after the other. Its buffers are kept from user to user.
#[derive(Debug)]
pub struct SessionsKernel {
    spec: SessionsSpec,
    division: Division,
}

impl SessionsKernel {
    /// A kernel for these arguments.
    ///
    /// # Errors
    /// As [`SessionsSpec::validate`].
    pub fn new(spec: SessionsSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { spec, division: Division::default() })
    }

    /// The arguments.
    pub fn spec(&self) -> &SessionsSpec {
        &self.spec
    }

    /// Calls `found` for each session of a user, in the order of their first events.
    pub fn run(&mut self, user: &UserInput<'_>, mut found: impl FnMut(&Session<'_>)) {
        self.division.divide(self.spec.sessions, user);
        for index in 0..self.division.len() {
            found(&Session { number: index as u32 + 1, events: self.division.session(index), user });
        }
    }
}
