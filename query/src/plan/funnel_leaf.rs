//! FUNNEL over an event table itself: bitmaps choose the users, and only their events are read.

use super::exec::{SingleExec, Task};
use super::funnel_finish::{Decoder, Finisher, column_of};
use super::funnel_node::{Emit, FunnelShape};
use super::funnel_worker::{FunnelWorker, UserRows, needs_every_event};
use crate::behavior::funnel::{Count, FunnelSpec, Order};
use crate::error::{Error, Result};
use crate::table::scan::record;
use crate::table::translate::Condition;
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::scalar::ScalarValue;
use roaring::RoaringBitmap;
use std::fmt;
use std::sync::Arc;
use trodden_engine::error::{Error as EngineError, ErrorKind as EngineErrorKind, Result as EngineResult};
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{BehaviorScan, KeySpace, UserBits, UserEvents, matching_users, scan_user_bits, scan_users};
use trodden_engine::table::Snapshot;
use trodden_engine::types::Value;

/// Users between two looks at the memory in use.
const USERS_PER_CHECK: u32 = 4_096;

/// Columns of `emit => 'steps'` that need the times of the chosen chains.
const DURATIONS: [&str; 3] = ["median_seconds", "p90_seconds", "median_seconds_total"];

/// A funnel over a snapshot.
#[derive(Debug)]
pub(crate) struct FunnelLeaf {
    pub(crate) snapshot: Snapshot,
    pub(crate) shape: Arc<FunnelShape>,
    pub(crate) spec: FunnelSpec,
    pub(crate) condition: Condition,
    /// Steps, then exclusions: at most 64.
    pub(crate) conditions: Vec<Predicate>,
    /// The columns that the `by` expressions read, and their schema.
    pub(crate) by_columns: Vec<ColumnRef>,
    pub(crate) by_schema: SchemaRef,
    pub(crate) by: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) hold: Vec<ColumnRef>,
    pub(crate) threads: usize,
    pub(crate) statement: Arc<StatementState>,
    pub(crate) schema: SchemaRef,
    /// Arguments and filters as the plan shows them.
    pub(crate) summary: String,
}

/// Which users are read, and how many are known from the indexes to have entered and got no further.
struct Chosen {
    users: Option<Vec<RoaringBitmap>>,
    entries: u64,
    note: String,
}

