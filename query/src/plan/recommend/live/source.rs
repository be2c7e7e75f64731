//! Which events a kept state is about, and how they are read: all of a table, some users, or what arrived.

use crate::error::Result;
use crate::plan::operator::{Ask, Decoder, UserRows, Worker};
use crate::plan::recommend::worker::{Reads, RecommendWorker};
use crate::plan::table_scan::{user_number, values_of_column};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use roaring::RoaringBitmap;
use std::sync::atomic::AtomicBool;
use trodden_engine::error::{Error as EngineError, ErrorKind as EngineErrorKind};
use trodden_engine::predicate::{ColumnRef, CompareOp, Predicate};
use trodden_engine::scan::{BehaviorScan, KeySpace, UserEvents, scan_users};
use trodden_engine::table::Snapshot;
use trodden_engine::types::Value;

/// Rows that one thread reads at once.
const FEW_ROWS: u64 = 10_000;

/// The events of a question.
#[derive(Debug)]
pub(super) struct Source {
    /// Number of the table.
    pub(super) table: u64,
    pub(super) table_name: String,
    /// What else tells it from others: the conditions and columns, written out.
    pub(super) key: String,
    scan: BehaviorScan,
    pub(super) item_type: DataType,
    pub(super) shards: u32,
    kinds: usize,
    pub(super) candidates: bool,
    threads: usize,
    /// Memory of the gathered events above which reading is given up, in bytes.
    pub(super) most_bytes: usize,
}

impl Source {
    /// The events that `ask` is about; `None` where its conditions cannot be compared with those of another question.
    pub(super) fn new(ask: &Ask<'_>, kinds: usize, candidates: bool, most_bytes: usize) -> Option<Self> {
        let conditions = || ask.conditions.iter().chain([&ask.condition.filter]);
        if conditions().any(is_foreign) {
            return None;
        }
        let item_type = ask.columns_schema.field(0).data_type().clone();
        let key = format!(
            "{:?} {:?} {:?} {:?} {item_type:?} {kinds} {candidates}",
            ask.conditions, ask.condition.filter, ask.condition.time, ask.columns
        );
        let scan = BehaviorScan {
            conditions: ask.conditions.to_vec(),
            filter: ask.condition.filter.clone(),
            time: ask.condition.time,
            keys: ask.columns.to_vec(),
            every_event: candidates,
            users: None,
        };
        Some(Self {
            table: ask.snapshot.id,
            table_name: ask.snapshot.table.clone(),
            key,
            scan,
            item_type,
            shards: ask.snapshot.shards.len() as u32,
            kinds,
            candidates,
            threads: ask.threads,
            most_bytes,
        })
    }

    /// The events and the item in words.
    pub(super) fn described(&self) -> String {
        let item = self.scan.keys.first().map_or("", |column| column.name());
        let events: Vec<String> = self.scan.conditions.iter().map(described).collect();
        let filter = match &self.scan.filter {
            Predicate::True => String::new(),
            filter => format!(", filter={}", described(filter)),
        };
        format!("item={item}, events=[{}]{filter}", events.join(", "))
    }

    /// What threads find among the events of `snapshot`, of `users` by shard if they are given.
    ///
    /// # Errors
    /// Those of reading; `Cancelled`; `ResourceLimit` where the events are too many to be kept.
    pub(super) fn read(
        &self,
        snapshot: &Snapshot,
        users: Option<Vec<RoaringBitmap>>,
        cancel: &AtomicBool,
    ) -> Result<Vec<(RecommendWorker, ItemDecoder)>> {
        let scan = BehaviorScan { users, ..self.scan.clone() };
        let reads = Reads { until_us: i64::MAX, candidates_until_us: i64::MAX, reasons: false };
        let init = || RecommendWorker::new(self.kinds, self.candidates, None, reads);
        let each = |worker: &mut RecommendWorker, user: &UserEvents<'_>| {
            worker.user(&UserRows {
                user: user_number(user.shard, user.ordinal),
                times: user.times,
                masks: user.masks,
                high_masks: &[],
                by: user.keys.of_columns(0..0),
                columns: user.keys,
            });
            match worker.heap_bytes() > self.most_bytes {
                true => Err(EngineError::new(EngineErrorKind::ResourceLimit, "too many events to be kept")),
                false => Ok(()),
            }
        };
        // To start threads takes longer than to read what arrived since the last question.
        let threads = if snapshot.rows() < FEW_ROWS { 1 } else { self.threads };
        let (workers, _) = scan_users(snapshot, &scan, threads, cancel, init, each)?;
        let decoder = |keys| ItemDecoder { keys, item_type: self.item_type.clone() };
        Ok(workers.into_iter().map(|worker| (worker.partial, decoder(worker.keys))).collect())
    }
}

/// A condition for a person; an event by its name.
fn described(predicate: &Predicate) -> String {
    match predicate {
        Predicate::Compare { column: ColumnRef::Event, op: CompareOp::Eq, value: Value::Text(name) } => name.clone(),
        Predicate::True => "all".into(),
        other => format!("{other:?}"),
    }
}

/// Whether the text of a condition may leave out what it means: it is evaluated by the layer above.
fn is_foreign(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(is_foreign),
        Predicate::Not(part) => is_foreign(part),
        // Of members the text tells the number alone.
        Predicate::Members(_) | Predicate::Custom(_) => true,
        _ => false,
    }
}

/// The items behind the codes of one thread.
pub(super) struct ItemDecoder {
    keys: KeySpace,
    item_type: DataType,
}

impl Decoder for ItemDecoder {
    fn by_values(&self, _keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn column_values(&self, column: usize, codes: &[u32]) -> Result<ArrayRef> {
        values_of_column(&self.keys, column, &self.item_type, codes)
    }
}
