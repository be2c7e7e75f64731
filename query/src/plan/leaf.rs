//! An operator over an event table itself: bitmaps choose the users, and only their events are read.

use super::exec::{SingleExec, Task};
use super::operator::{Answer, Ask, Chosen, Coverage, Decoder, Operator, UserRows, Wanted, Worker};
use super::table_scan::{
    Scanned, TableScan, Visitor, newest_ts, number_of_user, total, user_ids, user_number, values_of_column,
    values_of_keys,
};
use crate::error::Result;
use crate::plan::recommend::LiveStates;
use crate::table::translate::Condition;
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use std::fmt;
use std::sync::Arc;
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{BehaviorScan, KeySpace, UserBits, UserEvents};
use trodden_engine::table::Snapshot;

/// An operator over a snapshot.
#[derive(Debug)]
pub(crate) struct OperatorLeaf<O: Operator> {
    pub(crate) snapshot: Snapshot,
    pub(crate) operator: Arc<O>,
    pub(crate) spec: O::Spec,
    pub(crate) condition: Condition,
    /// At most 64.
    pub(crate) conditions: Vec<Predicate>,
    /// The columns that the `by` expressions read, and their schema.
    pub(crate) by_columns: Vec<ColumnRef>,
    pub(crate) by_schema: SchemaRef,
    pub(crate) by: Vec<Arc<dyn PhysicalExpr>>,
    /// The columns of the operator, and their schema.
    pub(crate) columns: Vec<ColumnRef>,
    pub(crate) columns_schema: SchemaRef,
    /// States that are kept from one statement to the next.
    pub(crate) live: Arc<LiveStates>,
    pub(crate) threads: usize,
    pub(crate) statement: Arc<StatementState>,
    pub(crate) schema: SchemaRef,
    /// Arguments and filters as the plan shows them.
    pub(crate) summary: String,
}

