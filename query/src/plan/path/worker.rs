//! The kernel at work on one thread: users in, counts or ways out. The same for events from a table and for rows of any
//! relation.

use super::user_ways::UserWays;
use super::{Emit, Path};
use crate::behavior::path::{
    Counted, ListedEvents, ListedRows, NO_CODE, NamedEvents, PathKernel, PathRows, PathSpec, Sessions, Tally,
    TimedNodes, TransitionMatrix, UserInput, Wanted, Way, edges_of_way, path_key, transition_key,
};
use crate::error::Result;
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};
use std::ops::Range;
use trodden_engine::scan::{Keys, UserBits};

/// Groups that have cells for their transitions; those of more are looked up one by one.
const MATRICES_MAX: usize = 64;

/// The kernel and the partial result of one thread.
#[derive(Debug)]
pub(crate) struct PathWorker {
    kernel: PathKernel,
    results: Results,
    /// The bit that the kernel has for each condition.
    bits: Vec<u64>,
    /// Which condition is the end.
    end: usize,
    reads: Reads,
    nodes: Vec<u32>,
    sessions: Vec<u32>,
    masks: Vec<u64>,
    times: Vec<i64>,
}

/// What is read of a user whose events are rows of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Not enough: the events themselves are asked for.
    Nothing,
    /// The rows before ends.
    Ends,
    /// All names and times, for cells of pairs.
    Pairs,
    /// All names and times.
    Everything,
}

impl PathWorker {
    /// A worker with nothing counted yet, for events with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// As [`PathSpec::validate`].
    pub(super) fn new(path: &Path, spec: &PathSpec, by_columns: usize, wanted: Wanted) -> Result<Self> {
        let conditions = path.conditions();
        let kernel = PathKernel::new(spec.clone())?;
        let is_plain = conditions.is_empty() && spec.sessions != Sessions::Named;
        let reads = match path.emit {
            Emit::Transitions if is_plain && TransitionMatrix::takes(spec) => Reads::Pairs,
            Emit::Paths | Emit::Edges | Emit::Users if kernel.takes_rows() && !path.has_exclude => Reads::Ends,
            _ if is_plain => Reads::Everything,
            _ => Reads::Nothing,
        };
        Ok(Self {
            kernel,
            results: Results::new(path.emit, spec, by_columns, wanted),
            bits: conditions.iter().map(|(_, bit)| *bit).collect(),
            end: conditions.iter().position(|(name, _)| *name == "end").unwrap_or(0),
            reads,
            nodes: Vec::new(),
            sessions: Vec::new(),
            masks: Vec::new(),
            times: Vec::new(),
        })
    }

    /// The counts and what their groups are. Not for `emit => 'users'`.
    pub(super) fn into_tally(self) -> (Tally, Groups) {
        let Results { spec, mut tally, groups, matrices, .. } = self.results;
        for (group, matrix) in (0..).zip(&matrices) {
            matrix.add_to(&spec, group, &mut tally);
        }
        (tally, groups)
    }

    /// The ways and what their groups are, of `emit => 'users'`.
    pub(super) fn into_user_ways(self) -> (UserWays, Groups) {
        (self.results.user_ways, self.results.groups)
    }

    /// What its keys count.
    pub(super) fn counted(&self) -> Counted {
        match self.results.emit {
            Emit::Paths | Emit::Users => Counted::Paths,
            Emit::Edges => Counted::Edges,
            Emit::Transitions => Counted::Transitions,
        }
    }

    fn run(&mut self, user: u64, times: &[i64], by: &Keys<'_>) {
        let input = UserInput { times, nodes: &self.nodes, masks: &self.masks, sessions: &self.sessions };
        let results = &mut self.results;
        results.tally.begin_user();
        if results.emit == Emit::Transitions {
            self.kernel.transitions(&input, |one| {
                let group = results.groups.of(by, one.anchor_event);
                results.tally.add(&transition_key(group, &one), Some(one.duration_us));
            });
        } else {
            self.kernel.ways(&input, |way| results.add_way(user, way, by));
        }
    }

    /// Count a user whose events all count in the group of `by`. False where there are no cells.
    fn user_by_pairs(&mut self, events: &impl TimedNodes, by: &Keys<'_>) -> bool {
        let results = &mut self.results;
        let group = results.groups.of(by, 0);
        let place = group as usize;
        if place >= MATRICES_MAX {
            return false;
        }
        if place >= results.matrices.len() {
            results.matrices.resize_with(place + 1, TransitionMatrix::default);
        }
        let matrix = &mut results.matrices[place];
        if results.counts_only {
            return matrix.count(&results.spec, events);
        }
        results.tally.begin_user();
        matrix.add(&results.spec, group, events, &mut results.tally)
    }

    fn user_by_ends(&mut self, user: u64, rows: &impl PathRows, by: &Keys<'_>) {
        let results = &mut self.results;
        results.tally.begin_user();
        // Edges are told from the times between stops.
        let with_times = !results.counts_only || results.emit == Emit::Edges;
        self.kernel.ways_of_rows(rows, with_times, |way| results.add_way(user, way, by));
    }

