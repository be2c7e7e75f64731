//! The rules of a table over a batch of events.

use super::bots::are_bots;
use super::change::{Changed, NewText, masked, replaced};
use super::compile::{Action, REJECT, Rule};
use super::condition::Truths;
use super::limit::Taken;
use super::name::Name;
use super::rename::rename;
use super::sample;
use super::set::RuleSet;
use super::text::plain;
use crate::error::{Error, Result};
use crate::table::schema::{arrow_type, timestamp_type};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, new_null_array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{CastOptions, cast_with_options, filter};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::DataFusionError;
use datafusion::common::format::DEFAULT_FORMAT_OPTIONS;
use std::sync::Arc;
use trodden_engine::ingest::EventBatch;
use trodden_engine::types::Schema;
use xxhash_rust::xxh3::xxh3_128;

/// A batch after the rules.
#[derive(Debug)]
pub struct Cleaned {
    /// What is to be stored. It may be empty.
    pub batch: EventBatch,
    /// What became of the others.
    pub outcome: Outcome,
}

/// What rules did to a batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rows of the batch, counted from 0, that are to be stored.
    pub rows: Vec<usize>,
    /// Events that the sender is to be told of, in the order of their rows.
    pub rejected: Vec<Rejected>,
    /// Events that were dropped. The sender is not told.
    pub dropped: u64,
    /// What is counted, in the order of the rules.
    pub counts: Vec<Counted>,
    /// To be kept when the batch is stored.
    pub taken: Taken,
}

/// An event that a rule rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its row in the batch, counted from 0.
    pub row: usize,
    /// Why.
    pub reason: String,
}

/// How many events a rule did something to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Name of the rule.
    pub rule: String,
    /// What it did: `drop`, `limit`, `sample`, `reject`, `rename`, `map`, `mask` or `hash`.
    pub action: &'static str,
    /// To how many events.
    pub events: u64,
}

impl RuleSet {
    /// Apply the rules to events before they are stored. `agent`: the user agent of the request, of those events that do not
    /// say it themselves.
    ///
    /// # Errors
    /// `UnsupportedFormat` where a rule cannot be read; `InvalidInput` and `Unsupported` for a batch that no table takes.
    pub fn apply(&self, batch: EventBatch, agent: Option<&str>) -> Result<Cleaned> {
        let mut work = Work::new(batch, self)?;
        for rule in self.readable()? {
            if work.batch.is_empty() {
                break;
            }
            work.run(rule, agent)?;
        }
        Ok(work.finish())
    }
}

/// A batch while rules run over it.
struct Work {
    batch: EventBatch,
    schema: Schema,
    outcome: Outcome,
    /// Whether columns may have lost all of their values.
    is_changed: bool,
}

impl Work {
    fn new(batch: EventBatch, rules: &RuleSet) -> Result<Self> {
        let rows = batch.len();
        let id = batch.event_id.as_ref().map(|id| ("event_id", id.len()));
        let fixed = [("ts", batch.ts.len()), ("event", batch.event.len())];
        let own = batch.properties.iter().map(|(name, values)| (name.as_str(), values.len()));
        if let Some((name, length)) = fixed.into_iter().chain(id).chain(own).find(|(_, length)| *length != rows) {
            return Err(Error::invalid(format!("column '{name}' has {length} rows, user_id has {rows}")));
        }
        let schema = if rules.is_empty() { Schema::default() } else { rules.schema() };
        let outcome = Outcome { rows: (0..rows).collect(), ..Outcome::default() };
        Ok(Self { batch, schema, outcome, is_changed: false })
    }

    fn run(&mut self, rule: &Rule, agent: Option<&str>) -> Result<()> {
        let mut chosen = BooleanBuffer::new_set(self.batch.len());
        if let Some(condition) = &rule.condition {
            let Truths { yes, failed } = condition.of_rows(self.batch.len(), &|name| self.column(name));
            chosen = yes;
            if !failed.is_empty() {
                let rows = failed.iter().map(|(row, _)| *row);
                let failing = of_rows(self.batch.len(), rows);
                for (row, error) in failed {
                    let row = self.outcome.rows[row];
                    let reason = format!("the condition of rule '{}' cannot be computed: {error}", rule.name);
                    self.outcome.rejected.push(Rejected { row, reason });
                }
                chosen = filtered(&chosen, &!&failing);
                self.count(rule, REJECT, &failing);
                self.remove(&failing)?;
            }
        }
        if chosen.count_set_bits() > 0 { self.act(rule, &chosen, agent) } else { Ok(()) }
    }

