//! The rules of all tables.

use super::compile::{Rule, needs_secret};
use super::definition::{Kept, read_statement};
use super::name::Name;
use super::secret::Secret;
use super::set::{Entry, RuleSet};
use crate::error::{Error, ErrorKind, Result, closest, listed};
use crate::sql::rules::{RuleAction, RuleCommand};
use crate::table::schema::table_schema;
use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::Expr;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use trodden_engine::{Engine, Table};

/// Most rules of a table.
const RULES_MAX: usize = 1_000;

/// The rules of all tables, as they are kept.
#[derive(Debug)]
pub(crate) struct RuleBook {
    engine: Arc<Engine>,
    /// By the numbers of tables.
    sets: RwLock<HashMap<u64, Arc<RuleSet>>>,
    /// Held while a rule is made or dropped.
    changing: Mutex<()>,
}

/// A rule that is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRule<'a> {
    pub(crate) name: &'a str,
    pub(crate) or_replace: bool,
    pub(crate) action: &'a RuleAction,
    pub(crate) condition: Option<&'a Expr>,
    pub(crate) statement: &'a str,
}

impl RuleBook {
    /// The rules that a database keeps.
    pub(crate) fn open(engine: &Arc<Engine>) -> Self {
        let (mut sets, secret) = (HashMap::<u64, Vec<Entry>>::new(), Secret::read(engine));
        for (setting, text) in engine.settings() {
            let Some((table, name)) = Kept::of_setting(&setting) else { continue };
            let id = engine.table(table).ok().map(|table| table.snapshot().id);
            let entry = entry(table, name, id, &text, secret.as_ref());
            match id.filter(|id| *id == entry.kept.table_id) {
                Some(id) => sets.entry(id).or_default().push(entry),
                // A crash came between the end of the table and that of its rules. What stays is of no table.
                None => drop(engine.set_setting(&setting, None)),
            }
        }
        let sets = sets.into_iter().map(|(id, mut entries)| {
            entries.sort_by(|a, b| (a.kept.position, &a.kept.name).cmp(&(b.kept.position, &b.kept.name)));
            let table = entries.first().map(|entry| entry.kept.table.clone()).unwrap_or_default();
            (id, Arc::new(RuleSet::new(&table, engine, entries)))
        });
        Self { sets: RwLock::new(sets.collect()), engine: Arc::clone(engine), changing: Mutex::default() }
    }

    /// The rules of a table.
    pub(crate) fn of(&self, table: &Table) -> Arc<RuleSet> {
        let sets = self.sets.read();
        // Most databases have none, and ask for no snapshot then.
        let found = if sets.is_empty() { None } else { sets.get(&table.snapshot().id).cloned() };
        found.unwrap_or_else(|| Arc::new(RuleSet::new(table.name(), &self.engine, Vec::new())))
    }

    /// Make a rule; durable on return. What looks like a mistake is told.
    ///
    /// # Errors
    /// What is wrong with it, at its place; `AlreadyExists`; what the disk says.
    pub(crate) fn create(&self, table: &Table, rule: NewRule<'_>) -> Result<Option<String>> {
        let _changing = self.changing.lock();
        let mut set = RuleSet::clone(&self.of(table));
        let warning = self.add(&mut set, table, rule, Making::ToStay)?;
        let kept = set.entries.iter().find(|entry| entry.kept.name == rule.name).map(|entry| &entry.kept);
        let Some(kept) = kept else { return Err(Error::internal("a rule that is not there")) };
        self.engine.set_setting(&Kept::setting(table.name(), rule.name), Some(&kept.text()))?;
        self.sets.write().insert(kept.table_id, Arc::new(set));
        Ok(warning)
    }

    /// The rules of a table with others that nobody keeps.
    ///
    /// # Errors
    /// What is wrong with a statement, at its place.
    pub(crate) fn trial(&self, table: &Table, statements: &[String]) -> Result<RuleSet> {
        let mut set = RuleSet::clone(&self.of(table));
        for statement in statements {
            let RuleCommand::Create { name, or_replace, action, condition, .. } = read_statement(statement)? else {
                return Err(Error::internal("no CREATE RULE"));
            };
            let name = Name::of(&name).text;
            let rule = NewRule { name: &name, or_replace, action: &action, condition: condition.as_ref(), statement };
            self.add(&mut set, table, rule, Making::ToTry)?;
        }
        Ok(set)
    }