    /// Count a user whose events are in several blocks the way it is done within one. False where that is not enough.
    fn user_at_once(&mut self, rows: &UserRows<'_>, times: &[i64]) -> bool {
        let nodes = rows.columns.per_event(0, rows.masks.len());
        let Some(nodes) = nodes.filter(|nodes| !nodes.contains(&NO_CODE)) else { return false };
        match self.reads {
            Reads::Pairs if rows.by.is_per_user() => self.user_by_pairs(&ListedEvents { times, nodes }, &rows.by),
            Reads::Ends => {
                let listed = ListedRows { times, nodes, masks: rows.masks, end: 1 << self.end };
                self.user_by_ends(rows.user, &listed, &rows.by);
                true
            }
            _ => false,
        }
    }

    /// Count a user by everything there is.
    fn user_by_events(&mut self, rows: &UserRows<'_>, times: &[i64]) {
        let events = rows.masks.len();
        self.nodes.clear();
        self.nodes.extend((0..events).map(|event| rows.columns.code(0, event)));
        self.sessions.clear();
        if self.kernel.spec().sessions == Sessions::Named {
            self.sessions.extend((0..events).map(|event| rows.columns.code(1, event)));
        }
        let bits = &self.bits;
        let mask = |mask: &u64| bits.iter().enumerate().fold(0, |all, (at, bit)| all | (bit * (mask >> at & 1)));
        self.masks.clear();
        self.masks.extend(rows.masks.iter().map(mask));
        self.run(rows.user, times, &rows.by);
    }
}

impl Worker for PathWorker {
    fn takes_bits(&self) -> bool {
        self.reads != Reads::Nothing
    }

    fn user_bits(&mut self, user: &UserBits<'_>, number: u64, by: &Keys<'_>) -> bool {
        // Names are known here only where they are the nodes.
        if !user.is_whole || user.name_keys().is_empty() || !by.is_per_user() {
            return false;
        }
        match self.reads {
            Reads::Nothing => false,
            Reads::Pairs => {
                let events = NamedEvents { times: user.times(), names: user.name_codes(), nodes: user.name_keys() };
                self.user_by_pairs(&events, by)
            }
            Reads::Ends => {
                self.user_by_ends(number, &BitRows { user, end: self.end }, by);
                true
            }
            Reads::Everything => {
                let (names, keys) = (user.name_codes(), user.name_keys());
                self.nodes.clear();
                self.nodes.extend(names.iter().map(|&name| keys[name as usize]));
                self.masks.clear();
                self.masks.resize(names.len(), 0);
                self.run(number, user.times(), by);
                true
            }
        }
    }

    fn user(&mut self, rows: &UserRows<'_>) {
        let mut buffer = std::mem::take(&mut self.times);
        let times = rows.times.decode(&mut buffer);
        if !self.user_at_once(rows, times) {
            self.user_by_events(rows, times);
        }
        self.times = buffer;
    }

    fn heap_bytes(&self) -> usize {
        self.results.heap_bytes()
    }
}

/// What one thread has found.
#[derive(Debug)]
struct Results {
    spec: PathSpec,
    emit: Emit,
    /// Nobody asks for users, times or durations.
    counts_only: bool,
    groups: Groups,
    tally: Tally,
    /// By the code of their group.
    matrices: Vec<TransitionMatrix>,
    user_ways: UserWays,
    key: Vec<u32>,
}

impl Results {
    fn new(emit: Emit, spec: &PathSpec, by_columns: usize, wanted: Wanted) -> Self {
        Self {
            spec: spec.clone(),
            emit,
            counts_only: emit != Emit::Users && !wanted.users && !wanted.durations,
            groups: Groups::new(by_columns),
            tally: Tally::new(wanted),
            matrices: Vec::new(),
            user_ways: UserWays::default(),
            key: Vec::new(),
        }
    }

    fn add_way(&mut self, user: u64, way: &Way<'_>, by: &Keys<'_>) {
        let group = self.groups.of(by, if by.is_per_user() { 0 } else { way.anchor_event });
        match self.emit {
            Emit::Users => self.user_ways.add(user, group, way),
            Emit::Edges => edges_of_way(&self.spec, group, way, |key, duration_us| self.tally.add(&key, duration_us)),
            Emit::Paths | Emit::Transitions => {
                path_key(group, way, &mut self.key);
                let duration_us = (!self.counts_only).then(|| way.duration_us());
                self.tally.add(&self.key, duration_us);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        let matrices: usize = self.matrices.iter().map(TransitionMatrix::heap_bytes).sum();
        self.tally.heap_bytes() + self.user_ways.heap_bytes() + self.groups.heap_bytes() + matrices
    }
}

/// A user's rows, of which those with the bit of condition `end` are ends.
struct BitRows<'a> {
    user: &'a UserBits<'a>,
    end: usize,
}

impl PathRows for BitRows<'_> {
    fn rows(&self) -> Range<usize> {
        self.user.rows()
    }

    #[inline(always)]
    fn node(&self, row: usize) -> u32 {
        self.user.name(row)
    }

    #[inline(always)]
    fn time(&self, row: usize) -> i64 {
        self.user.time(row)
    }

    #[inline(always)]
    fn is_within(&self, early: usize, late: usize, limit_us: i64) -> bool {
        self.user.is_within(early, late, limit_us)
    }

    #[inline(always)]
    fn first_end(&self, range: Range<usize>) -> Option<usize> {
        self.user.first_in(self.end, range)
    }
}