    fn act(&mut self, rule: &Rule, chosen: &BooleanBuffer, agent: Option<&str>) -> Result<()> {
        let batch = &mut self.batch;
        let changed = match &rule.action {
            Action::DropBots => {
                let bots = are_bots(&batch.properties, agent, batch.len())?;
                return self.drop_events(rule, &(&bots & chosen));
            }
            Action::Sample(percent) => {
                let users = &batch.user_id;
                let is_out = |row: &usize| users.is_valid(*row) && !sample::is_in(users.value(*row), *percent);
                let out = of_rows(batch.len(), chosen.set_indices().filter(is_out));
                return self.drop_events(rule, &out);
            }
            Action::Limit(limit) => {
                let (users, ts, taken) = (&batch.user_id, batch.ts.values(), &mut self.outcome.taken);
                let is_above = |row: &usize| {
                    users.is_valid(*row) && !limit.take(xxh3_128(users.value(*row).as_bytes()), ts[*row], taken)
                };
                let above = of_rows(batch.len(), chosen.set_indices().filter(is_above));
                return self.drop_events(rule, &above);
            }
            Action::Reject(reason) => {
                let rows = chosen.set_indices().map(|row| self.outcome.rows[row]);
                let rejected: Vec<Rejected> = rows.map(|row| Rejected { row, reason: reason.clone() }).collect();
                self.outcome.rejected.extend(rejected);
                self.count(rule, REJECT, chosen);
                return self.remove(chosen);
            }
            Action::RenameEvent { from, to } => {
                change_texts(&mut batch.event, "event", chosen, &|name| (name == from).then(|| to.clone()))?
            }
            Action::MapEvent(mapping) => change_texts(&mut batch.event, "event", chosen, &|name| mapping.of(name))?,
            Action::Rename { from, to } => {
                self.is_changed = true;
                rename(&mut batch.properties, (from, to), &self.schema, chosen)?
            }
            Action::Map(name, mapping) => {
                let change = |name: &str, values: &ArrayRef| replaced(name, values, chosen, &|text| mapping.of(text));
                change_columns(&mut batch.properties, std::slice::from_ref(name), chosen.len(), &change)?
            }
            Action::Mask(names) => {
                self.is_changed = true;
                let change = |name: &str, values: &ArrayRef| masked(name, values, chosen);
                change_columns(&mut batch.properties, names, chosen.len(), &change)?
            }
            Action::Hash { user_id, event_id, properties, secret } => {
                let hash = |text: &str| Some(secret.hash(text));
                let change = |name: &str, values: &ArrayRef| replaced(name, values, chosen, &hash);
                let mut changed = change_columns(&mut batch.properties, properties, chosen.len(), &change)?;
                // An empty id is none, and stays so, for the engine to refuse it.
                let hash_id = |id: &str| (!id.is_empty()).then(|| secret.hash(id));
                if *user_id {
                    changed = &changed | &change_texts(&mut batch.user_id, "user_id", chosen, &hash_id)?;
                }
                if let Some(ids) = batch.event_id.as_mut().filter(|_| *event_id) {
                    changed = &changed | &change_texts(ids, "event_id", chosen, &hash_id)?;
                }
                changed
            }
        };
        self.count(rule, rule.action.word(), &changed);
        Ok(())
    }

    /// The column that a name means: in the type of the table, if all values can be of it.
    fn column(&self, name: &Name) -> Result<Option<ArrayRef>> {
        let batch = &self.batch;
        let fixed = |column: &StringArray| Ok(Some(Arc::new(column.clone()) as ArrayRef));
        match name.text.as_str() {
            "user_id" => return fixed(&batch.user_id),
            "event" => return fixed(&batch.event),
            "event_id" => {
                let nobody = || StringArray::new_null(batch.len());
                return fixed(batch.event_id.as_ref().unwrap_or(&nobody()));
            }
            "ts" => {
                let times = batch.ts.reinterpret_cast::<TimestampMicrosecondType>();
                return Ok(Some(Arc::new(times.with_data_type(timestamp_type()))));
            }
            _ => {}
        }
        let held = name.find(self.schema.columns.iter().map(|column| column.name.as_str()));
        let held = held.map(|place| arrow_type(self.schema.columns[place].column_type));
        let found = name.find(batch.properties.iter().map(|(name, _)| name.as_str()));
        let Some((own, values)) = found.map(|place| &batch.properties[place]) else {
            return Ok(held.map(|held| new_null_array(&held, batch.len())));
        };
        let values = plain(own, values)?;
        let options = CastOptions { safe: false, format_options: DEFAULT_FORMAT_OPTIONS };
        let as_held = held.and_then(|held| cast_with_options(&values, &held, &options).ok());
        Ok(Some(as_held.unwrap_or(values)))
    }