impl FunnelLeaf {
    /// As a node of the physical plan.
    pub(crate) fn into_exec(self) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::clone(&self.schema);
        Arc::new(SingleExec::new(Arc::new(self), schema))
    }

    fn counts_users_only(&self) -> bool {
        let plain = self.shape.by.is_empty() && !self.shape.bucketed && self.hold.is_empty();
        plain && self.shape.emit == Emit::Steps && self.spec.count == Count::Users
    }

    /// Ask the bitmaps. Where they know exactly who entered, those without any second step need not be read.
    fn choose(&self) -> Result<Chosen> {
        let matching = |condition: Predicate| {
            let condition = self.condition.filter.clone().and(condition);
            matching_users(&self.snapshot, &condition, self.condition.time)
        };
        let steps = self.spec.steps.len();
        if self.spec.order == Order::Any {
            let any = Predicate::Or(self.conditions[..steps].to_vec());
            let users: Vec<RoaringBitmap> = matching(any)?.into_iter().map(|set| set.users).collect();
            let note = format!("{} users with any step, from bitmaps", total(&users));
            return Ok(Chosen { users: Some(users), entries: 0, note });
        }
        let entered = matching(self.conditions[0].clone())?;
        let exact = entered.iter().all(|set| set.exact);
        let mut users: Vec<RoaringBitmap> = entered.into_iter().map(|set| set.users).collect();
        let first = total(&users);
        if !exact || !self.counts_users_only() {
            let note = format!("{first} users with step 1, from bitmaps");
            return Ok(Chosen { users: Some(users), entries: 0, note });
        }
        if steps == 1 {
            users.iter_mut().for_each(RoaringBitmap::clear);
        } else {
            let second = matching(self.conditions[1].clone())?;
            users.iter_mut().zip(second).for_each(|(users, second)| *users &= second.users);
        }
        let both = total(&users);
        let note = format!("{first} users with step 1, {both} with steps 1 and 2, from bitmaps");
        Ok(Chosen { users: Some(users), entries: first - both, note })
    }

    fn run(&self, context: &TaskContext, metrics: &ExecutionPlanMetricsSet, durations: bool) -> Result<RecordBatch> {
        let chosen = self.choose()?;
        let scan = BehaviorScan {
            conditions: self.conditions.clone(),
            filter: self.condition.filter.clone(),
            time: self.condition.time,
            keys: self.by_columns.iter().chain(&self.hold).cloned().collect(),
            every_event: needs_every_event(&self.spec)?,
            users: chosen.users,
        };
        // Made here once, so that a wrong argument is an error and not a panic of a thread.
        let takes_bits = self.worker(durations)?.takes_bits();
        let init = || Partial::new(self, context, durations);
        let by = self.by_columns.len();
        let each = |partial: &mut Partial, user: &UserEvents<'_>| partial.user(user, by);
        let (snapshot, cancel) = (&self.snapshot, self.statement.cancel_flag());
        let (workers, mut report) = if takes_bits {
            let by_bits = |partial: &mut Partial, user: &UserBits<'_>| partial.user_bits(user, by);
            scan_user_bits(snapshot, &scan, self.threads, cancel, init, by_bits, each)?
        } else {
            scan_users(snapshot, &scan, self.threads, cancel, init, each)?
        };
        report.notes.push(chosen.note);
        record(metrics, 0, &report);
        let mut parts = Vec::with_capacity(workers.len());
        for worker in workers {
            let decoder = LeafDecoder { leaf: self, keys: worker.keys };
            let mut partial = worker.partial;
            parts.push((partial.take_worker()?, decoder, partial));
        }
        if chosen.entries > 0
            && let Some((worker, ..)) = parts.first_mut()
        {
            worker.add_entries(chosen.entries);
        }
        let finisher =
            Finisher { shape: &self.shape, spec: &self.spec, threads: self.threads, schema: Arc::clone(&self.schema) };
        // The reservations live until the answer is made.
        let (parts, _reservations): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|(worker, decoder, partial)| ((worker, decoder), partial)).unzip();
        let (workers, decoders): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let workers = workers.into_iter().zip(&decoders).map(|(w, d)| (w, d as &dyn Decoder)).collect();
        match self.shape.emit {
            Emit::Steps => finisher.steps(workers),
            Emit::Users => finisher.users(workers, |users| self.user_ids(users)),
        }
    }

    fn worker(&self, durations: bool) -> Result<FunnelWorker> {
        let worker = FunnelWorker::new(&self.spec, &self.shape, self.by_columns.len())?;
        Ok(if durations { worker } else { worker.without_durations() })
    }

    fn user_ids(&self, users: &[u64]) -> Result<ArrayRef> {
        let mut ids = Vec::with_capacity(users.len());
        for &user in users {
            let (shard, ordinal) = ((user >> 32) as usize, user as u32);
            ids.push(self.snapshot.shards[shard].user_id(ordinal)?);
        }
        Ok(Arc::new(ids.into_iter().collect::<StringArray>()))
    }
}

fn total(users: &[RoaringBitmap]) -> u64 {
    users.iter().map(RoaringBitmap::len).sum()
}

impl Task for FunnelLeaf {
    fn name(&self) -> &'static str {
        "FunnelScan"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunnelScan: table={}, {}", self.snapshot.table, self.summary)?;
        match self.choose() {
            Ok(chosen) => {
                let users: u64 = self.snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
                let read = chosen.users.as_deref().map_or(users, total);
                write!(f, ", pruned=[{}; {read} of {users} users read]", chosen.note)
            }
            Err(error) => write!(f, ", pruned=[unknown: {error}]"),
        }
    }

    fn compute(
        &self,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let is_duration = |&column: &usize| DURATIONS.contains(&self.schema.field(column).name().as_str());
        let durations = columns.is_none_or(|columns| columns.iter().any(is_duration));
        self.run(context, metrics, durations)
    }
}