    fn add(&self, set: &mut RuleSet, table: &Table, rule: NewRule<'_>, making: Making) -> Result<Option<String>> {
        check_name(rule.name)?;
        let place = set.position_of(rule.name);
        if place.is_some() && !rule.or_replace {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a rule '{}' already", rule.name))
                .with_hint("write CREATE OR REPLACE RULE, or DROP RULE first"));
        }
        if place.is_none() && set.entries.len() >= RULES_MAX {
            let message = format!("table '{}' has {RULES_MAX} rules, which are the most", table.name());
            return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint("drop one with DROP RULE"));
        }
        // A key is made last: what is refused leaves nothing.
        let known = Secret::read(&self.engine);
        let passing = if known.is_none() && needs_secret(rule.action) { Some(Secret::passing()?) } else { None };
        let compile = |secret| Rule::compile(rule.name, rule.action, rule.condition, secret);
        let mut compiled = compile(known.as_ref().or(passing.as_ref()))?;
        let warning = check(&compiled, table)?;
        if passing.is_some() && making == Making::ToStay {
            compiled = compile(Some(&Secret::make(&self.engine)?))?;
        }
        let last = set.entries.iter().map(|entry| entry.kept.position).max().unwrap_or(0);
        let kept = Kept {
            table: table.name().to_string(),
            table_id: table.snapshot().id,
            name: rule.name.to_string(),
            position: place.map_or(last + 1, |place| set.entries[place].kept.position),
            statement: rule.statement.to_string(),
        };
        let entry = Entry { kept, rule: Ok(Arc::new(compiled)) };
        match place {
            Some(place) => set.entries[place] = entry,
            None => set.entries.push(entry),
        }
        Ok(warning)
    }

    /// Drop a rule; durable on return.
    ///
    /// # Errors
    /// `NotFound`, unless `if_exists`; what the disk says.
    pub(crate) fn drop_rule(&self, table: &Table, name: &str, if_exists: bool) -> Result<()> {
        let _changing = self.changing.lock();
        let mut set = RuleSet::clone(&self.of(table));
        let Some(place) = set.position_of(name) else {
            return if if_exists { Ok(()) } else { Err(no_such_rule(name, &set)) };
        };
        self.engine.set_setting(&Kept::setting(table.name(), name), None)?;
        set.entries.remove(place);
        let mut sets = self.sets.write();
        let id = table.snapshot().id;
        match set.is_empty() {
            true => drop(sets.remove(&id)),
            false => drop(sets.insert(id, Arc::new(set))),
        }
        Ok(())
    }

    /// Forget the rules of a table that was dropped.
    pub(crate) fn forget(&self, table: &Table) {
        let _changing = self.changing.lock();
        let Some(set) = self.sets.write().remove(&table.snapshot().id) else { return };
        for name in set.names() {
            // The table is gone, and no other one has its number: what stays does nothing, and goes with the next opening.
            drop(self.engine.set_setting(&Kept::setting(table.name(), name), None));
        }
    }
}

/// Whether a rule is made, or only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Making {
    ToStay,
    ToTry,
}

/// The rule that a setting keeps.
fn entry(table: &str, name: &str, id: Option<u64>, text: &str, secret: Option<&Secret>) -> Entry {
    let kept: Kept = match serde_json::from_str(text) {
        Ok(kept) => kept,
        Err(error) => {
            let (table, name, statement) = (table.to_string(), name.to_string(), text.to_string());
            let kept = Kept { table, table_id: id.unwrap_or(0), name, position: 0, statement };
            return Entry { kept, rule: Err(error.to_string()) };
        }
    };
    let rule = read_statement(&kept.statement).and_then(|command| match command {
        RuleCommand::Create { action, condition, .. } => Rule::compile(name, &action, condition.as_ref(), secret),
        _ => Err(Error::internal("no CREATE RULE")),
    });
    Entry { kept, rule: rule.map(Arc::new).map_err(|error| error.message().to_string()) }
}

fn check_name(name: &str) -> Result<()> {
    match name.is_empty() || name.len() > 255 || name.contains('/') || name.chars().any(char::is_control) {
        true => Err(Error::invalid("the name of a rule has 1 to 255 bytes, no slash and no control characters")),
        false => Ok(()),
    }
}

/// Whether a rule can be applied to events of a table, and what looks like a mistake.
fn check(rule: &Rule, table: &Table) -> Result<Option<String>> {
    let schema = table_schema(&table.schema());
    let columns = || schema.fields().iter().map(|field| field.name().as_str());
    let type_of =
        |name: &Name| -> Option<DataType> { name.find(columns()).map(|place| schema.field(place).data_type().clone()) };
    if let Some(condition) = &rule.condition {
        condition.check(&type_of)?;
    }
    let named = rule.condition.iter().flat_map(|condition| condition.names());
    let missing = rule.changed_properties().iter().chain(named).find(|name| name.find(columns()).is_none());
    // A table that nothing was put in yet has no properties to know.
    let is_known = !table.schema().columns.is_empty();
    Ok(missing.filter(|_| is_known).map(|name| {
        let near = closest(&name.text, columns()).map(|near| format!("; did you mean '{near}'?"));
        let near = near.unwrap_or_default();
        format!("table '{}' has no column '{}' yet{near}", table.name(), name.text)
    }))
}

fn no_such_rule(name: &str, set: &RuleSet) -> Error {
    let hint = match closest(name, set.names()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if set.is_empty() => "it has none".to_string(),
        None => format!("its rules are {}", listed(set.names())),
    };
    Error::new(ErrorKind::NotFound, format!("table '{}' has no rule '{name}'", set.table)).with_hint(hint)
}
