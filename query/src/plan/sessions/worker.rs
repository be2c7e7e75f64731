//! The kernel at work on one thread: users in, sessions or counts out.

use super::Emit;
use crate::behavior::path::{EXCLUDE, Sessions, UserInput};
use crate::behavior::sessions::{Session, SessionsKernel, SessionsSpec, StopsPartial, SummaryPartial};
use crate::error::Result;
use crate::plan::groups::Groups;
use crate::plan::operator::{UserRows, Worker};

/// A row of `emit => 'sessions'`, before names come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionRow {
    pub(super) user: u64,
    pub(super) group: u32,
    pub(super) number: u32,
    pub(super) started_us: i64,
    pub(super) ended_us: i64,
    pub(super) events: u32,
    pub(super) entry: u32,
    pub(super) exit: u32,
}

/// A row of `emit => 'users'`: the sessions of a user in a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct UserRow {
    pub(super) user: u64,
    pub(super) group: u32,
    pub(super) sessions: u32,
    pub(super) bounces: u32,
    pub(super) events: u64,
    pub(super) us: i128,
}

/// The kernel and the partial result of one thread.
#[derive(Debug)]
pub(crate) struct SessionsWorker {
    kernel: SessionsKernel,
    pub(super) found: FoundSessions,
    nodes: Vec<u32>,
    names: Vec<u32>,
    masks: Vec<u64>,
    times: Vec<i64>,
}

/// What one thread has found.
#[derive(Debug)]
pub(super) struct FoundSessions {
    emit: Emit,
    spec: SessionsSpec,
    pub(super) groups: Groups,
    pub(super) summary: SummaryPartial,
    pub(super) stops: StopsPartial,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) users: Vec<UserRow>,
}

impl SessionsWorker {
    /// A worker with nothing found yet, for events with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// As [`SessionsSpec::validate`].
    pub(super) fn new(emit: Emit, spec: &SessionsSpec, by_columns: usize) -> Result<Self> {
        let found = FoundSessions {
            emit,
            spec: spec.clone(),
            groups: Groups::new(by_columns),
            summary: SummaryPartial::default(),
            stops: StopsPartial::default(),
            sessions: Vec::new(),
            users: Vec::new(),
        };
        let kernel = SessionsKernel::new(spec.clone())?;
        Ok(Self { kernel, found, nodes: Vec::new(), names: Vec::new(), masks: Vec::new(), times: Vec::new() })
    }
}

impl FoundSessions {
    fn begin_user(&mut self) {
        self.summary.begin_user();
        self.stops.begin_user();
    }

    fn add(&mut self, user: u64, group: u32, session: &Session<'_>) {
        match self.emit {
            Emit::Summary => self.summary.add(group, self.spec.bucket_us(session.started_us()), session),
            Emit::Stops => self.stops.add(group, session, self.spec.collapse),
            Emit::Sessions => self.sessions.push(SessionRow {
                user,
                group,
                number: session.number,
                started_us: session.started_us(),
                ended_us: session.ended_us(),
                events: session.events(),
                entry: session.entry(),
                exit: session.exit(),
            }),
            Emit::Users => self.add_to_user(user, group, session),
        }
    }

    fn add_to_user(&mut self, user: u64, group: u32, session: &Session<'_>) {
        // Rows of one user are neighbours, and there are few.
        let own = self.users.iter().rev().take_while(|row| row.user == user).position(|row| row.group == group);
        let place = match own {
            Some(back) => self.users.len() - 1 - back,
            None => {
                self.users.push(UserRow { user, group, sessions: 0, bounces: 0, events: 0, us: 0 });
                self.users.len() - 1
            }
        };
        let row = &mut self.users[place];
        row.sessions += 1;
        row.bounces += u32::from(session.events() == 1);
        row.events += u64::from(session.events());
        row.us += i128::from(session.duration_us());
    }

    fn heap_bytes(&self) -> usize {
        let counted = self.summary.heap_bytes() + self.stops.heap_bytes() + self.groups.heap_bytes();
        let users = self.users.capacity() * size_of::<UserRow>();
        counted + users + self.sessions.capacity() * size_of::<SessionRow>()
    }
}

impl Worker for SessionsWorker {
    fn user(&mut self, rows: &UserRows<'_>) {
        let times = rows.times.decode(&mut self.times);
        let events = rows.masks.len();
        self.nodes.clear();
        self.nodes.extend((0..events).map(|event| rows.columns.code(0, event)));
        self.names.clear();
        if self.kernel.spec().sessions == Sessions::Named {
            self.names.extend((0..events).map(|event| rows.columns.code(1, event)));
        }
        self.masks.clear();
        // The only condition is that of what is left out.
        self.masks.extend(rows.masks.iter().map(|mask| (mask & 1) * EXCLUDE));
        let user = UserInput { times, nodes: &self.nodes, masks: &self.masks, sessions: &self.names };
        let found = &mut self.found;
        found.begin_user();
        self.kernel.run(&user, |session| {
            let group = found.groups.of(&rows.by, session.first_event());
            found.add(rows.user, group, session);
        });
    }

    fn heap_bytes(&self) -> usize {
        self.found.heap_bytes()
    }
}