/// The partial result of one thread, and the memory that it holds.
struct Partial {
    worker: Result<FunnelWorker>,
    reservation: MemoryReservation,
    users: u32,
}

impl Partial {
    fn new(leaf: &FunnelLeaf, context: &TaskContext, durations: bool) -> Self {
        let reservation = MemoryConsumer::new("FUNNEL").register(context.memory_pool());
        Self { worker: leaf.worker(durations), reservation, users: 0 }
    }

    fn started(&mut self) -> EngineResult<&mut FunnelWorker> {
        self.worker.as_mut().map_err(|_| EngineError::invalid("the funnel could not be started"))
    }

    /// Count a user whose events are bits of rows. False where the events themselves are needed.
    fn user_bits(&mut self, user: &UserBits<'_>, by: usize) -> EngineResult<bool> {
        let is_counted =
            self.started()?.user_bits(user, number(user.shard, user.ordinal), &user.keys.of_columns(0..by));
        if is_counted {
            self.check_memory()?;
        }
        Ok(is_counted)
    }

    fn user(&mut self, user: &UserEvents<'_>, by: usize) -> EngineResult<()> {
        let worker = self.started()?;
        let id = number(user.shard, user.ordinal);
        let (by, hold) = (user.keys.of_columns(0..by), user.keys.of_columns(by..user.keys.columns()));
        worker.user(&UserRows { user: id, times: user.times, masks: user.masks, excludes: None, by, hold });
        self.check_memory()
    }

    /// Look at the memory in use from time to time.
    #[inline]
    fn check_memory(&mut self) -> EngineResult<()> {
        self.users += 1;
        if self.users.is_multiple_of(USERS_PER_CHECK) {
            let bytes = self.started()?.heap_bytes();
            self.reservation.try_resize(bytes).map_err(|error| {
                let error = Error::from(error);
                let limit = EngineError::new(EngineErrorKind::ResourceLimit, error.message());
                limit.with_hint(error.hint().unwrap_or("raise the memory limit of the query"))
            })?;
        }
        Ok(())
    }

    fn take_worker(&mut self) -> Result<FunnelWorker> {
        std::mem::replace(&mut self.worker, Err(Error::internal("the partial result was taken before")))
    }
}

/// A user's number in the results.
fn number(shard: usize, ordinal: u32) -> u64 {
    (shard as u64) << 32 | u64::from(ordinal)
}

struct LeafDecoder<'a> {
    leaf: &'a FunnelLeaf,
    keys: KeySpace,
}

impl Decoder for LeafDecoder<'_> {
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for (at, field) in self.leaf.by_schema.fields().iter().enumerate() {
            let values = keys.iter().map(|key| scalar(self.keys.value(at, key[at]), field.data_type()));
            columns.push(column_of(values, field.data_type())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.leaf.by_schema), columns, &options);
        let batch = batch.map_err(datafusion::common::DataFusionError::from)?;
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(keys.len());
        Ok(self.leaf.by.iter().map(evaluate).collect::<datafusion::common::Result<_>>()?)
    }
}

/// A value of the engine as one of DataFusion; NULL keeps the type of its column.
fn scalar(value: Value, data_type: &DataType) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::try_from(data_type).unwrap_or(ScalarValue::Null),
        Value::Boolean(v) => ScalarValue::Boolean(Some(v)),
        Value::BigInt(v) => ScalarValue::Int64(Some(v)),
        Value::Double(v) => ScalarValue::Float64(Some(v)),
        Value::Text(v) => ScalarValue::Utf8View(Some(v)),
        Value::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(v), Some("UTC".into())),
    }
}
