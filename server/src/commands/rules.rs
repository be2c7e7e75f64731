//! `trodden rules`: what rules would do.

use super::print_line;
use crate::backend::{failed, import_failed};
use crate::cli::{RulesCommand, RulesTestArgs};
use crate::failure::Outcome;
use crate::interrupt::{Interrupt, Second};
use crate::progress::ImportBar;
use crate::terminal::Terminal;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use trodden_query::arrow::array::{Array, ArrayRef};
use trodden_query::arrow::util::display::array_value_to_string;
use trodden_query::engine::EventBatch;
use trodden_query::engine::error::{Error as EngineError, ErrorKind as EngineErrorKind};
use trodden_query::engine::segment::timestamp_text;
use trodden_query::import::{self, Watcher};
use trodden_query::rules::{Cleaned, RuleSet};
use trodden_query::{Database, Error, Options, Result};

/// Most events that are shown.
const SHOWN: usize = 10;

pub(super) fn run(command: &RulesCommand, terminal: &Terminal) -> Outcome {
    let RulesCommand::Test(arguments) = command;
    let interrupt = Interrupt::watch(Second::Ends)?;
    let running = interrupt.begin();
    let bar = ImportBar::new(terminal, running.token());
    let files = import::prepare(&arguments.reading.options()?, &bar).map_err(|error| import_failed(&error))?;
    let mut how = Options::default();
    how.engine.create_if_missing = false;
    let database = Database::open_with(&arguments.db.db, how).map_err(|error| failed(&error))?;
    let found = database.find_table(&arguments.table).map_err(|error| failed(&error))?;
    let table = found.ok_or_else(|| failed(&database.no_such_table(&arguments.table)))?;
    let trial = Trial { database, table: table.name().to_string(), arguments, seen: Mutex::default() };
    trial.rules().map_err(|error| failed(&error))?;
    let summary = files.watch(&table.outline(), &trial, &bar);
    bar.finish();
    summary.map_err(|error| import_failed(&error))?;
    print_line(trial.seen.into_inner().told(&arguments.table))
}

/// Applies rules to what is read.
struct Trial<'a> {
    database: Database,
    table: String,
    arguments: &'a RulesTestArgs,
    seen: Mutex<Seen>,
}

/// What rules did so far.
#[derive(Default)]
struct Seen {
    /// `None` before the first event: counts of LIMIT begin anew with every reading.
    rules: Option<RuleSet>,
    events: u64,
    stored: u64,
    dropped: u64,
    rejected: u64,
    counts: BTreeMap<(usize, String, &'static str), u64>,
    /// Events before and after, where they are others.
    shown: Vec<(String, String)>,
}

impl Trial<'_> {
    fn rules(&self) -> Result<RuleSet> {
        self.database.rules_with(&self.table, &self.arguments.rules)
    }
}

impl Watcher for Trial<'_> {
    fn begin(&self) {
        *self.seen.lock() = Seen::default();
    }

    fn take(&self, batch: &EventBatch) -> std::result::Result<(), EngineError> {
        let failed = |error: Error| EngineError::new(EngineErrorKind::InvalidInput, error.to_string());
        let mut seen = self.seen.lock();
        if seen.rules.is_none() {
            seen.rules = Some(self.rules().map_err(failed)?);
        }
        let Some(rules) = seen.rules.clone() else { return Ok(()) };
        let cleaned = rules.apply(batch.clone(), self.arguments.user_agent.as_deref()).map_err(failed)?;
        seen.add(&rules, batch, cleaned);
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, rules: &RuleSet, before: &EventBatch, cleaned: Cleaned) {
        let Cleaned { batch: after, outcome } = cleaned;
        self.events += before.len() as u64;
        self.stored += after.len() as u64;
        self.dropped += outcome.dropped;
        self.rejected += outcome.rejected.len() as u64;
        for count in &outcome.counts {
            let place = rules.names().position(|name| name == count.rule).unwrap_or(0);
            *self.counts.entry((place, count.rule.clone(), count.action)).or_insert(0) += count.events;
        }
        let (mut stored, mut rejected) =
            (outcome.rows.iter().enumerate().peekable(), outcome.rejected.iter().peekable());
        for row in 0..before.len() {
            if self.shown.len() >= SHOWN {
                break;
            }
            let old = event(before, row);
            let new = if let Some((place, _)) = stored.next_if(|(_, own)| **own == row) {
                event(&after, place)
            } else if let Some(rejected) = rejected.next_if(|rejected| rejected.row == row) {
                format!("rejected: {}", rejected.reason)
            } else {
                "dropped".to_string()
            };
            if old != new {
                self.shown.push((old, new));
            }
        }
        outcome.taken.keep();
    }

    fn told(self, table: &str) -> String {
        let Self { events, stored, dropped, rejected, counts, shown, .. } = self;
        let mut text = format!("{events} events: {stored} would be stored, {dropped} dropped, {rejected} rejected\n");
        if counts.is_empty() {
            text += &format!("the rules of table {table} do nothing to them");
            return text;
        }
        let mut rules = Table::new();
        rules.load_style(UTF8_FULL_CONDENSED);
        rules.set_header(["rule", "action", "events"]);
        for ((_, rule, action), events) in counts {
            rules.add_row([rule, action.to_string(), events.to_string()]);
        }
        text += &rules.to_string();
        for (before, after) in shown {
            text += &format!("\n- {before}\n+ {after}");
        }
        text
    }
}

/// An event in words.
fn event(batch: &EventBatch, row: usize) -> String {
    let id = batch.event_id.as_ref().filter(|ids| ids.is_valid(row)).map(|ids| format!(" id={:?}", ids.value(row)));
    let mut text = format!(
        "{} {:?} {:?}{}",
        timestamp_text(batch.ts.value(row)),
        batch.user_id.value(row),
        batch.event.value(row),
        id.unwrap_or_default()
    );
    let mut properties: Vec<&(String, ArrayRef)> =
        batch.properties.iter().filter(|(_, values)| values.is_valid(row)).collect();
    properties.sort_by_key(|(name, _)| name);
    for (name, values) in properties {
        // Whatever cannot be shown is not worth ending for.
        let value = array_value_to_string(values, row).unwrap_or_default();
        text += &format!(" {name}={value:?}");
    }
    text
}
