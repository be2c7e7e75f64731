//! A plain model of a table with aliases: events with the id that they are stored under, and a list of aliases.

use crate::model::{Event, Model, View, digest};
use crate::script::{Numbers, Operation, empty_model, model_run, operations, run};
use trodden_engine::Table;
use trodden_engine::error::{ErrorKind, Result};

/// Something that is done to a table.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Plain(Operation),
    Alias(String, String),
    Unalias(String),
}

/// `count` steps. Ids are those of the events of [`operations`], and two that never have an event.
pub(super) fn steps(count: usize, seed: u64) -> Vec<Step> {
    let mut numbers = Numbers(seed);
    let mut plain = operations(count, seed).into_iter();
    let mut steps = Vec::with_capacity(count);
    let id = |numbers: &mut Numbers| format!("user {}", numbers.below(16));
    while steps.len() < count {
        steps.push(match numbers.below(100) {
            0..22 => Step::Alias(id(&mut numbers), id(&mut numbers)),
            22..32 => Step::Unalias(id(&mut numbers)),
            _ => Step::Plain(plain.next().expect("as many operations as steps")),
        });
    }
    steps
}

/// What becomes of a step that is not refused for a reason of the disk: the kind of the refusal, if it is one.
pub(super) fn run_step(table: &Table, step: &Step) -> Result<Option<ErrorKind>> {
    let done = match step {
        Step::Plain(operation) => run(table, operation),
        Step::Alias(source, target) => table.alias(source, target).map(drop),
        Step::Unalias(source) => table.unalias(source),
    };
    match done {
        Ok(()) => Ok(None),
        Err(error) if is_refusal(error.kind()) => Ok(Some(error.kind())),
        Err(error) => Err(error),
    }
}

fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidInput | ErrorKind::AlreadyExists | ErrorKind::NotFound)
}

#[derive(Debug, Clone)]
struct Alias {
    source: String,
    target: String,
    joined: bool,
}

/// The table: its events under the ids that they are stored under, in order of arrival, and its aliases.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) stored: Model,
    aliases: Vec<Alias>,
}

impl Identity {
    pub(super) fn new() -> Self {
        Self { stored: empty_model(), aliases: Vec::new() }
    }

    /// Source, target, and whether a compaction joined them, in the order in which they were made.
    pub(super) fn aliases(&self) -> Vec<(String, String, bool)> {
        self.aliases.iter().map(|alias| (alias.source.clone(), alias.target.clone(), alias.joined)).collect()
    }

    fn follow<'a>(&'a self, mut id: &'a str, joined_only: bool) -> &'a str {
        while let Some(alias) = self.aliases.iter().find(|alias| alias.source == id && (alias.joined || !joined_only)) {
            id = &alias.target;
        }
        id
    }

    /// Do a step; the kind of error with which it must be refused.
    pub(super) fn run(&mut self, step: &Step) -> Option<ErrorKind> {
        match step {
            Step::Alias(source, target) => return self.alias(source, target),
            Step::Unalias(source) => return self.unalias(source),
            Step::Plain(Operation::Delete(user)) => return self.delete(user),
            Step::Plain(Operation::Append(events)) => {
                let events = self.routed(events);
                self.stored.append(&events);
            }
            Step::Plain(Operation::Import { batches, .. }) => {
                let events = self.routed(&batches.concat());
                self.stored.append(&events);
            }
            Step::Plain(operation) => model_run(&mut self.stored, operation),
        }
        if matches!(step, Step::Plain(Operation::Compact { full: true })) {
            self.join();
        }
        None
    }

    /// Events that come under an alias that was joined are stored under its person.
    fn routed(&self, events: &[Event]) -> Vec<Event> {
        events.iter().map(|event| Event { user: self.follow(&event.user, true).to_string(), ..event.clone() }).collect()
    }

    fn alias(&mut self, source: &str, target: &str) -> Option<ErrorKind> {
        let to = self.follow(target, true).to_string();
        if source == target {
            return Some(ErrorKind::InvalidInput);
        }
        if let Some(alias) = self.aliases.iter().find(|alias| alias.source == source) {
            return (self.follow(&alias.target, true) != to).then_some(ErrorKind::AlreadyExists);
        }
        if self.follow(&to, false) == source {
            return Some(ErrorKind::InvalidInput);
        }
        self.aliases.push(Alias { source: source.to_string(), target: to, joined: false });
        None
    }

    fn unalias(&mut self, source: &str) -> Option<ErrorKind> {
        match self.aliases.iter().position(|alias| alias.source == source) {
            None => Some(ErrorKind::NotFound),
            Some(at) if self.aliases[at].joined => Some(ErrorKind::InvalidInput),
            Some(at) => {
                self.aliases.remove(at);
                None
            }
        }
    }

    fn delete(&mut self, user: &str) -> Option<ErrorKind> {
        if self.aliases.iter().any(|alias| alias.source == user) {
            return Some(ErrorKind::InvalidInput);
        }
        let gone: Vec<String> =
            self.aliases.iter().map(|alias| alias.source.clone()).filter(|id| self.follow(id, false) == user).collect();
        self.stored.delete(user);
        for id in gone {
            self.stored.delete(&id);
            self.aliases.retain(|alias| alias.source != id);
        }
        None
    }

    /// What a compaction does: the events of each alias become those of its person, before all that this one has.
    pub(super) fn join(&mut self) {
        let pending: Vec<String> =
            self.aliases.iter().filter(|alias| !alias.joined).map(|alias| alias.source.clone()).collect();
        let mut moved = Vec::new();
        for source in &pending {
            let person = self.follow(source, false).to_string();
            let own = self.stored.events.iter().filter(|event| event.user == *source);
            moved.extend(own.map(|event| Event { user: person.clone(), ..event.clone() }));
        }
        self.stored.events.retain(|event| !pending.contains(&event.user));
        moved.append(&mut self.stored.events);
        self.stored.events = moved;
        self.aliases.iter_mut().for_each(|alias| alias.joined = true);
    }

    /// What a query sees: all joined.
    pub(super) fn view(&self) -> View {
        let mut joined = self.clone();
        joined.join();
        joined.stored.view()
    }

    pub(super) fn digest(&self) -> u64 {
        digest(&self.stored.columns, &self.view())
    }
}

/// The digest of the model before the script and after each step.
pub(super) fn expected(steps: &[Step]) -> Vec<u64> {
    let mut model = Identity::new();
    let mut digests = vec![model.digest()];
    for step in steps {
        model.run(step);
        digests.push(model.digest());
    }
    digests
}
