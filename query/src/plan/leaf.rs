//! An operator over an event table itself: bitmaps choose the users, and only their events are read.

use super::exec::{SingleExec, Task};
use super::operator::{Answer, Ask, Chosen, Coverage, Decoder, Found, Operator, UserRows, Wanted, Worker};
use super::segment::{Segment, SegmentWorker};
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
use trodden_engine::members::Members;
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{BehaviorScan, KeySpace, UserBits, UserEvents};
use trodden_engine::table::Snapshot;

/// An operator over a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct OperatorLeaf<O: Operator> {
    pub(crate) snapshot: Snapshot,
    pub(crate) operator: Arc<O>,
    pub(crate) spec: O::Spec,
    pub(crate) condition: Condition,
    /// Segments of the same snapshot whose users alone have rows.
    pub(crate) among: Vec<OperatorLeaf<Segment>>,
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

    /// Whether it reads this snapshot.
    pub(crate) fn is_of(&self, snapshot: &Snapshot) -> bool {
        (self.snapshot.id, self.snapshot.position) == (snapshot.id, snapshot.position)
    }

    /// The same over the rows of the users of all its segments, each of which `users` finds.
    fn restricted(&self, users: impl Fn(&OperatorLeaf<Segment>) -> Result<Members>) -> Result<Self> {
        let mut restricted = Self { among: Vec::new(), ..self.clone() };
        for segment in &self.among {
            let filter = std::mem::replace(&mut restricted.condition.filter, Predicate::True);
            restricted.condition.filter = filter.and(Predicate::Members(Arc::new(users(segment)?)));
        }
        Ok(restricted)
    }

    pub(crate) fn ask(&self) -> Ask<'_> {
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
        if !self.among.is_empty() {
            return self.restricted(|segment| segment.members(context, metrics))?.run(context, metrics, wanted);
        }
        let reservation = MemoryConsumer::new(O::NAME).register(context.memory_pool());
        let kept = |answer: &Answer<'_>| self.operator.kept_answer(&self.spec, &self.ask(), wanted, answer);
        if let Some(rows) = self.answer(&reservation, kept)? {
            return Ok(rows);
        }
        let finish =
            |answer: &Answer<'_>, found: Vec<Found<'_, O::Worker>>| self.operator.finish(&self.spec, answer, found);
        self.found(&reservation, context, metrics, wanted, finish)
    }

    /// What the indexes say and what is read, given to `finish`.
    fn found<T>(
        &self,
        reservation: &MemoryReservation,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        wanted: &Wanted<'_>,
        finish: impl FnOnce(&Answer<'_>, Vec<Found<'_, O::Worker>>) -> Result<T>,
    ) -> Result<T> {
        let indexed = self.operator.by_indexes(&self.spec, &self.ask(), reservation)?;
        let (known, rest) = indexed.map_or((Vec::new(), None), |indexed| (indexed.found, Some(indexed.rest)));
        let mut scanned = Vec::new();
        if rest.as_deref().is_none_or(|rest| total(rest) > 0) {
            let chosen = match rest {
                Some(rest) => Chosen { users: Some(rest), counted: 0, note: "users that the bitmaps leave".into() },
                None => self.choose()?,
            };
            scanned = self.scan(chosen, context, metrics, wanted)?;
        }
        self.finish(scanned, known, reservation, finish)
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

    fn finish<T>(
        &self,
        scanned: Vec<Scanned<LeafVisitor<O::Worker>>>,
        known: Vec<(O::Worker, KeySpace, Option<MemoryReservation>)>,
        reservation: &MemoryReservation,
        finish: impl FnOnce(&Answer<'_>, Vec<Found<'_, O::Worker>>) -> Result<T>,
    ) -> Result<T> {
        let scanned = scanned.into_iter().map(|of| (of.visitor.worker, of.keys, Some(of.reservation)));
        let decoder = |keys: KeySpace| LeafDecoder { leaf: self, keys };
        let (workers, decoders): (Vec<_>, Vec<_>) =
            scanned.chain(known).map(|(worker, keys, reservation)| (worker, (decoder(keys), reservation))).unzip();
        let found = workers.into_iter().zip(&decoders).map(|(w, (d, _))| (w, d as &dyn Decoder)).collect();
        self.answer(reservation, |answer| finish(answer, found))
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

impl OperatorLeaf<Segment> {
    /// The users of the segment.
    ///
    /// # Errors
    /// Those of reading; `Cancelled`; `ResourceLimit`.
    fn members(&self, context: &TaskContext, metrics: &ExecutionPlanMetricsSet) -> Result<Members> {
        if !self.among.is_empty() {
            return self.restricted(|segment| segment.members(context, metrics))?.members(context, metrics);
        }
        let reservation = MemoryConsumer::new(Segment::NAME).register(context.memory_pool());
        let wanted = Wanted { schema: &self.schema, columns: None };
        let shards = self.snapshot.shards.len();
        let members = |answer: &Answer<'_>, found: Vec<Found<'_, SegmentWorker>>| {
            self.operator.members(&self.spec, answer, found, shards)
        };
        self.found(&reservation, context, metrics, &wanted, members)
    }

    /// Users who may be in the segment, by the bitmaps alone.
    fn possible(&self) -> Result<Members> {
        match self.among.is_empty() {
            true => self.operator.possible(&self.spec, &self.ask()),
            false => self.restricted(Self::possible)?.possible(),
        }
    }
}

impl<O: Operator> OperatorLeaf<O> {
    /// Who answers, and what is read, for `EXPLAIN`.
    fn describe_answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
}

impl<O: Operator> Task for OperatorLeaf<O> {
    fn name(&self) -> &'static str {
        O::SCAN
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: table={}, {}", O::SCAN, self.snapshot.table, self.summary)?;
        if self.among.is_empty() {
            return self.describe_answer(f);
        }
        for segment in &self.among {
            write!(f, ", among=[{}", segment.summary)?;
            segment.describe_answer(f)?;
            f.write_str("]")?;
        }
        // Whom the bitmaps leave open may turn out not to be in the segment: they are read at most.
        match self.restricted(OperatorLeaf::possible) {
            Ok(restricted) => restricted.describe_answer(f),
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