impl<O: Operator> OperatorLeaf<O> {
    /// As a node of the physical plan.
    pub(crate) fn into_exec(self) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::clone(&self.schema);
        Arc::new(SingleExec::new(Arc::new(self), schema))
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            snapshot: &self.snapshot,
            condition: &self.condition,
            conditions: &self.conditions,
            by_columns: &self.by_columns,
            columns: &self.columns,
            columns_schema: &self.columns_schema,
            live: &self.live,
            threads: self.threads,
            statement: &self.statement,
        }
    }

    fn choose(&self) -> Result<Chosen> {
        self.operator.choose(&self.spec, &self.ask())
    }

    fn run(
        &self,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        wanted: &Wanted<'_>,
    ) -> Result<RecordBatch> {
        let reservation = MemoryConsumer::new(O::NAME).register(context.memory_pool());
        let kept = |answer: &Answer<'_>| self.operator.kept_answer(&self.spec, &self.ask(), wanted, answer);
        if let Some(rows) = self.answer(&reservation, kept)? {
            return Ok(rows);
        }
        let indexed = self.operator.by_indexes(&self.spec, &self.ask(), &reservation)?;
        let (known, rest) = indexed.map_or((Vec::new(), None), |indexed| (indexed.found, Some(indexed.rest)));
        let mut scanned = Vec::new();
        if rest.as_deref().is_none_or(|rest| total(rest) > 0) {
            let chosen = match rest {
                Some(rest) => Chosen { users: Some(rest), counted: 0, note: "users that the bitmaps leave".into() },
                None => self.choose()?,
            };
            scanned = self.scan(chosen, context, metrics, wanted)?;
        }
        self.finish(scanned, known, &reservation)
    }

    /// Read the events of the chosen users.
    fn scan(
        &self,
        chosen: Chosen,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Scanned<LeafVisitor<O::Worker>>>> {
        let scan = BehaviorScan {
            conditions: self.conditions.clone(),
            filter: self.condition.filter.clone(),
            time: self.condition.time,
            keys: self.by_columns.iter().chain(&self.columns).cloned().collect(),
            every_event: self.operator.reads_every_event(&self.spec, &self.ask())?,
            users: chosen.users,
        };
        let (snapshot, statement) = (&self.snapshot, &self.statement);
        let table = TableScan { operator: O::NAME, snapshot, threads: self.threads, statement, context, metrics };
        let by = self.by_columns.len();
        let visitor = || Ok(LeafVisitor { worker: self.operator.worker(&self.spec, by, wanted)?, by });
        let mut scanned = table.run(&scan, chosen.note, visitor)?;
        if let Some(first) = scanned.first_mut().filter(|_| chosen.counted > 0) {
            first.visitor.worker.add_counted(chosen.counted);
        }
        Ok(scanned)
    }

    fn finish(
        &self,
        scanned: Vec<Scanned<LeafVisitor<O::Worker>>>,
        known: Vec<(O::Worker, KeySpace, Option<MemoryReservation>)>,
        reservation: &MemoryReservation,
    ) -> Result<RecordBatch> {
        let scanned = scanned.into_iter().map(|of| (of.visitor.worker, of.keys, Some(of.reservation)));
        let decoder = |keys: KeySpace| LeafDecoder { leaf: self, keys };
        let (workers, decoders): (Vec<_>, Vec<_>) =
            scanned.chain(known).map(|(worker, keys, reservation)| (worker, (decoder(keys), reservation))).unzip();
        let found = workers.into_iter().zip(&decoders).map(|(w, (d, _))| (w, d as &dyn Decoder)).collect();
        self.answer(reservation, |answer| self.operator.finish(&self.spec, answer, found))
    }

    fn answer<T>(&self, reservation: &MemoryReservation, with: impl FnOnce(&Answer<'_>) -> Result<T>) -> Result<T> {
        with(&Answer {
            schema: Arc::clone(&self.schema),
            by: self.by.len(),
            threads: self.threads,
            statement: &self.statement,
            reservation,
            user_ids: &|users| user_ids(&self.snapshot, users),
            user_number: &|id| number_of_user(&self.snapshot, id),
            numbers_in_order: true,
            newest_ts: &|| newest_ts(&self.snapshot, self.condition.time, self.threads, &self.statement),
        })
    }
}

impl<O: Operator> Task for OperatorLeaf<O> {
    fn name(&self) -> &'static str {
        O::SCAN
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: table={}, {}", O::SCAN, self.snapshot.table, self.summary)?;
        match self.operator.coverage(&self.spec, &self.ask()) {
            Ok(None) => {}
            Ok(Some(Coverage::Index(by))) => return write!(f, ", answered by {by}"),
            Ok(Some(Coverage::Scan(reason))) => write!(f, ", answered by a scan, since {reason}")?,
            Err(error) => write!(f, ", answered by [unknown: {error}]")?,
        }
        match self.choose() {
            Ok(chosen) => {
                let users: u64 = self.snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
                let read = chosen.users.as_deref().map_or(users, total);
                write!(f, ", pruned=[{}; {read} of {users} users read]", chosen.note)
            }
            Err(error) => write!(f, ", pruned=[unknown: {error}]"),
        }
    }

    fn few_rows(&self) -> Option<usize> {
        self.operator.few_rows(&self.spec)
    }

    fn compute(
        &self,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        self.run(context, metrics, &Wanted { schema: &self.schema, columns })
    }
}

/// Gives users to a worker. The first `by` key columns are those of `by`, the others those of the operator.
struct LeafVisitor<W> {
    worker: W,
    by: usize,
}

impl<W: Worker> Visitor for LeafVisitor<W> {
    fn takes_bits(&self) -> bool {
        self.worker.takes_bits()
    }

    fn bits(&mut self, user: &UserBits<'_>) -> bool {
        self.worker.user_bits(user, user_number(user.shard, user.ordinal), &user.keys.of_columns(0..self.by))
    }

    fn events(&mut self, user: &UserEvents<'_>) {
        self.worker.user(&UserRows {
            user: user_number(user.shard, user.ordinal),
            times: user.times,
            masks: user.masks,
            high_masks: &[],
            by: user.keys.of_columns(0..self.by),
            columns: user.keys.of_columns(self.by..user.keys.columns()),
        });
    }

    fn heap_bytes(&self) -> usize {
        self.worker.heap_bytes()
    }
}

struct LeafDecoder<'a, O: Operator> {
    leaf: &'a OperatorLeaf<O>,
    keys: KeySpace,
}

impl<O: Operator> Decoder for LeafDecoder<'_, O> {
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        values_of_keys(&self.leaf.by, &self.leaf.by_schema, &self.keys, keys)
    }

    fn column_values(&self, column: usize, codes: &[u32]) -> Result<ArrayRef> {
        let place = self.leaf.by_columns.len() + column;
        values_of_column(&self.keys, place, self.leaf.columns_schema.field(column).data_type(), codes)
    }
}