    fn count(&mut self, rule: &Rule, action: &'static str, rows: &BooleanBuffer) {
        let events = rows.count_set_bits() as u64;
        if events > 0 {
            self.outcome.counts.push(Counted { rule: rule.name.clone(), action, events });
        }
    }

    fn drop_events(&mut self, rule: &Rule, rows: &BooleanBuffer) -> Result<()> {
        self.outcome.dropped += rows.count_set_bits() as u64;
        self.count(rule, rule.action.word(), rows);
        self.remove(rows)
    }

    fn remove(&mut self, rows: &BooleanBuffer) -> Result<()> {
        if rows.count_set_bits() == 0 {
            return Ok(());
        }
        self.is_changed = true;
        let left = BooleanArray::new(!rows, None);
        let kept = |array: &dyn Array| -> Result<ArrayRef> { Ok(filter(array, &left).map_err(DataFusionError::from)?) };
        let texts = |array: &StringArray| -> Result<StringArray> { Ok(kept(array)?.as_string::<i32>().clone()) };
        let batch = &mut self.batch;
        (batch.user_id, batch.event) = (texts(&batch.user_id)?, texts(&batch.event)?);
        batch.event_id = batch.event_id.as_ref().map(texts).transpose()?;
        batch.ts = kept(&batch.ts)?.as_primitive().clone();
        for (_, values) in &mut batch.properties {
            *values = kept(values)?;
        }
        let (places, old) = (left.values().set_indices(), std::mem::take(&mut self.outcome.rows));
        self.outcome.rows = places.map(|place| old[place]).collect();
        Ok(())
    }

    fn finish(mut self) -> Cleaned {
        if self.is_changed {
            // A column without a value would still bring its type into the table.
            self.batch.properties.retain(|(_, values)| values.logical_null_count() < values.len());
        }
        self.outcome.rejected.sort_by_key(|rejected| rejected.row);
        Cleaned { batch: self.batch, outcome: self.outcome }
    }
}

fn of_rows(rows: usize, set: impl Iterator<Item = usize>) -> BooleanBuffer {
    let mut all = vec![false; rows];
    set.for_each(|row| all[row] = true);
    BooleanBuffer::from(all)
}

/// The bits of those rows that are left.
fn filtered(bits: &BooleanBuffer, left: &BooleanBuffer) -> BooleanBuffer {
    left.set_indices().map(|row| bits.value(row)).collect()
}

/// Change a fixed column; the answer is whose events have another value.
fn change_texts(
    column: &mut StringArray,
    name: &str,
    chosen: &BooleanBuffer,
    new_text: &NewText<'_>,
) -> Result<BooleanBuffer> {
    let values: ArrayRef = Arc::new(column.clone());
    match replaced(name, &values, chosen, new_text)? {
        None => Ok(BooleanBuffer::new_unset(chosen.len())),
        Some(Changed { values, rows }) => {
            *column = values.as_string::<i32>().clone();
            Ok(rows)
        }
    }
}

/// Change the columns that names mean; the answer is whose events have another value.
fn change_columns(
    properties: &mut [(String, ArrayRef)],
    names: &[Name],
    rows: usize,
    change: &dyn Fn(&str, &ArrayRef) -> Result<Option<Changed>>,
) -> Result<BooleanBuffer> {
    let mut all = BooleanBuffer::new_unset(rows);
    for (name, column) in properties.iter_mut().filter(|(own, _)| names.iter().any(|name| name.means(own))) {
        if let Some(Changed { values, rows }) = change(name, column)? {
            *column = values;
            all = &all | &rows;
        }
    }
    Ok(all)
}
