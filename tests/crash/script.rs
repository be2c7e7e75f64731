//! A deterministic script of operations on a table, run on the engine and on the model alike.

use crate::model::{Event, Model, batch, digest};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use trodden_engine::error::Result;
use trodden_engine::storage::Store;
use trodden_engine::types::{ColumnDef, ColumnType, Schema, TableOptions, Value};
use trodden_engine::{Engine, EngineOptions, Table};

const DAY_US: i64 = 86_400_000_000;
/// Where the script's time begins.
const START_US: i64 = 1_700_000_000_000_000;

/// Numbers that look random and are the same every time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Something that is done to a table.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Append(Vec<Event>),
    Delete(String),
    Flush,
    Compact { full: bool },
    Import { fingerprint: u128, batches: Vec<Vec<Event>> },
    AddColumn(String),
    Retention { now_us: i64 },
}

/// `count` operations.
pub(crate) fn operations(count: usize, seed: u64) -> Vec<Operation> {
    let mut numbers = Numbers(seed);
    let mut sent: Vec<Event> = Vec::new();
    let mut operations = Vec::with_capacity(count);
    for step in 0..count {
        operations.push(match numbers.below(100) {
            0..66 => {
                let rows = 1 + numbers.below(12);
                Operation::Append((0..rows).map(|_| event(&mut numbers, &mut sent, step)).collect())
            }
            66..74 => Operation::Delete(format!("user {}", numbers.below(14))),
            74..80 => Operation::Flush,
            80..86 => Operation::Compact { full: false },
            86..89 => Operation::Compact { full: true },
            89..94 => {
                let batches = 1 + numbers.below(4);
                let batch = |_| (0..8).map(|_| event(&mut numbers, &mut sent, step)).collect();
                Operation::Import { fingerprint: step as u128, batches: (0..batches).map(batch).collect() }
            }
            94..97 => Operation::AddColumn(format!("added {step}")),
            _ => Operation::Retention { now_us: now_us(step) + 20 * DAY_US },
        });
    }
    operations
}

fn now_us(step: usize) -> i64 {
    START_US + step as i64 * DAY_US / 10
}

fn event(numbers: &mut Numbers, sent: &mut Vec<Event>, step: usize) -> Event {
    if !sent.is_empty() && numbers.below(5) == 0 {
        // Sent again.
        return sent[numbers.below(sent.len() as u64) as usize].clone();
    }
    // Some events are late, and many have the same time.
    let late = if numbers.below(8) == 0 { numbers.below(15) as i64 * DAY_US } else { 0 };
    let mut properties = Vec::new();
    if numbers.below(2) == 0 {
        properties.push(("amount".to_string(), Value::BigInt(numbers.below(1000) as i64 - 500)));
    }
    if numbers.below(3) == 0 {
        properties.push(("plan".to_string(), Value::Text(format!("plan {}", numbers.below(4)))));
    }
    if step > 40 && numbers.below(4) == 0 {
        properties.push(("price".to_string(), Value::BigInt(numbers.below(9) as i64)));
    }
    let event = Event {
        user: format!("user {}", numbers.below(14)),
        ts: now_us(step) - late + numbers.below(3) as i64,
        name: format!("event {}", numbers.below(5)),
        id: (numbers.below(2) == 0).then(|| format!("id {}", sent.len())),
        properties,
    };
    sent.push(event.clone());
    event
}

/// Small limits, so that a short script flushes, spills and compacts often.
pub(crate) fn options() -> EngineOptions {
    EngineOptions { memtable_rows: 60, import_memory_bytes: 2048, threads: 1, ..EngineOptions::default() }
}

/// A database with an empty table `t`.
pub(crate) fn create(store: Arc<dyn Store>) -> Result<(Engine, Arc<Table>)> {
    create_with(store, options())
}

/// The same, opened with `options`.
pub(crate) fn create_with(store: Arc<dyn Store>, options: EngineOptions) -> Result<(Engine, Arc<Table>)> {
    let engine = Engine::open_store(store, options)?;
    let options =
        TableOptions { shards: 2, dedup_window_us: DAY_US, retention_us: Some(60 * DAY_US), ..TableOptions::default() };
    let table = engine.create_table("t", Schema::default(), options)?;
    Ok((engine, table))
}

/// The model of an empty table `t`.
pub(crate) fn empty_model() -> Model {
    Model { window_us: DAY_US, ..Model::default() }
}

/// Do `operation` to the table.
pub(crate) fn run(table: &Table, operation: &Operation) -> Result<()> {
    match operation {
        Operation::Append(events) => table.append(batch(events)).map(|_| ()),
        Operation::Delete(user) => table.delete_user(user).map(|_| ()),
        Operation::Flush => table.flush(),
        Operation::Compact { full } => table.compact(*full),
        Operation::Import { fingerprint, batches } => {
            let import = table.begin_import(&[*fingerprint])?;
            // Out of order, as several readers would.
            for at in (0..batches.len()).rev() {
                import.push(at as u64, batch(&batches[at]))?;
            }
            import.commit().map(|_| ())
        }
        Operation::AddColumn(name) => {
            table.add_column(&ColumnDef { name: name.clone(), column_type: ColumnType::Double })
        }
        Operation::Retention { now_us } => table.enforce_retention(*now_us),
    }
}

/// Do `operation` to the model.
pub(crate) fn model_run(model: &mut Model, operation: &Operation) {
    match operation {
        Operation::Append(events) => drop(model.append(events)),
        Operation::Delete(user) => drop(model.delete(user)),
        Operation::Import { batches, .. } => drop(model.append(&batches.concat())),
        Operation::AddColumn(name) => model.columns.push((name.clone(), ColumnType::Double)),
        Operation::Retention { now_us } => {
            let hidden = now_us - 60 * DAY_US;
            model.hidden_before = model.hidden_before.max(Some(hidden));
        }
        Operation::Flush | Operation::Compact { .. } => {}
    }
}

/// The digest of the model before the script and after each operation.
pub(crate) fn expected(operations: &[Operation]) -> Vec<u64> {
    let mut model = empty_model();
    let mut digests = vec![digest(&model.columns, &model.view())];
    for operation in operations {
        model_run(&mut model, operation);
        digests.push(digest(&model.columns, &model.view()));
    }
    digests
}

/// Copy a directory with all that is in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            // The catalog of the open table removes files of its own meanwhile.
            match fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => assert!(copied.is_ok(), "{copied:?}"),
            }
        }
    }
}
